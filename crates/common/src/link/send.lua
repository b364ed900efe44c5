#!lua flags=allow-oom
-- allow-oom: the bound of the stream bounds it; a cancel must get through a full Redis.
-- KEYS stream sent:<message id>, then the share's stream if the message is of one
-- ARGV payload bound repeat_ms content share_max
local length = redis.call('XLEN', KEYS[1])
local sent, content = string.match(redis.call('GET', KEYS[2]) or '', '^(%S+) ?(%S*)$')
if KEYS[3] then redis.call('XLEN', KEYS[3]) end
-- guard:content
if sent and content ~= '' and ARGV[4] ~= '' and content ~= ARGV[4] then return {'OTHER'} end
-- /guard:content
-- guard:repeat
if sent then return {'DUP', sent} end
-- /guard:repeat
-- guard:bound
if length >= tonumber(ARGV[2]) then return {'BUSY'} end
-- /guard:bound
-- guard:share
if KEYS[3] then
  -- COMMIT takes from the front alone: what is below the front waits no more.
  local front = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  if front then
    redis.call('XTRIM', KEYS[3], 'MINID', front[1])
  else
    redis.call('XTRIM', KEYS[3], 'MAXLEN', 0)
  end
  if redis.call('XLEN', KEYS[3]) >= tonumber(ARGV[5]) then return {'BUSY'} end
end
-- /guard:share
local id = redis.call('XADD', KEYS[1], '*', 'm', ARGV[1])
if KEYS[3] then redis.call('XADD', KEYS[3], id, 'm', '') end
redis.call('SET', KEYS[2], id .. ' ' .. ARGV[4], 'PX', ARGV[3])
return {'OK', id}
