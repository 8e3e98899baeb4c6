-- Poll the jobs of a lane singly again, spread over one interval: the list of jobs no longer shows them.
--
-- KEYS jobs loop
-- ARGV interval:number gap:number
-- Returns what schedule_tick() returns.
local at = now()
local deferred = redis.call('ZRANGEBYSCORE', jobs, '(' .. seconds(at + interval), '+inf')
for i, id in ipairs(deferred) do redis.call('ZADD', jobs, seconds(at + interval * (i - 1) / #deferred), id) end
return deferred[1] and schedule_tick(loop, at, at, gap)
