-- The health of an endpoint. It starts with a few attempts in flight; quick answers raise the limit, slow ones and
-- timeouts halve it. After a few failures in a row its circuit opens, each time for longer; then one attempt probes it.
local FIRST_LIMIT, MAX_FAILURES, MIN_OPEN_S, MAX_OPEN_S, QUICK_S = 4, 5, 10, 600, 1

local function open_for(times_opened)
  return math.min(MIN_OPEN_S * 2 ^ math.min(math.max(times_opened or 1, 1) - 1, 10), MAX_OPEN_S)
end

-- Keep a healthy endpoint for a day, since every webhook may have its own; a failing or disabled one for `ttl` seconds.
local function keep_endpoint(endpoint, ttl)
  local bad = redis.call('HMGET', endpoint, 'failing_since', 'disabled')
  redis.call('EXPIRE', endpoint, (bad[1] or bad[2]) and ttl or 86400)
end

local function adapt_limit(endpoint, at, result, duration, max_in_flight)
  local was = redis.call('HMGET', endpoint, 'limit', 'halved_at')
  local limit = tonumber(was[1]) or FIRST_LIMIT
  if result == 'slow' or result == 'timeout' then
    if at - duration > (tonumber(was[2]) or 0) then  -- attempts that were in flight together halve it once
      redis.call('HSET', endpoint, 'limit', math.max(1, math.min(limit, max_in_flight) / 2), 'halved_at', seconds(at))
    end
  elseif result == 'ok' and duration < QUICK_S then
    redis.call('HSET', endpoint, 'limit', math.min(max_in_flight, limit + 0.5))
  end
end

-- Record the result of an attempt: ok | slow | failed | timeout | none (which shows nothing about the endpoint).
-- Return the seconds for which the circuit is open, if it opens now.
local function record_health(endpoint, at, result, duration, random_fraction, max_in_flight, fault)
  if result == 'none' then return false end
  adapt_limit(endpoint, at, result, duration, max_in_flight)
  local was = redis.call('HMGET', endpoint, 'duration_s', 'failures', 'open_until', 'times_opened', 'failing_since')
  redis.call('HSET', endpoint, 'duration_s', seconds(0.8 * (tonumber(was[1]) or duration) + 0.2 * duration))
  if result == 'ok' or result == 'slow' then
    redis.call('HSET', endpoint, 'failures', 0, 'succeeded_at', seconds(at))
    redis.call('HDEL', endpoint, 'failing_since', 'fault', 'open_until', 'times_opened', 'probe_until')
    return false
  end
  local failures, times_opened = (tonumber(was[2]) or 0) + 1, (tonumber(was[4]) or 0) + 1
  redis.call('HSET', endpoint, 'failures', failures, 'failed_at', seconds(at), 'fault', fault)
  if not was[5] then redis.call('HSET', endpoint, 'failing_since', seconds(at)) end
  if failures < MAX_FAILURES or (tonumber(was[3]) or 0) > at then return false end
  local pause = open_for(times_opened) * (0.75 + 0.5 * random_fraction)
  redis.call('HSET', endpoint, 'times_opened', times_opened, 'open_until', seconds(at + pause))
  redis.call('HDEL', endpoint, 'probe_until')
  return seconds(pause)
end
