-- Extends a lease. One that has expired is taken again as long as its token is still the newest: nobody owned the app since.
-- KEYS[1] lease: string "<token> <worker>" with an expiry
-- KEYS[2] token: the newest fencing token
-- ARGV[1] worker
-- ARGV[2] fencing token
-- ARGV[3] time to live in milliseconds
-- Result: {"extended"}; {"old-token", newest} when there was a newer owner; {"unknown-token", newest} when Redis has lost state
local newest = tonumber(redis.call('GET', KEYS[2]) or '0')
local token = tonumber(ARGV[2])
if token < newest then return {'old-token', newest} end
if token > newest then return {'unknown-token', newest} end
redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. ARGV[1], 'PX', ARGV[3])
return {'extended'}
