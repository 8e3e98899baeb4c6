-- Choose the id under which a job is replayed, once: a repeated replay gets the same id.
--
-- KEYS job
-- ARGV new_id
-- Returns the id, or false if the job has no record.
if redis.call('EXISTS', job) == 0 then return false end
redis.call('HSETNX', job, 'replayed_as', new_id)
return redis.call('HGET', job, 'replayed_as')
