-- Gives apps their network indexes, once: the wanted one if it is free, else the lowest free one.
-- KEYS[1] apps: hash of app name to index
-- ARGV[1...] app name, wanted index or "" for any, app name, wanted index ...
-- Result: the index of each
local used, own = {}, {}
local known = redis.call('HGETALL', KEYS[1])
for at = 1, #known, 2 do
  own[known[at]] = known[at + 1]
  used[known[at + 1]] = true
end
local lowest = 0
local result = {}
for at = 1, #ARGV, 2 do
  local name, index = ARGV[at], own[ARGV[at]]
  if not index then
    index = ARGV[at + 1]
    if index == '' or used[index] then
      while used[string.format("%d", lowest)] do lowest = lowest + 1 end
      index = string.format('%d', lowest)
    end
    redis.call('HSET', KEYS[1], name, index)
    own[name] = index
    used[index] = true
  end
  result[#result + 1] = tonumber(index)
end
return result
