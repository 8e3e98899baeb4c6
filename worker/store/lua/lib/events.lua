-- Event streams and Celery's result.

-- Append one event to the job's stream and to the stream of all jobs. `data` is the outcome as JSON, or ''.
-- The first event goes through `draft`: a new stream takes 4 kB (stream-node-max-bytes), a copy only what it holds.
local function append_event(events, all_events, draft, max_length, job, event)
  local fields = {'type', event.type, 'sequence', event.sequence, 'timestamp', event.timestamp}
  if event.data ~= '' then table.insert(fields, 'data'); table.insert(fields, event.data) end
  if redis.call('EXISTS', events) == 1 then
    redis.call('XADD', events, '*', unpack(fields))
  else
    redis.call('XADD', draft, '*', unpack(fields))
    redis.call('COPY', draft, events)
    redis.call('DEL', draft)
  end
  redis.call('XADD', all_events, 'MAXLEN', '~', max_length, '*', 'job', job, unpack(fields))
end

-- Write a Celery result as Celery's backend does: `AsyncResult.get()` waits on the channel named like the key.
-- `kept` is the value of the key afterwards.
local function publish_result(key, ttl, text, kept)
  if text == '' then return end
  redis.call('SETEX', key, ttl, kept)
  redis.call('PUBLISH', key, text)
end
