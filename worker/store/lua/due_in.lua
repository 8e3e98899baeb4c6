-- Tell when a member of a lane comes due.
--
-- KEYS  1 lane
-- ARGV  1 member
-- Returns seconds from now as text, negative if it is overdue, or false if it is not there.
local due = redis.call('ZSCORE', KEYS[1], ARGV[1])
return due and seconds(tonumber(due) - now())
