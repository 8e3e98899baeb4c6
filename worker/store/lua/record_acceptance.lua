-- Write down that PhotoGPT said yes to an open intent and named nothing, so that nobody asks again whatever becomes of
-- the worker that heard it. Void with the next intent.
--
-- KEYS  1 job
-- ARGV  1 the intent's time, as stored
-- Returns 1, or 0: that intent is no longer the open one; the job is another worker's.
if redis.call('HGET', KEYS[1], 'intent_at') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'accepted_intent', ARGV[1])
return 1
