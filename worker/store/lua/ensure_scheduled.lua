-- See to it that somebody asks whether a sweep is worth while, where there may be enough under way for one.
--
-- KEYS  1 lane of sweeps  2 its loop  3 what is known of the list  4 lane of jobs
-- ARGV  1 its name  2 least jobs under way  3 gap
-- Returns what arm() returns.
if redis.call('ZCARD', KEYS[1]) > 0 or redis.call('ZCARD', KEYS[4]) < tonumber(ARGV[2]) then return false end
redis.call('HSET', KEYS[3], 'id', ARGV[1])
return park(KEYS[1], KEYS[2], ARGV[3], ARGV[1], now(), 0)
