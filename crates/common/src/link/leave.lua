#!lua flags=allow-oom
-- KEYS requests
-- ARGV group consumer returned idle_ms count
local function pending(count)
  return redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', count, ARGV[2])
end
local page = pending(ARGV[5])
for i = 1, #page do
  -- Who ends in order has not died of it: the take-over that follows raises the count again.
  local deliveries = math.max(page[i][4] - 1, 0)
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, page[i][1],
    'IDLE', ARGV[4], 'RETRYCOUNT', deliveries, 'JUSTID')
end
-- guard:pending
-- Deleting a consumer drops its pending entries: they would never be delivered again.
if #pending(1) > 0 then return {'MORE', #page} end
-- /guard:pending
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return {'OK', #page}
