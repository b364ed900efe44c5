#!lua
-- KEYS requests in inx idx, then req:<rid> per item
-- ARGV backlog_max express_max index_max, then per item: rid tenant fp route payload targets source_state
-- No allow-oom: at full memory Redis refuses the whole call before its first write.
local FIRST_ITEM, ITEM_KEYS, ITEM_ARGS = 3, 4, 7
local REQUESTS, INPUT, EXPRESS = 1, 2, 3
local backlog = redis.call('XLEN', KEYS[1]) + redis.call('XLEN', KEYS[2])
local express = redis.call('XLEN', KEYS[3])
local members = redis.call('ZCARD', KEYS[4])

-- All records are read before the first write; a rid that comes twice in one batch is known the second time.
local owners = {}
for i = ITEM_KEYS + 1, #KEYS do
  local owner = redis.call('HMGET', KEYS[i], 'tenant', 'fp')
  if owner[1] then owners[KEYS[i]] = owner end
end

local function answer_known(key, tenant, fp)
  local owner = owners[key]
  -- guard:fp
  if owner[2] ~= fp then return {'CONFLICT'} end
  -- /guard:fp
  -- guard:tenant
  if owner[1] ~= tenant then return {'CONFLICT'} end
  -- /guard:tenant
  -- A write, so that the fsync before the reply covers what the answer says.
  redis.call('HSET', key, 'fp', owner[2])
  return {'DUP', redis.call('HGETALL', key)}
end

local function take(key, a)
  local rid, tenant, fp, route = ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], tonumber(ARGV[a + 4])
  local payload, targets, source_state = ARGV[a + 5], ARGV[a + 6], ARGV[a + 7]
  -- guard:known
  if owners[key] then return answer_known(key, tenant, fp) end
  -- /guard:known
  if route == EXPRESS then
    -- guard:express
    if express >= tonumber(ARGV[2]) then return {'BUSY'} end
    -- /guard:express
    express = express + 1
  else
    -- guard:backlog
    if backlog >= tonumber(ARGV[1]) then return {'BUSY'} end
    -- /guard:backlog
    backlog = backlog + 1
  end
  local id = redis.call('XADD', KEYS[route], '*', 'm', payload)
  local ms = string.match(id, '^%d+')
  local record = {'tenant', tenant, 'fp', fp, 'status', 'accepted', 'rank', '1', 'version', '1', 'at', ms}
  if targets ~= '' then
    record[#record + 1] = 'targets'
    record[#record + 1] = targets
  end
  if source_state ~= '' then
    record[#record + 1] = 'source_state'
    record[#record + 1] = source_state
  end
  redis.call('HSET', key, unpack(record))
  owners[key] = {tenant, fp}
  members = members + redis.call('ZADD', KEYS[4], ms, rid)
  -- guard:index
  if members > tonumber(ARGV[3]) then
    local popped = redis.call('ZPOPMIN', KEYS[4], math.min(2, members - tonumber(ARGV[3])))
    members = members - #popped / 2
  end
  -- /guard:index
  return {'OK', id}
end

local reply = {'OK'}
for i = 1, #KEYS - ITEM_KEYS do
  reply[i + 1] = take(KEYS[ITEM_KEYS + i], FIRST_ITEM + (i - 1) * ITEM_ARGS)
end
return reply
