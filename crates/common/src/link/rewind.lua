#!lua flags=allow-oom
-- KEYS lease head out:<target> wait:<target>
-- ARGV epoch token watermark_field rewind_field ordered_by from_seq
local lease = redis.call('HMGET', KEYS[1], 'epoch', 'token')
-- guard:epoch
if lease[1] ~= ARGV[1] then return {'FENCED'} end
-- /guard:epoch
-- guard:token
if lease[2] ~= ARGV[2] then return {'FENCED'} end
-- /guard:token
local head = redis.call('HMGET', KEYS[2], ARGV[3], ARGV[4])
-- guard:once
if tonumber(head[2] or '0') >= tonumber(ARGV[5]) then return {'DUP', head[1]} end
-- /guard:once
if not head[1] then return {'GAP', ''} end
local watermark = tonumber(ARGV[6]) - 1
-- guard:backwards
if watermark < 0 or watermark > tonumber(head[1]) then return {'GAP', head[1]} end
-- /guard:backwards
redis.call('XLEN', KEYS[3])
redis.call('ZCARD', KEYS[4])
local text = string.format('%.0f', watermark)
-- The stream goes as a whole: its ids must be able to start again.
redis.call('DEL', KEYS[3], KEYS[4])
redis.call('HSET', KEYS[2], ARGV[3], text, ARGV[4], ARGV[5])
return {'OK', text}
