#!lua flags=allow-oom
-- KEYS requests in, then req:<rid> per item, then handed:<source> per observation handed out
-- ARGV group handed_max n_items, then per item: id payload source_state n_handed; then per observation handed out:
--      withdrawal
local COLLECTED, FIXED_KEYS, FIXED_ARGS, ITEM_ARGS = 3, 2, 3, 4
local n_items = tonumber(ARGV[3])
redis.call('XLEN', KEYS[1])
redis.call('XLEN', KEYS[2])
local ranks = {}
for i = FIXED_KEYS + 1, FIXED_KEYS + n_items do ranks[KEYS[i]] = redis.call('HGET', KEYS[i], 'rank') end
for i = FIXED_KEYS + n_items + 1, #KEYS do redis.call('XLEN', KEYS[i]) end

local function move_status(key, source_state)
  local rank = ranks[key]
  -- guard:exists
  if not rank then return end
  -- /guard:exists
  -- guard:upwards
  if tonumber(rank or '0') >= COLLECTED then return end
  -- /guard:upwards
  redis.call('HSET', key, 'status', 'collected', 'rank', COLLECTED)
  if source_state ~= '' then redis.call('HSET', key, 'source_state', source_state) end
  redis.call('HINCRBY', key, 'version', 1)
  ranks[key] = COLLECTED
end

local function hand_over(key, a, handed)
  local id, payload = ARGV[a + 1], ARGV[a + 2]
  local acknowledged = redis.call('XACK', KEYS[1], ARGV[1], id)
  -- guard:acknowledged
  if acknowledged ~= 1 then return {'GONE'} end
  -- /guard:acknowledged
  redis.call('XDEL', KEYS[1], id)
  local added = redis.call('XADD', KEYS[2], '*', 'm', payload)
  move_status(key, ARGV[a + 3])
  for i = handed + 1, handed + tonumber(ARGV[a + 4]) do
    redis.call('XADD', KEYS[FIXED_KEYS + n_items + i], 'MAXLEN', '~', ARGV[2], '*', 'm',
      ARGV[FIXED_ARGS + n_items * ITEM_ARGS + i])
  end
  return {'OK', added}
end

local reply, handed = {'OK'}, 0
for i = 1, n_items do
  local a = FIXED_ARGS + (i - 1) * ITEM_ARGS
  reply[i + 1] = hand_over(KEYS[FIXED_KEYS + i], a, handed)
  handed = handed + tonumber(ARGV[a + 4])
end
return reply
