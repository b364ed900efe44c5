#!lua flags=allow-oom
-- KEYS lane:<target> bind:<target>
-- ARGV epoch token sender
local lease = redis.call('HMGET', KEYS[1], 'epoch', 'token')
-- guard:epoch
if lease[1] ~= ARGV[1] then return {'FENCED'} end
-- /guard:epoch
-- guard:token
if lease[2] ~= ARGV[2] then return {'FENCED'} end
-- /guard:token
local known = redis.call('HGET', KEYS[1], 'sender')
if known == ARGV[3] then return {'OK'} end
local bound = redis.call('HLEN', KEYS[2])
-- guard:bound
if known and bound > 0 then return {'BOUND', known} end
-- /guard:bound
redis.call('HSET', KEYS[1], 'sender', ARGV[3])
-- guard:fresh
if known then redis.call('HSET', KEYS[1], 'next_nonce', '0', 'used', '0') end
-- /guard:fresh
return {'OK'}
