-- Write down what a sweep has learned, and when the next one is due.
--
-- KEYS  1 lane of sweeps  2 its loop  3 what is known of the list
-- ARGV  1 its name  2 seconds until the next sweep, or '' for none  3 gap  4 number of fields, then the field pairs
-- Returns what arm() returns.
local at, fields = now(), {'at', seconds(now())}
for i = 5, 4 + tonumber(ARGV[4]) do fields[#fields + 1] = ARGV[i] end
redis.call('HSET', KEYS[3], unpack(fields))
if ARGV[2] == '' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  return false
end
return park(KEYS[1], KEYS[2], ARGV[3], ARGV[1], at, tonumber(ARGV[2]))
