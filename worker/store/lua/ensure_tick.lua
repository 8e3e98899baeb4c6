-- See to it that a lane with members has a tick message on its way. Every worker asks about once a second, so that a
-- lost message, a dead worker or a broker that forgot costs seconds.
--
-- KEYS  1 lane  2 its loop  3 triggers only: the queue before it
-- ARGV  1 gap
-- Returns what arm() returns.
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if not first[1] then return false end
local at = now()
local due = tonumber(first[2])
if KEYS[3] and redis.call('ZCARD', KEYS[3]) > 0 then due = at end
if due > at + LONGEST then return false end
return arm(KEYS[2], at, due, ARGV[1])
