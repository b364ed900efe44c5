#!lua flags=allow-oom
-- KEYS lane:<target>
-- ARGV by (empty = resume)
redis.call('HLEN', KEYS[1])
local was = redis.call('HGET', KEYS[1], 'paused_by')
if ARGV[1] == '' then
  if not was then return {'SAME'} end
  redis.call('HDEL', KEYS[1], 'paused_by')
  return {'OK'}
end
if was then return {'SAME'} end
redis.call('HSET', KEYS[1], 'paused_by', ARGV[1])
return {'OK'}
