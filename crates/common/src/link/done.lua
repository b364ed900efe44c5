#!lua flags=allow-oom
-- KEYS lane:<target> head out:<target> bind:<target> wait:<target> receipts status, then prog:<seq> per entry,
--      then raw:<target>:<nonce> per nonce
-- ARGV epoch token rewind_field rewind target n_entries n_nonces, then nonces, then
--      per entry: seq state value receipt n_items items
local FIXED_KEYS, FIXED_ARGS = 7, 7
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
local target, n_entries, n_nonces = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local declared = {}
for i = 1, n_nonces do
  declared[ARGV[FIXED_ARGS + i]] = true
  redis.call('HLEN', KEYS[FIXED_KEYS + n_entries + i])
end
redis.call('ZCARD', KEYS[5])
redis.call('XLEN', KEYS[6])
redis.call('XLEN', KEYS[7])

local entries, a = {}, FIXED_ARGS + n_nonces
for i = 1, n_entries do
  local entry = {seq = ARGV[a + 1], state = ARGV[a + 2], value = ARGV[a + 3], receipt = ARGV[a + 4], items = {}}
  entry.id = entry.seq .. '-0'
  entry.progress = KEYS[FIXED_KEYS + i]
  entry.is_shown = redis.call('HLEN', entry.progress) > 0
  for item = 1, tonumber(ARGV[a + 5]) do
    entry.items[item] = ARGV[a + 5 + item]
    local nonce = redis.call('HGET', KEYS[4], entry.items[item])
    -- guard:declared
    if nonce and not declared[nonce] then return {'RELOAD'} end
    -- /guard:declared
  end
  a = a + 5 + #entry.items
  entries[i] = entry
end

local function finish(entry)
  local deleted = redis.call('XDEL', KEYS[3], entry.id)
  -- guard:once
  if deleted == 0 then return 'DUP' end
  -- /guard:once
  local id = redis.call('XADD', KEYS[6], '*', 'm', entry.receipt)
  if #entry.items > 0 then
    redis.call('HDEL', KEYS[4], unpack(entry.items))
    redis.call('ZREM', KEYS[5], unpack(entry.items))
  end
  -- guard:shown
  if not entry.is_shown then return 'OK' end
  -- /guard:shown
  redis.call('HSET', entry.progress, target, entry.value, '#done:' .. target, string.match(id, '^%d+'))
  redis.call('HINCRBY', entry.progress, '#v', 1)
  redis.call('XADD', KEYS[7], 'MAXLEN', '~', 1000, '*', 'seq', entry.seq, 'target', target, 'state', entry.state)
  return 'OK'
end

local reply, finished = {'OK'}, 0
for i, entry in ipairs(entries) do
  reply[i + 1] = finish(entry)
  if reply[i + 1] == 'OK' then finished = finished + 1 end
end
if finished > 0 then redis.call('HSET', KEYS[1], 'attempts', 0) end
-- guard:used
if finished > 0 then
  local used = tonumber(redis.call('HGET', KEYS[1], 'used') or '0')
  for i = 1, n_nonces do used = math.max(used, tonumber(ARGV[FIXED_ARGS + i]) + 1) end
  redis.call('HSET', KEYS[1], 'used', string.format('%.0f', used))
end
-- /guard:used
if n_nonces > 0 then
  local needed = {}
  -- guard:needed
  for _, nonce in ipairs(redis.call('HVALS', KEYS[4])) do needed[nonce] = true end
  -- /guard:needed
  for i = 1, n_nonces do
    if not needed[ARGV[FIXED_ARGS + i]] then redis.call('DEL', KEYS[FIXED_KEYS + n_entries + i]) end
  end
end
return reply
