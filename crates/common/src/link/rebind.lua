#!lua flags=allow-oom
-- KEYS lane:<target> head bind:<target> raw:<target>:<nonce>
-- ARGV epoch token rewind_field rewind nonce chain_next_final, then items
local FIXED_ARGS = 6
local lease = redis.call('HMGET', KEYS[1], 'epoch', 'token')
-- guard:epoch
if lease[1] ~= ARGV[1] then return {'FENCED'} end
-- /guard:epoch
-- guard:token
if lease[2] ~= ARGV[2] then return {'FENCED'} end
-- /guard:token
local head = redis.call('HMGET', KEYS[2], ARGV[3], 'barrier')
-- guard:rewind
if (head[1] or '0') ~= ARGV[4] then return {'RELOAD'} end
-- /guard:rewind
local nonce = ARGV[5]
-- guard:used_up
if tonumber(ARGV[6]) <= tonumber(nonce) then return {'PENDING'} end
-- /guard:used_up
redis.call('HLEN', KEYS[4])
local freed = 0
for i = FIXED_ARGS + 1, #ARGV do
  local bound = redis.call('HGET', KEYS[3], ARGV[i])
  -- guard:same_nonce
  if bound ~= nonce then bound = false end
  -- /guard:same_nonce
  if bound then freed = freed + redis.call('HDEL', KEYS[3], ARGV[i]) end
end
redis.call('HDEL', KEYS[3], 'f/' .. nonce)
local needed = false
-- guard:needed
for _, bound in ipairs(redis.call('HVALS', KEYS[3])) do
  if bound == nonce then needed = true end
end
-- /guard:needed
if not needed then redis.call('DEL', KEYS[4]) end
-- guard:used
local used = math.max(tonumber(redis.call('HGET', KEYS[1], 'used') or '0'), tonumber(ARGV[6]))
redis.call('HSET', KEYS[1], 'used', string.format('%.0f', used))
-- /guard:used
return {'OK', freed}
