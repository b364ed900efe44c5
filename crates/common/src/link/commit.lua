#!lua flags=allow-oom
-- KEYS lease head log in inx receipts parked dlq ctl status att, then req:<rid> per status write
-- ARGV epoch token seq prev digest root v body in_below inx_below receipts_below barrier targets ttl_ms
--      parked_max dlq_max record_max rids n_ends n_statuses n_parked n_dead n_attempted, then
--      per end: status rank seq outcome code errors ended replaces withdrawn; per status write: fp end;
--      per parked message: payload first; per dead letter: stage code error attempts original; per attempted key: key
local FIXED_KEYS, FIXED_ARGS, END_ARGS, STATUS_ARGS, DEAD_ARGS = 11, 23, 9, 2, 5
local QUEUED, COMMITTED = 4, 5
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
local n_ends, n_statuses, n_parked = tonumber(ARGV[19]), tonumber(ARGV[20]), tonumber(ARGV[21])
local n_dead, n_attempted = tonumber(ARGV[22]), tonumber(ARGV[23])
-- guard:dead_letters
if n_dead > 0 and redis.call('XLEN', KEYS[8]) + n_dead > tonumber(ARGV[16]) then return {'FULL', 'dlq'} end
-- /guard:dead_letters
-- guard:parked
if n_parked > 0 and redis.call('XLEN', KEYS[7]) + n_parked > tonumber(ARGV[15]) then return {'FULL', 'parked'} end
-- /guard:parked

-- Reading every key once makes a wrong type fail here, before the first write.
for i = 3, 10 do redis.call('XLEN', KEYS[i]) end
redis.call('HLEN', KEYS[11])
-- What most records of an entry get is the same, so it comes once.
local ends, a = {}, FIXED_ARGS
for i = 1, n_ends do
  ends[tostring(i)] = {status = ARGV[a + 1], rank = tonumber(ARGV[a + 2]), seq = ARGV[a + 3], outcome = ARGV[a + 4],
    code = ARGV[a + 5], errors = ARGV[a + 6], ended = ARGV[a + 7], replaces = ARGV[a + 8], withdrawn = ARGV[a + 9]}
  a = a + END_ARGS
end
-- Only the fields that decide what is written; a request that comes twice in one entry is read once.
local RANK, FP, VERSION, TENANT, TARGETS, ERRORS, CODE, SOURCE_STATE, BY, WITHDRAWN = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
local records = {}
for i = FIXED_KEYS + 1, FIXED_KEYS + n_statuses do
  records[KEYS[i]] = redis.call('HMGET', KEYS[i], 'rank', 'fp', 'version', 'tenant', 'targets', 'errors', 'code',
    'source_state', 'by', 'withdrawn')
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

-- Names of all fields a decided record may have beside errors and targets, and the longest status, rank,
-- version, at, seq, outcome, ended and cut. The mark of a withdrawal, which few have, comes beside.
local RECORD_BASE = 49 + 78

-- What a decided record no longer needs or has no room for; the new errors are '' if they do not fit.
local function cut(record, code, errors)
  local dropped, is_cut = {}, false
  if record[SOURCE_STATE] then dropped[#dropped + 1] = 'source_state' end
  if record[BY] then dropped[#dropped + 1] = 'by' end
  record[SOURCE_STATE], record[BY] = false, false
  if errors == '' and not record[TARGETS] then return dropped, errors, is_cut end
  -- guard:cut
  local room = tonumber(ARGV[17]) - RECORD_BASE - #record[TENANT] - #record[FP] - #code
  local targets = record[TARGETS] and #'targets' + #record[TARGETS] or 0
  if errors ~= '' and #'errors' + #errors + targets > room then
    if record[ERRORS] then dropped[#dropped + 1] = 'errors' end
    errors, is_cut = '', true
  end
  if targets > room then
    dropped[#dropped + 1] = 'targets'
    record[TARGETS], is_cut = false, true
  end
  -- /guard:cut
  return dropped, errors, is_cut
end

-- Of a record that stays as it is.
local function tell_withdrawn(key, record, withdrawn)
  if withdrawn == '' or withdrawn == record[WITHDRAWN] then return end
  record[VERSION], record[WITHDRAWN] = tonumber(record[VERSION] or '0') + 1, withdrawn
  redis.call('HSET', key, 'version', record[VERSION], 'withdrawn', withdrawn)
end

local function write_status(key, fp, last)
  local record, rank = records[key], last.rank
  -- guard:exists
  if not record[RANK] then return end
  -- /guard:exists
  local is_other = record[FP] ~= fp
  -- guard:fp
  if is_other and record[FP] ~= last.replaces then return end
  -- /guard:fp
  local old_rank = tonumber(record[RANK] or '0')
  -- What waits may come to wait for something else.
  local waits_on = rank == QUEUED and old_rank == QUEUED and last.code ~= ''
  -- guard:upwards
  if rank <= old_rank and not waits_on then return tell_withdrawn(key, record, last.withdrawn) end
  -- /guard:upwards
  local code, errors, dropped, is_cut = last.code, last.errors, nil, false
  -- What a request waited for says nothing of how it ended.
  local waited = old_rank < COMMITTED and (record[CODE] or record[ERRORS])
  -- guard:waited
  if waited then
    redis.call('HDEL', key, 'code', 'errors')
    record[CODE], record[ERRORS] = false, false
  end
  -- /guard:waited
  if code == '' then code = record[CODE] or '' end
  if errors == '' then errors = record[ERRORS] or '' end
  if rank >= COMMITTED then dropped, errors, is_cut = cut(record, code, errors) end
  if is_other and record[TARGETS] then
    dropped, is_cut = dropped or {}, true
    dropped[#dropped + 1] = 'targets'
    record[TARGETS] = false
  end
  local version = tonumber(record[VERSION] or '0') + 1
  local write = {key, 'status', last.status, 'rank', rank, 'version', version}
  local n = #write
  local function set(field, value)
    if value ~= '' then
      write[n + 1], write[n + 2] = field, value
      n = n + 2
    end
  end
  if is_other then set('fp', fp) end
  set('seq', last.seq)
  set('outcome', last.outcome)
  if code ~= record[CODE] then set('code', code) end
  if errors ~= record[ERRORS] then set('errors', errors) end
  set('ended', last.ended)
  set('withdrawn', last.withdrawn)
  if is_cut then set('cut', '1') end
  redis.call('HSET', unpack(write))
  if dropped and #dropped > 0 then redis.call('HDEL', key, unpack(dropped)) end
  -- guard:expiry
  if rank >= COMMITTED and old_rank < COMMITTED then redis.call('PEXPIRE', key, ARGV[14]) end
  -- /guard:expiry
  record[RANK], record[VERSION], record[FP] = rank, version, fp
  record[CODE], record[ERRORS] = code ~= '' and code, errors ~= '' and errors
  if last.withdrawn ~= '' then record[WITHDRAWN] = last.withdrawn end
end

for i = 1, n_statuses do
  write_status(KEYS[FIXED_KEYS + i], ARGV[a + 1], ends[ARGV[a + 2]])
  a = a + STATUS_ARGS
end
for _ = 1, n_parked do
  redis.call('XADD', KEYS[7], '*', 'm', ARGV[a + 1], 'first', ARGV[a + 2])
  a = a + 2
end
for _ = 1, n_dead do
  redis.call('XADD', KEYS[8], '*', 'stage', ARGV[a + 1], 'code', ARGV[a + 2], 'error', ARGV[a + 3],
    'attempts', ARGV[a + 4], 'original', ARGV[a + 5])
  a = a + DEAD_ARGS
end
for i = 1, n_attempted do redis.call('HDEL', KEYS[11], ARGV[a + i]) end
redis.call('XADD', KEYS[10], 'MAXLEN', '~', 1000, '*', 'seq', ARGV[3], 'rids', ARGV[18])
return {'OK'}
