-- Batches: how many items of one have ended, and how. A job that belongs to none has the batch id ''.

local BATCH_COUNTS = {'succeeded', 'failed', 'expired', 'canceled', 'rejected'}

local function keep_batch(key, ttl) if redis.call('TTL', key) < ttl then redis.call('EXPIRE', key, ttl) end end

-- Record that an item belongs to a batch. The first one that knows the total, which is above 0, sets it.
local function join_batch(batch, id, total, timestamp, ttl)
  if id == '' then return end
  redis.call('HSETNX', batch, 'id', id)
  if total > 0 then redis.call('HSETNX', batch, 'total', total) end
  redis.call('HSETNX', batch, 'created_at', timestamp)
  keep_batch(batch, ttl)
end

-- Write the event of a batch once all its items have ended.
local function finish_batch(batch, events, timestamp)
  local found = redis.call('HMGET', batch, 'id', 'total', 'created_at', 'ended', 'finished_at', unpack(BATCH_COUNTS))
  local total = tonumber(found[2])
  if found[5] or not total or tonumber(found[4]) < total then return end
  redis.call('HSET', batch, 'finished_at', timestamp)
  local data = {id = found[1], total = total, created_at = found[3], finished_at = timestamp}
  for i, name in ipairs(BATCH_COUNTS) do data[name] = tonumber(found[5 + i] or '0') end
  redis.call('XADD', events, '*', 'type', 'batch.finished', 'timestamp', timestamp, 'data', cjson.encode(data))
  keep_batch(events, redis.call('TTL', batch))
end

-- Count the end of an item, as one of BATCH_COUNTS. Must be called once for each item.
local function end_in_batch(batch, events, count, timestamp, ttl)
  if redis.call('EXISTS', batch) == 0 then return end
  redis.call('HINCRBY', batch, count, 1)
  redis.call('HINCRBY', batch, 'ended', 1)
  keep_batch(batch, ttl)
  finish_batch(batch, events, timestamp)
end

-- Return the ids of the batches that a job joined after another producer had sent it.
local function other_batches(job) return cjson.decode(redis.call('HGET', job, 'other_batches') or '[]') end
