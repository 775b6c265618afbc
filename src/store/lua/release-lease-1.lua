-- Gives a lease back, if it is still the caller's.
-- KEYS[1] lease: string "<token> <worker>" with an expiry
-- ARGV[1] worker
-- ARGV[2] fencing token
-- Result: {"released"}, {"not-held"} when it has expired, {"held", worker} when it is another's
local held = redis.call('GET', KEYS[1])
if not held then return {'not-held'} end
if held ~= ARGV[2] .. ' ' .. ARGV[1] then return {'held', string.match(held, '^%d+ (.*)$') or held} end
redis.call('DEL', KEYS[1])
return {'released'}
