-- Let a job that is known already count in a batch that names it, too. Safe to repeat: the batch remembers the job.
--
-- KEYS job batch batch_events
-- ARGV id batch_id batch_total:number timestamp
-- USES batches
-- Returns 1, or 0: the job has no record, was accepted with this batch, or has joined it before.
local record = redis.call('HMGET', job, 'state', 'batch')
if not record[1] then return 0 end
local is_read, own = pcall(cjson.decode, record[2] or '[]')
if is_read and own[1] == batch_id then return 0 end
if redis.call('HSETNX', batch, 'joined:' .. id, 1) == 0 then return 0 end
local ttl = redis.call('TTL', job)
join_batch(batch, batch_id, batch_total, timestamp, ttl)
if is_terminal(record[1]) then
  end_in_batch(batch, batch_events, record[1], timestamp, ttl)
  return 1
end
local others = other_batches(job)
others[#others + 1] = batch_id
redis.call('HSET', job, 'other_batches', cjson.encode(others))
return 1
