#!lua flags=allow-oom
-- KEYS lease head
-- ARGV epoch token watermark_field seq
local lease = redis.call('HMGET', KEYS[1], 'epoch', 'token')
-- guard:epoch
if lease[1] ~= ARGV[1] then return {'FENCED'} end
-- /guard:epoch
-- guard:token
if lease[2] ~= ARGV[2] then return {'FENCED'} end
-- /guard:token
local watermark = redis.call('HGET', KEYS[2], ARGV[3])
-- guard:once
if watermark then return {'DUP', watermark} end
-- /guard:once
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
return {'OK'}
