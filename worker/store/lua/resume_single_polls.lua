-- Poll the jobs of a lane singly again, spread over some seconds: the list of jobs no longer shows them.
--
-- KEYS jobs loop
-- ARGV within:number gap:number
-- Returns what schedule_tick() returns.
local at = now()
local deferred = redis.call('ZRANGEBYSCORE', jobs, '(' .. seconds(at + within), '+inf')
for i, id in ipairs(deferred) do redis.call('ZADD', jobs, seconds(at + within * i / #deferred), id) end
return deferred[1] and schedule_tick(loop, at, at + within / #deferred, gap)
