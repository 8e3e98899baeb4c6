-- Record that PhotoGPT is about to be asked to start a job. From here to the answer the job may have been paid for.
-- One worker gets the right to ask. A repeat of its own call is granted too: redis-py repeats a call whose answer was
-- lost.
--
-- KEYS job intents
-- ARGV id asked_by model_fingerprint
-- Returns the server's time, or false: the job has ended, is under way, or another worker has asked.
local record = redis.call('HMGET', job, 'state', 'intent_at', 'intent_by', 'generation_id')
if record[1] ~= 'queued' or record[4] then return false end
if record[2] then return record[3] == asked_by and record[2] end
local at = now()
redis.call('HSET', job, 'intent_at', seconds(at), 'intent_by', asked_by)
if model_fingerprint ~= '' then redis.call('HSET', job, 'model_fingerprint_before', model_fingerprint) end
redis.call('HINCRBY', job, 'attempts', 1)
redis.call('ZREMRANGEBYSCORE', intents, '-inf', seconds(at - LISTED_FOR_S))
redis.call('ZADD', intents, seconds(at), id)
return seconds(at)
