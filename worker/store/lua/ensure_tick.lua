-- Make sure that a lane with members has a tick message on its way. Every worker asks about once a second, so that a
-- lost message, a dead worker or a broker that lost its data costs seconds.
--
-- KEYS lane loop queues:list
--   The queue is that of jobs that wait for admission, for the lane of triggers only.
-- ARGV gap:number again:flag
--   `again`: send it although one may be on its way, since a killed worker may hold that.
-- Returns what schedule_tick() returns.
local first = redis.call('ZRANGE', lane, 0, 0, 'WITHSCORES')
if not first[1] then return false end
local at = now()
local due = tonumber(first[2])
for _, queue in ipairs(queues) do
  if redis.call('ZCARD', queue) > 0 then due = at end
end
if again then redis.call('HSET', loop, 'tick_due_at', 0) end
if due > at + MAX_COUNTDOWN_S then return false end
return schedule_tick(loop, at, due, gap)
