#!lua flags=allow-oom
-- KEYS req:<rid> per item
-- ARGV instance
local COLLECTING = 2
local records = {}
for i = 1, #KEYS do records[KEYS[i]] = redis.call('HMGET', KEYS[i], 'rank', 'by') end

local function mark(key)
  local record = records[key]
  -- guard:exists
  if not record[1] then return 'GONE' end
  -- /guard:exists
  local rank = tonumber(record[1] or '0')
  -- guard:upwards
  if rank > COLLECTING then return 'KEPT' end
  -- /guard:upwards
  if rank == COLLECTING and record[2] == ARGV[1] then return 'KEPT' end
  redis.call('HSET', key, 'status', 'collecting', 'rank', COLLECTING, 'by', ARGV[1])
  redis.call('HINCRBY', key, 'version', 1)
  records[key] = {tostring(COLLECTING), ARGV[1]}
  return 'OK'
end

local reply = {'OK'}
for i = 1, #KEYS do reply[i + 1] = mark(KEYS[i]) end
return reply
