-- Store what a list poll has measured, and schedule the next one.
--
-- KEYS lane loop list_poll
-- ARGV name delay:number gap:number fields:list
--   Without a delay nothing is scheduled.
-- Returns what schedule_tick() returns.
local at = now()
redis.call('HSET', list_poll, 'at', seconds(at), unpack(fields))
if delay then return schedule(lane, loop, gap, name, at, delay) end
redis.call('ZREM', lane, name)
return false
