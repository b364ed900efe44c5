#!lua flags=allow-oom
-- KEYS lease head out:<target>, then prog:<seq> per entry
-- ARGV epoch token target watermark_field first_seq out_max progress_ttl_ms, then per entry: has_payload payload
local FIXED_KEYS, FIXED_ARGS = 3, 7
local function int(number) return string.format('%.0f', number) end
local lease = redis.call('HMGET', KEYS[1], 'epoch', 'token')
-- guard:epoch
if lease[1] ~= ARGV[1] then return {'FENCED'} end
-- /guard:epoch
-- guard:token
if lease[2] ~= ARGV[2] then return {'FENCED'} end
-- /guard:token
local head = redis.call('HMGET', KEYS[2], ARGV[4], 'stable')
if not head[1] then return {'GAP', ''} end
local target, first, watermark = ARGV[3], tonumber(ARGV[5]), tonumber(head[1])
local n = #KEYS - FIXED_KEYS
-- guard:sequence
if first > watermark + 1 then return {'GAP', head[1]} end
-- /guard:sequence
-- guard:stable
if first + n - 1 > tonumber(head[2] or '0') then return {'UNSTABLE', head[2] or '0'} end
-- /guard:stable
local length = redis.call('XLEN', KEYS[3])
for i = FIXED_KEYS + 1, #KEYS do redis.call('HLEN', KEYS[i]) end
local now = redis.call('TIME')
local relayed_ms = int(now[1] * 1000 + math.floor(now[2] / 1000))

local start = 1
-- guard:watermark
start = math.max(1, watermark - first + 2)
-- /guard:watermark
local word = 'OK'
for i = start, n do
  local seq, a = first + i - 1, FIXED_ARGS + (i - 1) * 2
  if ARGV[a + 1] == '1' then
    -- guard:full
    if length >= tonumber(ARGV[6]) then
      word = 'FULL'
      break
    end
    -- /guard:full
    -- Redis refuses an id at or below the last one; only the first of a run could be, so nothing is half done.
    redis.call('XADD', KEYS[3], int(seq) .. '-0', 'm', ARGV[a + 2])
    length = length + 1
    local progress = KEYS[FIXED_KEYS + i]
    local is_new = redis.call('HSETNX', progress, target, 'relayed - -')
    -- guard:first
    if is_new == 0 then progress = nil end
    -- /guard:first
    if progress then
      redis.call('HSET', progress, '#relayed:' .. target, relayed_ms)
      redis.call('HINCRBY', progress, '#v', 1)
      redis.call('PEXPIRE', progress, ARGV[7])
    end
  end
  watermark = math.max(watermark, seq)
end
redis.call('HSET', KEYS[2], ARGV[4], int(watermark))
return {word, int(watermark)}
