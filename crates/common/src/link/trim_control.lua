#!lua flags=allow-oom
-- KEYS lease head ctl, then out:<target> per target
-- ARGV epoch token, then the watermark's field per target
local FIXED_KEYS, FIXED_ARGS, REMOVED_MAX = 3, 2, 256
local lease = redis.call('HMGET', KEYS[1], 'epoch', 'token')
-- guard:epoch
if lease[1] ~= ARGV[1] then return {'FENCED'} end
-- /guard:epoch
-- guard:token
if lease[2] ~= ARGV[2] then return {'FENCED'} end
-- /guard:token
-- The last entry that is relayed to every target and no longer in any outbox.
local passed = tonumber(redis.call('HGET', KEYS[2], 'seq') or '0')
for i = 1, #KEYS - FIXED_KEYS do
  -- guard:relayed
  passed = math.min(passed, tonumber(redis.call('HGET', KEYS[2], ARGV[FIXED_ARGS + i]) or '0'))
  -- /guard:relayed
  -- guard:delivered
  local first = redis.call('XRANGE', KEYS[FIXED_KEYS + i], '-', '+', 'COUNT', 1)[1]
  if first then passed = math.min(passed, tonumber(string.match(first[1], '^%d+')) - 1) end
  -- /guard:delivered
end
local entries = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', REMOVED_MAX + 1)
local kept = 1
local function seq(entry)
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'seq' then return tonumber(entry[2][i + 1]) end
  end
  return math.huge
end
-- The newest stays: who starts with an empty cursor has to read up to the barrier.
while kept < #entries and seq(entries[kept]) <= passed do kept = kept + 1 end
if kept == 1 then return {'OK', 0} end
return {'OK', redis.call('XTRIM', KEYS[3], 'MINID', entries[kept][1])}
