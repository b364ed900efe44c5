#!lua flags=allow-oom
-- KEYS lane:<target> head bind:<target> out:<target>
-- ARGV epoch token rewind_field rewind control_seq chain_next, then items
local FIXED_ARGS = 6
local function int(number) return string.format('%.0f', number) end
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
-- guard:barrier
if tonumber(ARGV[5]) < tonumber(head[2] or '0') then return {'STALE'} end
-- /guard:barrier
-- guard:present
local present = {}
for i = FIXED_ARGS + 1, #ARGV do
  local id = string.match(ARGV[i], '^%d+') .. '-0'
  if present[id] == nil then present[id] = #redis.call('XRANGE', KEYS[4], id, id) == 1 end
  if not present[id] then return {'GONE'} end
end
-- /guard:present
local reply, is_bound = {'BOUND'}, false
for i = FIXED_ARGS + 1, #ARGV do
  local nonce = redis.call('HGET', KEYS[3], ARGV[i])
  reply[i - FIXED_ARGS + 1] = nonce or ''
  if nonce then is_bound = true end
end
-- guard:bound
if is_bound then return reply end
-- /guard:bound
local nonce = tonumber(redis.call('HGET', KEYS[1], 'next_nonce') or '0')
-- guard:chain
nonce = math.max(nonce, tonumber(ARGV[6]))
-- /guard:chain
for i = FIXED_ARGS + 1, #ARGV do redis.call('HSET', KEYS[3], ARGV[i], int(nonce)) end
redis.call('HSET', KEYS[1], 'next_nonce', int(nonce + 1))
return {'OK', int(nonce)}
