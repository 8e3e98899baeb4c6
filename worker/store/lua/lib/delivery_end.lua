-- What follows from the end of a webhook delivery.

-- Disable an endpoint for a reason, or, if `why` is '', because it has only failed for `after` seconds. Return the
-- reason, or false if it stays enabled or was disabled before.
local function disable_endpoint(endpoint, at, why, after)
  local was = redis.call('HMGET', endpoint, 'disabled', 'failing_since')
  if was[1] then return false end
  if why == '' then
    if not was[2] or at - tonumber(was[2]) < after then return false end
    why = 'failing'
  end
  redis.call('HSET', endpoint, 'disabled', why, 'disabled_at', seconds(at))
  return why
end

-- Append an event about an endpoint to the stream of all jobs. It names the job of the webhook, as every entry does.
local function append_endpoint_event(all_events, max_length, job, timestamp, data)
  redis.call('XADD', all_events, 'MAXLEN', '~', max_length, '*', 'job', job, 'type', 'webhook.endpoint_disabled',
    'sequence', 0, 'timestamp', timestamp, 'data', cjson.encode(data))
end

local function remove_oldest(delivered, dead, delivery_pattern, list_pattern)
  local first_delivered = redis.call('ZRANGE', delivered, 0, 0, 'WITHSCORES')
  local first_dead = redis.call('ZRANGE', dead, 0, 0, 'WITHSCORES')
  local is_delivered = not first_dead[1]
    or (first_delivered[1] and tonumber(first_delivered[2]) < tonumber(first_dead[2]))
  local id = is_delivered and first_delivered[1] or first_dead[1]
  redis.call('ZREM', is_delivered and delivered or dead, id)
  local record = key_of(delivery_pattern, id)
  local endpoint = redis.call('HGET', record, 'endpoint')
  if endpoint then redis.call('ZREM', key_of(list_pattern, endpoint), id) end
  redis.call('DEL', record)
end

-- List a webhook among those that have ended. Remove the oldest above the maximum, and those whose record has expired.
local function list_ended(delivered, dead, id, state, at, ttl, max_ended, delivery_pattern, list_pattern)
  redis.call('ZREM', state == 'dead' and delivered or dead, id)
  redis.call('ZADD', state == 'dead' and dead or delivered, seconds(at), id)
  for _, list in ipairs({delivered, dead}) do redis.call('ZREMRANGEBYSCORE', list, '-inf', seconds(at - ttl)) end
  local over = redis.call('ZCARD', delivered) + redis.call('ZCARD', dead) - max_ended
  for _ = 1, math.min(over, 4) do remove_oldest(delivered, dead, delivery_pattern, list_pattern) end
end
