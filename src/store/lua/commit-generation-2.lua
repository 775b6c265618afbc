-- Moves the pointer to an app's newest checkpoint, on behalf of its newest owner, when it still points to the expected parent.
-- KEYS[1] app: hash; field "generation" is the pointer ("" for none), "committedBy" the token that moved it last
-- KEYS[2] token: the newest fencing token
-- ARGV[1] fencing token
-- ARGV[2] expected parent generation, "" for none
-- ARGV[3] new generation
-- ARGV[4...] field, value, field, value ...
-- Result: {"committed"}, also when the same owner repeats it; {"conflict", current}; {"missing"}; {"old-token", newest};
--         {"unknown-token", newest} when Redis has lost state
local newest = tonumber(redis.call('GET', KEYS[2]) or '0')
local token = tonumber(ARGV[1])
if token < newest then return {'old-token', newest} end
if token > newest then return {'unknown-token', newest} end
if redis.call('EXISTS', KEYS[1]) == 0 then return {'missing'} end
local current = redis.call('HGET', KEYS[1], 'generation') or ''
local repeated = current == ARGV[3] and redis.call('HGET', KEYS[1], 'committedBy') == ARGV[1]
if current ~= ARGV[2] and not repeated then return {'conflict', current} end
redis.call('HSET', KEYS[1], 'generation', ARGV[3], 'committedBy', ARGV[1])
for at = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
return {'committed'}
