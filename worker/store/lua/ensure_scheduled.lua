-- Schedule the list poll after a delay, unless it is scheduled, if enough generations are in flight.
--
-- KEYS lane loop list_poll jobs
-- ARGV name min_in_flight:number delay:number gap:number
-- Returns what schedule_tick() returns.
if redis.call('ZCARD', lane) > 0 or redis.call('ZCARD', jobs) < min_in_flight then return false end
redis.call('HSET', list_poll, 'id', name)
return schedule(lane, loop, gap, name, now(), delay)
