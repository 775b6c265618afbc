-- Takes the lease of an app with a new fencing token, when nobody holds it. Tokens are the time in milliseconds, or one more than the last
-- where that is greater: so they grow even when a failover, or an emptied Redis, has lost the last ones.
-- KEYS[1] lease: string "<token> <worker>" with an expiry
-- KEYS[2] token: the newest fencing token, never deleted
-- ARGV[1] worker
-- ARGV[2] time to live in milliseconds
-- ARGV[3] "1": a lease held under the same worker name is taken over (a restarted gateway); "0": it counts as held
-- Result: {"acquired", token, previous token (0: none)} or {"held", worker, remaining milliseconds}
local held = redis.call('GET', KEYS[1])
if held then
  local owner = string.match(held, '^%d+ (.*)$') or held
  if ARGV[3] ~= '1' or owner ~= ARGV[1] then
    return {'held', owner, redis.call('PTTL', KEYS[1])}
  end
end
local now = redis.call('TIME')
local previous = tonumber(redis.call('GET', KEYS[2]) or '0')
local token = math.max(previous + 1, tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000))
local text = string.format('%.0f', token)
redis.call('SET', KEYS[2], text)
redis.call('SET', KEYS[1], text .. ' ' .. ARGV[1], 'PX', ARGV[2])
return {'acquired', token, previous}
