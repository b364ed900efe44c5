#!lua flags=allow-oom
-- KEYS lease head log
-- ARGV epoch token below_seq
local lease = redis.call('HMGET', KEYS[1], 'epoch', 'token')
-- guard:epoch
if lease[1] ~= ARGV[1] then return {'FENCED'} end
-- /guard:epoch
-- guard:token
if lease[2] ~= ARGV[2] then return {'FENCED'} end
-- /guard:token
local below = tonumber(ARGV[3])
-- guard:head
below = math.min(below, tonumber(redis.call('HGET', KEYS[2], 'seq') or '0'))
-- /guard:head
return {'OK', redis.call('XTRIM', KEYS[3], 'MINID', string.format('%.0f-0', below))}
