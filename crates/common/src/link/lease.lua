#!lua flags=allow-oom
-- KEYS lease or lane:<target>
-- ARGV node token ttl_ms floor_epoch
local function int(number) return string.format('%.0f', number) end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = redis.call('HMGET', KEYS[1], 'token', 'exp', 'epoch', 'node', 'next_nonce', 'attempts')
local expires, epoch = tonumber(lease[2] or '0'), tonumber(lease[3] or '0')
local until_ms = int(now + tonumber(ARGV[3]))
if lease[1] == ARGV[2] and expires > now then
  redis.call('HSET', KEYS[1], 'exp', until_ms, 'node', ARGV[1])
  return {'HELD', int(epoch), int(now), lease[5] or '0', lease[6] or '0'}
end
-- guard:held
if expires > now then return {'NO', int(epoch), int(expires - now), lease[4] or ''} end
-- /guard:held
-- guard:floor
epoch = math.max(epoch, tonumber(ARGV[4]))
-- /guard:floor
-- guard:rise
epoch = epoch + 1
-- /guard:rise
redis.call('HSET', KEYS[1], 'epoch', int(epoch), 'token', ARGV[2], 'node', ARGV[1], 'exp', until_ms)
return {'NEW', int(epoch), int(now), lease[5] or '0', lease[6] or '0'}
