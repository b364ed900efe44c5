#!lua flags=allow-oom
-- KEYS requests
-- ARGV group silent_ms
local forgotten = 0
local consumers = redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
for i = 1, #consumers do
  local fields = {}
  for f = 1, #consumers[i], 2 do fields[consumers[i][f]] = consumers[i][f + 1] end
  local is_gone = true
  -- guard:silent
  is_gone = fields['idle'] >= tonumber(ARGV[2])
  -- /guard:silent
  -- guard:pending
  -- Deleting a consumer drops its pending entries: they would never be delivered again.
  is_gone = is_gone and fields['pending'] == 0
  -- /guard:pending
  if is_gone then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], fields['name'])
    forgotten = forgotten + 1
  end
end
return {'OK', forgotten}
