#!lua flags=allow-oom
-- KEYS lease or lane:<target>
-- ARGV epoch token
local lease = redis.call('HMGET', KEYS[1], 'epoch', 'token')
-- guard:epoch
if lease[1] ~= ARGV[1] then return {'FENCED'} end
-- /guard:epoch
-- guard:token
if lease[2] ~= ARGV[2] then return {'FENCED'} end
-- /guard:token
redis.call('HSET', KEYS[1], 'exp', 0)
return {'OK'}
