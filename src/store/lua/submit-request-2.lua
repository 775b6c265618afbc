-- Leaves a request for the gateway. The request itself expires, so that what stays in the queue is then an empty name.
-- KEYS[1] queue: list of request ids
-- KEYS[2] request: string with an expiry
-- ARGV[1] request id
-- ARGV[2] request
-- ARGV[3] time to live in milliseconds
-- ARGV[4] most ids the queue may hold; the oldest are dropped
-- Result: {"submitted"}
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], -tonumber(ARGV[4]), -1)
return {'submitted'}
