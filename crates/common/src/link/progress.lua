#!lua flags=allow-oom
-- KEYS lane:<target> status, then prog:<seq> per entry
-- ARGV epoch token target, then per entry: seq state value
local RANKS = {relayed = 1, sent = 2, included = 3, deferred = 4, final = 5, failed = 5, revoked = 5}
local LAST = 5
local lease = redis.call('HMGET', KEYS[1], 'epoch', 'token')
-- guard:epoch
if lease[1] ~= ARGV[1] then return {'FENCED'} end
-- /guard:epoch
-- guard:token
if lease[2] ~= ARGV[2] then return {'FENCED'} end
-- /guard:token
local target = ARGV[3]
redis.call('XLEN', KEYS[2])
local entries = {}
local sent = '#sent:' .. target
for i = 3, #KEYS do entries[KEYS[i]] = redis.call('HMGET', KEYS[i], '#v', target, sent) end

local function move(key, a)
  local version, current = entries[key][1], entries[key][2]
  local seq, state, value = ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
  -- guard:exists
  if not version then return 'GONE' end
  -- /guard:exists
  if current == value then return 'KEPT' end
  local rank = RANKS[string.match(current or 'relayed', '^%l+')]
  -- guard:upwards
  if rank == LAST or RANKS[state] < rank then return 'KEPT' end
  -- /guard:upwards
  local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 'seq', seq, 'target', target, 'state', state)
  local sent_ms = RANKS[state] > RANKS.relayed and string.match(id, '^%d+')
  -- guard:first
  sent_ms = entries[key][3] or sent_ms
  -- /guard:first
  if sent_ms then
    redis.call('HSET', key, target, value, sent, sent_ms)
  else
    redis.call('HSET', key, target, value)
  end
  redis.call('HINCRBY', key, '#v', 1)
  entries[key] = {'1', value, sent_ms}
  return 'OK'
end

local reply = {'OK'}
for i = 1, #KEYS - 2 do reply[i + 1] = move(KEYS[i + 2], 3 + (i - 1) * 3) end
return reply
