-- Poll the jobs of a lane singly again, spread over some seconds: the list of jobs no longer shows them.
--
-- KEYS jobs loop
-- ARGV job_pattern within:number interval:number gap:number
--   A job that was accepted or polled singly less than `interval` seconds ago is polled so long after that.
-- Returns what schedule_tick() returns.
local at = now()
local deferred = redis.call('ZRANGEBYSCORE', jobs, '(' .. seconds(at + within), '+inf')
for i, id in ipairs(deferred) do
  local known = redis.call('HMGET', key_of(job_pattern, id), 'accepted_at', 'last_polled_at')
  local after = interval + math.max(tonumber(known[1] or 0), tonumber(known[2] or 0))
  redis.call('ZADD', jobs, 'LT', seconds(math.max(at + within * i / #deferred, after)), id)
end
return deferred[1] and schedule_tick(loop, at, at + within / #deferred, gap)
