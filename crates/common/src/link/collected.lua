#!lua flags=allow-oom
-- KEYS requests in, then req:<rid> per item
-- ARGV group, then per item: id payload source_state
local COLLECTED = 3
redis.call('XLEN', KEYS[1])
redis.call('XLEN', KEYS[2])
local ranks = {}
for i = 3, #KEYS do ranks[KEYS[i]] = redis.call('HGET', KEYS[i], 'rank') end

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

local function hand_over(key, a)
  local id, payload = ARGV[a + 1], ARGV[a + 2]
  local acknowledged = redis.call('XACK', KEYS[1], ARGV[1], id)
  -- guard:acknowledged
  if acknowledged ~= 1 then return {'GONE'} end
  -- /guard:acknowledged
  redis.call('XDEL', KEYS[1], id)
  local added = redis.call('XADD', KEYS[2], '*', 'm', payload)
  move_status(key, ARGV[a + 3])
  return {'OK', added}
end

local reply = {'OK'}
for i = 1, #KEYS - 2 do reply[i + 1] = hand_over(KEYS[i + 2], 1 + (i - 1) * 3) end
return reply
