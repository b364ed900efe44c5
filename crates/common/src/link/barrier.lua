#!lua flags=allow-oom
-- KEYS barrier:<instance>
-- Any write does: its reply comes after the fsync of all that was written before it.
local time = redis.call('TIME')
redis.call('SET', KEYS[1], time[1], 'EX', 86400)
return {'OK'}
