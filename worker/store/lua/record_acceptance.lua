-- Record that PhotoGPT accepted a trigger without naming a generation, so that no worker triggers the job again, even
-- if the worker that has the answer dies. The next intent makes this void.
--
-- KEYS job
-- ARGV intent
-- Returns 1, or 0: that intent is no longer the open one, so the job is another worker's.
if redis.call('HGET', job, 'intent_at') ~= intent then return 0 end
redis.call('HSET', job, 'accepted_intent', intent)
return 1
