#!lua flags=allow-oom
-- allow-oom: the bound of the stream bounds it; a cancel must get through a full Redis.
-- KEYS stream sent:<message id>
-- ARGV payload bound repeat_ms content
local length = redis.call('XLEN', KEYS[1])
local sent, content = string.match(redis.call('GET', KEYS[2]) or '', '^(%S+) ?(%S*)$')
-- guard:content
if sent and content ~= '' and ARGV[4] ~= '' and content ~= ARGV[4] then return {'OTHER'} end
-- /guard:content
-- guard:repeat
if sent then return {'DUP', sent} end
-- /guard:repeat
-- guard:bound
if length >= tonumber(ARGV[2]) then return {'BUSY'} end
-- /guard:bound
local id = redis.call('XADD', KEYS[1], '*', 'm', ARGV[1])
redis.call('SET', KEYS[2], id .. ' ' .. ARGV[4], 'PX', ARGV[3])
return {'OK', id}
