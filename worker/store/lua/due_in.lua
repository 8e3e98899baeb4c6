-- Return when a member of a lane comes due.
--
-- KEYS lane
-- ARGV member
-- Returns seconds from now as text, negative if it is overdue, or false if the lane does not have it.
local due = redis.call('ZSCORE', lane, member)
return due and seconds(tonumber(due) - now())
