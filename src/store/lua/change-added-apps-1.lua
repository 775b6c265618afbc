-- Changes the set of apps that were added while gateways run. Its version only grows, also when Redis was emptied: it is a time.
-- KEYS[1] added apps: hash, "version", and "app:<name>" to the app as JSON
-- ARGV[1] "add": ARGV[2] name, ARGV[3] app
--         "remove": ARGV[2] name
--         "restore", when what Redis has is older: ARGV[2] version, ARGV[3...] name, app, name, app ...
-- Result: {"changed", version}; {"exists"}, {"missing"}, {"kept"}: nothing was changed
local version = tonumber(redis.call('HGET', KEYS[1], 'version') or '0')
if ARGV[1] == 'restore' then
  if version >= tonumber(ARGV[2]) then return {'kept'} end
  redis.call('DEL', KEYS[1])
  for at = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], 'app:' .. ARGV[at], ARGV[at + 1]) end
  redis.call('HSET', KEYS[1], 'version', ARGV[2])
  return {'changed', tonumber(ARGV[2])}
end
local field = 'app:' .. ARGV[2]
local exists = redis.call('HEXISTS', KEYS[1], field) == 1
if ARGV[1] == 'add' and exists then return {'exists'} end
if ARGV[1] == 'remove' and not exists then return {'missing'} end
local time = redis.call('TIME')
version = math.max(version + 1, time[1] * 1000 + math.floor(time[2] / 1000))
if ARGV[1] == 'add' then redis.call('HSET', KEYS[1], field, ARGV[3]) else redis.call('HDEL', KEYS[1], field) end
redis.call('HSET', KEYS[1], 'version', string.format('%d', version))
return {'changed', version}
