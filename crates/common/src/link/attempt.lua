#!lua flags=allow-oom
-- KEYS lease att
-- ARGV epoch token key
local lease = redis.call('HMGET', KEYS[1], 'epoch', 'token')
-- guard:epoch
if lease[1] ~= ARGV[1] then return {'FENCED'} end
-- /guard:epoch
-- guard:token
if lease[2] ~= ARGV[2] then return {'FENCED'} end
-- /guard:token
local note = redis.call('HGET', KEYS[2], ARGV[3])
local count, token = string.match(note or '0 -', '^(%d+) (.*)$')
-- guard:once
if token == ARGV[2] then return {'OK', count} end
-- /guard:once
count = string.format('%.0f', tonumber(count) + 1)
redis.call('HSET', KEYS[2], ARGV[3], count .. ' ' .. ARGV[2])
return {'OK', count}
