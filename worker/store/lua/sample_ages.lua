-- See how many generations are under way, and how old some of them are.
--
-- KEYS  1 lane of jobs
-- ARGV  1 prefix of the keys of jobs  2 how many to draw
-- Returns {how many, age of one that was drawn…}, seconds as text.
local at = now()
local found = {redis.call('ZCARD', KEYS[1])}
for _, id in ipairs(redis.call('ZRANDMEMBER', KEYS[1], ARGV[2])) do
  local flown = redis.call('HGET', ARGV[1] .. id .. '}', 'accepted_at')
  if flown then found[#found + 1] = seconds(at - tonumber(flown)) end
end
return found
