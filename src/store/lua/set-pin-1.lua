-- Says whether an operator wants an app to stay awake. Whoever owns the app: this is not the owner's to say.
-- KEYS[1] app: hash
-- ARGV[1] value of the field "pin"
-- Result: {"updated"}; {"missing"}
if redis.call('EXISTS', KEYS[1]) == 0 then return {'missing'} end
redis.call('HSET', KEYS[1], 'pin', ARGV[1])
return {'updated'}
