-- Puts the record of an app back after Redis has lost it; never goes back behind what Redis knows.
-- KEYS[1] app: hash
-- KEYS[2] token: the newest fencing token; raised to ARGV[1] when it is lower
-- ARGV[1] highest fencing token known to have been given out
-- ARGV[2] generation of the record, "" for none
-- ARGV[3...] field, value, field, value ... (all of them, "generation" too)
-- Result: {"restored"}, or {"kept"} when Redis has a record of the same or a newer generation
local newest = tonumber(redis.call('GET', KEYS[2]) or '0')
if newest < tonumber(ARGV[1]) then redis.call('SET', KEYS[2], ARGV[1]) end
if redis.call('EXISTS', KEYS[1]) == 1 then
  local current = tonumber(redis.call('HGET', KEYS[1], 'generation') or '') or 0
  if current >= (tonumber(ARGV[2]) or 0) then return {'kept'} end
end
for at = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
return {'restored'}
