-- Creates the record of an app, when there is none.
-- KEYS[1] app: hash
-- ARGV[1...] field, value, field, value ...
-- Result: {"created"} or {"exists"}
if redis.call('EXISTS', KEYS[1]) == 1 then return {'exists'} end
for at = 1, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
return {'created'}
