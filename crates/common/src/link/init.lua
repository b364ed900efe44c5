#!lua flags=allow-oom
-- KEYS gen requests
-- ARGV generation may_create group
local stored = redis.call('GET', KEYS[1])
local generation = ARGV[1]
-- guard:once
if stored then generation = stored end
-- /guard:once
if generation ~= stored then
  -- guard:may_create
  if ARGV[2] ~= '1' then return {'MISSING'} end
  -- /guard:may_create
end
-- The first write; an existing group answers BUSYGROUP, any other error leaves nothing behind.
local group = redis.pcall('XGROUP', 'CREATE', KEYS[2], ARGV[3], '0', 'MKSTREAM')
if group.err and not string.find(group.err, 'BUSYGROUP', 1, true) then return group end
if generation ~= stored then redis.call('SET', KEYS[1], generation) end
return {'OK', generation}
