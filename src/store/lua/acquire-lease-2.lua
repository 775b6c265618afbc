-- Takes the lease of an app with a new fencing token, when nobody holds it.
-- KEYS[1] lease: string "<token> <worker>" with an expiry
-- KEYS[2] token: the counter behind fencing tokens, never deleted
-- ARGV[1] worker
-- ARGV[2] time to live in milliseconds
-- ARGV[3] "1": a lease held under the same worker name is taken over (a restarted gateway); "0": it counts as held
-- Result: {"acquired", token} or {"held", worker, remaining milliseconds}
local held = redis.call('GET', KEYS[1])
if held then
  local owner = string.match(held, '^%d+ (.*)$') or held
  if ARGV[3] ~= '1' or owner ~= ARGV[1] then
    return {'held', owner, redis.call('PTTL', KEYS[1])}
  end
end
local token = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], string.format('%.0f', token) .. ' ' .. ARGV[1], 'PX', ARGV[2])
return {'acquired', token}
