-- Says that a worker is there, unless another gateway has its name.
-- KEYS[1] heartbeat: string, the identity of the gateway, with an expiry
-- ARGV[1] identity
-- ARGV[2] time to live in milliseconds
-- Result: {"beaten"} or {"taken", other identity, remaining milliseconds}
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return {'taken', held, redis.call('PTTL', KEYS[1])} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {'beaten'}
