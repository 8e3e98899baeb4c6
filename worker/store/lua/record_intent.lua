-- Write down that PhotoGPT is about to be asked to start a job. From here to the answer the job may have been paid for.
-- One worker gets the right to ask; a repeat of its own call (the client retries by itself) is granted too.
--
-- KEYS  1 job  2 intents
-- ARGV  1 id  2 who asks: a fresh random text  3 training: how the model was before, or ''
-- Returns the server's time, or false: the job has ended, is under way, or somebody else asked.
local record = redis.call('HMGET', KEYS[1], 'state', 'intent_at', 'intent_by', 'generation_id')
if record[1] ~= 'queued' or record[4] then return false end
if record[2] then return record[3] == ARGV[2] and record[2] end
local at = seconds(now())
redis.call('HSET', KEYS[1], 'intent_at', at, 'intent_by', ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'model_fingerprint_before', ARGV[3]) end
redis.call('HINCRBY', KEYS[1], 'attempts', 1)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', seconds(now() - 8 * 86400))  -- older ones can no longer be settled
redis.call('ZADD', KEYS[2], at, ARGV[1])
return at
