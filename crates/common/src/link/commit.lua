#!lua flags=allow-oom
-- KEYS lease head log in inx receipts parked dlq ctl status att, then req:<rid> per status write
-- ARGV epoch token seq prev digest root v body in_below inx_below receipts_below barrier targets ttl_ms
--      parked_max dlq_max record_max rids n_statuses n_parked n_dead n_attempted, then
--      per status write: fp status rank seq outcome code errors ended; per parked message: payload;
--      per dead letter: stage code error attempts original; per attempted key: key
local FIXED_KEYS, FIXED_ARGS, STATUS_ARGS, DEAD_ARGS = 11, 22, 8, 5
local COMMITTED = 5
local ZERO = '0x' .. string.rep('0', 64)
local lease = redis.call('HMGET', KEYS[1], 'epoch', 'token')
-- guard:epoch
if lease[1] ~= ARGV[1] then return {'FENCED'} end
-- /guard:epoch
-- guard:token
if lease[2] ~= ARGV[2] then return {'FENCED'} end
-- /guard:token

local seq, digest = tonumber(ARGV[3]), ARGV[5]
local id = ARGV[3] .. '-0'
local head = redis.call('HMGET', KEYS[2], 'seq', 'digest')
local head_seq, head_digest = tonumber(head[1] or '0'), head[2] or ZERO

local function is_logged()
  if seq == head_seq then return digest == head_digest end
  if seq > head_seq then return false end
  local entry = redis.call('XRANGE', KEYS[3], id, id)[1]
  if not entry then return false end
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'digest' then return entry[2][i + 1] == digest end
  end
  return false
end

-- guard:logged
if is_logged() then return {'DUP'} end
-- /guard:logged
-- guard:sequence
if seq ~= head_seq + 1 then return {'GAP', string.format('%.0f', head_seq), head_digest} end
-- /guard:sequence
-- guard:prev
if ARGV[4] ~= head_digest then return {'GAP', string.format('%.0f', head_seq), head_digest} end
-- /guard:prev
local n_statuses, n_parked = tonumber(ARGV[19]), tonumber(ARGV[20])
local n_dead, n_attempted = tonumber(ARGV[21]), tonumber(ARGV[22])
-- guard:dead_letters
if n_dead > 0 and redis.call('XLEN', KEYS[8]) + n_dead > tonumber(ARGV[16]) then return {'FULL', 'dlq'} end
-- /guard:dead_letters
-- guard:parked
if n_parked > 0 and redis.call('XLEN', KEYS[7]) + n_parked > tonumber(ARGV[15]) then return {'FULL', 'parked'} end
-- /guard:parked

-- Reading every key once makes a wrong type fail here, before the first write.
for i = 3, 10 do redis.call('XLEN', KEYS[i]) end
redis.call('HLEN', KEYS[11])
local records = {}
for i = FIXED_KEYS + 1, FIXED_KEYS + n_statuses do
  local flat, record = redis.call('HGETALL', KEYS[i]), {}
  for f = 1, #flat, 2 do record[flat[f]] = flat[f + 1] end
  records[KEYS[i]] = record
end

-- The first write. Redis refuses an id at or below the last one: a log ahead of its head is an error.
local logged = redis.pcall('XADD', KEYS[3], id, 'v', ARGV[7], 'seq', ARGV[3], 'prev', ARGV[4], 'digest', digest,
  'body', ARGV[8])
if type(logged) == 'table' and logged.err then return logged end
redis.call('HSET', KEYS[2], 'seq', ARGV[3], 'digest', digest, 'root', ARGV[6], 'stable', ARGV[3])
if ARGV[12] ~= '' then
  redis.call('HSET', KEYS[2], 'barrier', ARGV[3])
  redis.call('XADD', KEYS[9], '*', 'kind', 'revert', 'seq', ARGV[3], 'm', ARGV[12])
end
if ARGV[13] ~= '' then redis.call('HSET', KEYS[2], 'targets', ARGV[13]) end
for i = 1, 3 do
  local below = ARGV[8 + i]
  if below ~= '' then redis.call('XTRIM', KEYS[3 + i], 'MINID', below) end
end

local function bytes_of(record)
  local bytes = 0
  for field, value in pairs(record) do bytes = bytes + #field + #value end
  return bytes
end

-- Takes out of a decided record what is no longer needed, then what does not fit.
local function cut(record)
  local dropped = {}
  local function drop(field)
    if record[field] then
      record[field] = nil
      dropped[#dropped + 1] = field
    end
  end
  drop('source_state')
  drop('by')
  -- guard:cut
  for _, field in ipairs({'errors', 'targets'}) do
    if record[field] and bytes_of(record) > tonumber(ARGV[17]) then
      drop(field)
      record.cut = '1'
    end
  end
  -- /guard:cut
  return dropped
end

local function write_status(key, a)
  local record, rank = records[key], tonumber(ARGV[a + 3])
  -- guard:exists
  if not record.rank then return end
  -- /guard:exists
  -- guard:fp
  if record.fp ~= ARGV[a + 1] then return end
  -- /guard:fp
  -- guard:upwards
  if rank <= tonumber(record.rank or '0') then return end
  -- /guard:upwards
  local before = {}
  for field, value in pairs(record) do before[field] = value end
  record.status, record.rank = ARGV[a + 2], ARGV[a + 3]
  record.version = string.format('%.0f', tonumber(record.version or '0') + 1)
  for i, field in ipairs({'seq', 'outcome', 'code', 'errors', 'ended'}) do
    local value = ARGV[a + 3 + i]
    if value ~= '' then record[field] = value end
  end
  local dropped = {}
  if rank >= COMMITTED then dropped = cut(record) end
  local changed = {}
  for field, value in pairs(record) do
    if before[field] ~= value then
      changed[#changed + 1] = field
      changed[#changed + 1] = value
    end
  end
  redis.call('HSET', key, unpack(changed))
  if #dropped > 0 then redis.call('HDEL', key, unpack(dropped)) end
  -- guard:expiry
  if rank >= COMMITTED then redis.call('PEXPIRE', key, ARGV[14]) end
  -- /guard:expiry
end

local a = FIXED_ARGS
for i = 1, n_statuses do
  write_status(KEYS[FIXED_KEYS + i], a)
  a = a + STATUS_ARGS
end
for _ = 1, n_parked do
  redis.call('XADD', KEYS[7], '*', 'm', ARGV[a + 1])
  a = a + 1
end
for _ = 1, n_dead do
  redis.call('XADD', KEYS[8], '*', 'stage', ARGV[a + 1], 'code', ARGV[a + 2], 'error', ARGV[a + 3],
    'attempts', ARGV[a + 4], 'original', ARGV[a + 5])
  a = a + DEAD_ARGS
end
for i = 1, n_attempted do redis.call('HDEL', KEYS[11], ARGV[a + i]) end
redis.call('XADD', KEYS[10], 'MAXLEN', '~', 1000, '*', 'seq', ARGV[3], 'rids', ARGV[18])
return {'OK'}
