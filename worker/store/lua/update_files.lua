-- Store how far the files of a job are.
--
-- KEYS job progress
-- ARGV ttl:number failed:flag fields:list cleared:list
--   Failed: count one more failed attempt.
-- Returns the number of failed attempts in a row; 0 if the job has no record.
if redis.call('EXISTS', job) == 0 then return 0 end
if #fields > 0 then redis.call('HSET', progress, unpack(fields)) end
if #cleared > 0 then redis.call('HDEL', progress, unpack(cleared)) end
if failed then redis.call('HINCRBY', progress, 'attempts', 1) end
if redis.call('TTL', progress) < ttl then redis.call('EXPIRE', progress, ttl) end
return tonumber(redis.call('HGET', progress, 'attempts') or '0')
