-- Batches: how many jobs of one have ended, and how. A job that belongs to none has `total` 0, or no key.

local BATCH_STATES = {'succeeded', 'failed', 'expired', 'canceled'}

local function keep_batch(key, ttl) if redis.call('TTL', key) < ttl then redis.call('EXPIRE', key, ttl) end end

-- Record that a job belongs to a batch. The first job sets the total.
local function join_batch(batch, id, total, timestamp, ttl)
  if total == 0 then return end
  redis.call('HSETNX', batch, 'id', id)
  redis.call('HSETNX', batch, 'total', total)
  redis.call('HSETNX', batch, 'created_at', timestamp)
  keep_batch(batch, ttl)
end

-- Count the end of a job; with the last one, write the event. Must be called once for each job.
local function end_in_batch(batch, events, state, timestamp, ttl)
  if redis.call('EXISTS', batch) == 0 then return end
  redis.call('HINCRBY', batch, state, 1)
  keep_batch(batch, ttl)
  if redis.call('HINCRBY', batch, 'ended', 1) ~= tonumber(redis.call('HGET', batch, 'total')) then return end
  redis.call('HSET', batch, 'finished_at', timestamp)
  local found = redis.call('HMGET', batch, 'id', 'total', 'created_at', unpack(BATCH_STATES))
  local data = {id = found[1], total = tonumber(found[2]), created_at = found[3], finished_at = timestamp}
  for i, name in ipairs(BATCH_STATES) do data[name] = tonumber(found[3 + i] or '0') end
  redis.call('XADD', events, '*', 'type', 'batch.finished', 'timestamp', timestamp, 'data', cjson.encode(data))
  keep_batch(events, redis.call('TTL', batch))
end
