-- Gives an app its network index, once: the wanted one if it is free, else the lowest free one.
-- KEYS[1] apps: hash of app name to index
-- ARGV[1] app name
-- ARGV[2] wanted index, or "" for any
-- Result: the index
local own = redis.call('HGET', KEYS[1], ARGV[1])
if own then return tonumber(own) end
local used = {}
for _, index in ipairs(redis.call('HVALS', KEYS[1])) do used[index] = true end
local index = tonumber(ARGV[2])
if not index or used[ARGV[2]] then
  index = 0
  while used[tostring(index)] do index = index + 1 end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d', index))
return index
