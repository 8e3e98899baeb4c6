-- Stands in front of the scripts that tell others: events, Celery's result backend, webhooks.

-- Write one event to the job's stream and to everybody's. `data` is the outcome as JSON, or ''.
-- A server sets 4 kB aside for a stream that begins (stream-node-max-bytes); a copy of it takes what its entries need.
local function announce(events, all, longest, id, event)
  local fields = {'type', event.type, 'sequence', event.sequence, 'timestamp', event.timestamp}
  if event.data ~= '' then table.insert(fields, 'data'); table.insert(fields, event.data) end
  if redis.call('EXISTS', events) == 1 then
    redis.call('XADD', events, '*', unpack(fields))
  else
    local draft = events .. ':draft'
    redis.call('XADD', draft, '*', unpack(fields))
    redis.call('COPY', draft, events)
    redis.call('DEL', draft)
  end
  redis.call('XADD', all, 'MAXLEN', '~', longest, '*', 'job', id, unpack(fields))
end

-- Tell Celery's result backend, as it would itself: whoever waits in `AsyncResult.get()` listens on the key's channel.
-- `kept` is what stands there afterwards.
local function tell(key, ttl, text, kept)
  if text == '' then return end
  redis.call('SETEX', key, ttl, kept)
  redis.call('PUBLISH', key, text)
end

-- Store webhooks and park them. `first` is where they start in ARGV, four values each: id, type, url, body;
-- their keys start at KEYS[key]. Returns what arm() returns.
local function schedule_deliveries(key, first, lane, loop, gap, set, job, at, ttl)
  local wake = false
  while ARGV[first] do
    local id = ARGV[first]
    if redis.call('EXISTS', KEYS[key]) == 0 then
      redis.call('HSET', KEYS[key], 'id', id, 'type', ARGV[first + 1], 'url', ARGV[first + 2], 'body', ARGV[first + 3],
        'job', job, 'state', 'pending', 'attempts', 0, 'created', seconds(at))
      redis.call('EXPIRE', KEYS[key], ttl)
      redis.call('SADD', set, id)
      redis.call('EXPIRE', set, ttl)
      wake = park(lane, loop, gap, id, at, 0) or wake
    end
    key = key + 1
    first = first + 4
  end
  return wake
end
