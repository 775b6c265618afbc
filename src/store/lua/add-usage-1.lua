-- Adds to the usage of an app; a batch that is sent again changes nothing.
-- KEYS[1] usage: hash of "active:<day>", "stored:<day>" (GB-seconds), "wakes:<day>" by days since 1970 (UTC), the same without a day for all time,
--         "bytes" stored at the moment, "since" when they are not in the sums yet (ms), "newest" day, "batch:<worker>"
-- ARGV[1] worker
-- ARGV[2] batch: another one than the worker's last
-- ARGV[3] now, milliseconds since 1970
-- ARGV[4] number of days that are kept
-- ARGV[5] active GB-seconds
-- ARGV[6] wakes
-- ARGV[7] bytes that are stored from now on, or "" when that has not changed
-- Result: {"added"} or {"known"}
local key, msPerDay, bytesPerGb = KEYS[1], 86400000, 1073741824
local seen = 'batch:' .. ARGV[1]
if redis.call('HGET', key, seen) == ARGV[2] then return {'known'} end
redis.call('HSET', key, seen, ARGV[2])
local now, kept = tonumber(ARGV[3]), tonumber(ARGV[4])
local today = math.floor(now / msPerDay)

local function add(what, day, amount)
  local text = string.format('%.9f', amount)
  redis.call('HINCRBYFLOAT', key, string.format('%s:%d', what, day), text)
  redis.call('HINCRBYFLOAT', key, what, text)
end

if tonumber(ARGV[5]) > 0 then add('active', today, tonumber(ARGV[5])) end
if tonumber(ARGV[6]) > 0 then add('wakes', today, tonumber(ARGV[6])) end

if ARGV[7] ~= '' then
  local gigabytes = (tonumber(redis.call('HGET', key, 'bytes') or '0')) / bytesPerGb
  local since = tonumber(redis.call('HGET', key, 'since') or ARGV[3])
  -- Another worker's clock may be ahead of ours.
  if now >= since then
    local from = math.max(since, (today - kept + 1) * msPerDay)
    while gigabytes > 0 and from < now do
      local day = math.floor(from / msPerDay)
      local to = math.min(now, (day + 1) * msPerDay)
      add('stored', day, gigabytes * (to - from) / 1000)
      from = to
    end
    redis.call('HSET', key, 'since', ARGV[3])
  end
  redis.call('HSET', key, 'bytes', ARGV[7])
end

local newest = tonumber(redis.call('HGET', key, 'newest') or '0')
if today > newest then
  redis.call('HSET', key, 'newest', string.format('%d', today))
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local what, day = string.match(field, '^(%a+):(%d+)$')
    if what and what ~= 'batch' and tonumber(day) <= today - kept then redis.call('HDEL', key, field) end
  end
end
return {'added'}
