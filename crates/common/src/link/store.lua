#!lua flags=allow-oom
-- KEYS lane:<target> head bind:<target> raw:<target>:<nonce>
-- ARGV epoch token rewind_field rewind control_seq nonce attempt raw tx_hash fee, then items
local FIXED_ARGS = 10
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
local nonce, attempt = ARGV[6], ARGV[7]
local items = {}
for i = FIXED_ARGS + 1, #ARGV do
  items[#items + 1] = ARGV[i]
  -- guard:bound
  if redis.call('HGET', KEYS[3], ARGV[i]) ~= nonce then return {'UNBOUND'} end
  -- /guard:bound
end
if #items == 0 then
  -- guard:handed_out
  local next_nonce = tonumber(redis.call('HGET', KEYS[1], 'next_nonce') or '0')
  if tonumber(nonce) >= next_nonce then return {'UNBOUND'} end
  -- /guard:handed_out
  -- guard:free
  local binds = redis.call('HGETALL', KEYS[3])
  for i = 1, #binds, 2 do
    if binds[i + 1] == nonce and binds[i] ~= 'f/' .. nonce then return {'BOUND'} end
  end
  -- /guard:free
end
local kept = redis.call('HMGET', KEYS[4], 'a' .. attempt, 'h' .. attempt)
-- guard:taken
if kept[1] == ARGV[8] then return {'OK'} end
if kept[1] then return {'TAKEN', kept[2]} end
-- /guard:taken
redis.call('HSET', KEYS[4], 'items', table.concat(items, ','), 'a' .. attempt, ARGV[8], 'h' .. attempt, ARGV[9],
  'f' .. attempt, ARGV[10])
redis.call('HINCRBY', KEYS[1], 'attempts', 1)
if #items == 0 then redis.call('HSET', KEYS[3], 'f/' .. nonce, nonce) end
return {'OK'}
