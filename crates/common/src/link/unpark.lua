#!lua flags=allow-oom
-- KEYS lease parked in
-- ARGV epoch token, then ids
local lease = redis.call('HMGET', KEYS[1], 'epoch', 'token')
-- guard:epoch
if lease[1] ~= ARGV[1] then return {'FENCED'} end
-- /guard:epoch
-- guard:token
if lease[2] ~= ARGV[2] then return {'FENCED'} end
-- /guard:token
redis.call('XLEN', KEYS[3])
local reply = {'OK'}
for i = 3, #ARGV do
  local entry = redis.call('XRANGE', KEYS[2], ARGV[i], ARGV[i])[1]
  if entry then
    local id = redis.call('XADD', KEYS[3], '*', unpack(entry[2]))
    redis.call('XDEL', KEYS[2], ARGV[i])
    reply[i - 1] = {'OK', id}
  else
    reply[i - 1] = {'GONE'}
  end
end
return reply
