#!lua flags=allow-oom
-- allow-oom: the bound of the stream bounds it; a cancel must get through a full Redis.
-- KEYS stream sent:<message id>
-- ARGV payload bound repeat_ms
local length = redis.call('XLEN', KEYS[1])
local sent = redis.call('GET', KEYS[2])
-- guard:repeat
if sent then return {'DUP', sent} end
-- /guard:repeat
-- guard:bound
if length >= tonumber(ARGV[2]) then return {'BUSY'} end
-- /guard:bound
local id = redis.call('XADD', KEYS[1], '*', 'm', ARGV[1])
redis.call('SET', KEYS[2], id, 'PX', ARGV[3])
return {'OK', id}
