-- Merges fields into the record of an app on behalf of its newest owner.
-- KEYS[1] app: hash
-- KEYS[2] token: the newest fencing token
-- ARGV[1] fencing token
-- ARGV[2...] field, value, field, value ...
-- Result: {"updated"}; {"missing"}; {"old-token", newest}; {"unknown-token", newest} when Redis has lost state
local newest = tonumber(redis.call('GET', KEYS[2]) or '0')
local token = tonumber(ARGV[1])
if token < newest then return {'old-token', newest} end
if token > newest then return {'unknown-token', newest} end
if redis.call('EXISTS', KEYS[1]) == 0 then return {'missing'} end
for at = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
return {'updated'}
