-- Add one to a counter of a job, in one step: a record that expires between a check and a write would come back without
-- a TTL.
--
-- KEYS job
-- ARGV field
-- Returns the new value, or 0 if the job has no record.
if redis.call('EXISTS', job) == 0 then return 0 end
return redis.call('HINCRBY', job, field, 1)
