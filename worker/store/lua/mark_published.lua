-- Record that the Celery result of a job is stored, so that its message is not sent again.
--
-- KEYS job results
-- ARGV id timestamp retention:number
-- Returns 1, or 0 if the job has no record.
redis.call('ZREM', results, id)
if redis.call('EXISTS', job) == 0 then return 0 end
redis.call('HSET', job, 'published_at', timestamp)
redis.call('EXPIRE', job, retention)
return 1
