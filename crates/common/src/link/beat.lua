#!lua flags=allow-oom
-- KEYS members
-- ARGV instance read_id url
local SILENT_MS = 24 * 3600 * 1000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local members = redis.call('HGETALL', KEYS[1])
-- guard:silent
for i = 1, #members, 2 do
  local beat = tonumber(string.match(members[i + 1], '^%d+') or '0')
  if now - beat > SILENT_MS then redis.call('HDEL', KEYS[1], members[i]) end
end
-- /guard:silent
local text = string.format('%.0f', now)
local url = ARGV[3] ~= '' and ' ' .. ARGV[3] or ''
redis.call('HSET', KEYS[1], ARGV[1], text .. ' ' .. ARGV[2] .. url)
return {'OK', text}
