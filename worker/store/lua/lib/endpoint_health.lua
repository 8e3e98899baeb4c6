-- Stands in front of the scripts that know how an endpoint is. It begins with a few attempts at once, gets more with
-- quick answers, and half as many when it does not answer in time. After a few failures in a row nothing is sent for a
-- while, which grows; then one attempt probes it.
local FIRST_LIMIT, FAILURES, SHORTEST, MAX_SHUT, QUICK = 4, 5, 10, 600, 1

local function open_for(opened) return math.min(SHORTEST * 2 ^ math.min(math.max(opened or 1, 1) - 1, 10), MAX_SHUT) end

-- Remember a healthy endpoint for a day, since there may be one for every webhook; one that fails for much longer.
local function keep(endpoint, life)
  local bad = redis.call('HMGET', endpoint, 'failing_since', 'disabled')
  redis.call('EXPIRE', endpoint, (bad[1] or bad[2]) and life or 86400)
end

-- Note how an attempt went. `how` is ok | slow | failed | timeout | none (says nothing about the endpoint).
-- Returns for how long nothing is sent from now on, if that begins now.
local function judge(endpoint, at, how, took, chance, most, fault)
  if how == 'none' then return end
  local was = redis.call('HMGET', endpoint, 'limit', 'halved', 'took', 'failures', 'open_until', 'opened', 'failing_since')
  local limit = tonumber(was[1]) or FIRST_LIMIT
  if how == 'slow' or how == 'timeout' then
    if at - took > (tonumber(was[2]) or 0) then  -- those that were under way together halve it once
      redis.call('HSET', endpoint, 'limit', math.max(1, math.min(limit, most) / 2), 'halved', seconds(at))
    end
  elseif how == 'ok' and took < QUICK then
    redis.call('HSET', endpoint, 'limit', math.min(most, limit + 0.5))
  end
  redis.call('HSET', endpoint, 'took', seconds(0.8 * (tonumber(was[3]) or took) + 0.2 * took))
  if how == 'ok' or how == 'slow' then
    redis.call('HSET', endpoint, 'failures', 0, 'ok_at', seconds(at))
    redis.call('HDEL', endpoint, 'failing_since', 'fault', 'open_until', 'opened', 'probe_until')
    return
  end
  redis.call('HSET', endpoint, 'failures', (tonumber(was[4]) or 0) + 1, 'failed_at', seconds(at), 'fault', fault)
  if not was[7] then redis.call('HSET', endpoint, 'failing_since', seconds(at)) end
  if (tonumber(was[4]) or 0) + 1 < FAILURES or (tonumber(was[5]) or 0) > at then return end
  local opened = (tonumber(was[6]) or 0) + 1
  local pause = open_for(opened) * (0.75 + 0.5 * chance)
  redis.call('HSET', endpoint, 'opened', opened, 'open_until', seconds(at + pause))
  redis.call('HDEL', endpoint, 'probe_until')
  return seconds(pause)
end
