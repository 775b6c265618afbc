-- Leaves the answer to a request, for a while.
-- KEYS[1] reply: list of one answer
-- ARGV[1] answer
-- ARGV[2] time to live in milliseconds
-- Result: {"answered"}
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'answered'}
