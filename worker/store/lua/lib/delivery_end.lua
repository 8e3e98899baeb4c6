-- Stands in front of attempted.lua, and speaks of its KEYS and ARGV: what follows from the end of a webhook.

local function leave_lanes(id)
  redis.call('ZREM', KEYS[2], id)
  redis.call('ZREM', KEYS[3], id)
end

-- Disable an endpoint, if somebody says why, or if it has only failed for too long. Returns why, if it was enabled.
local function disable(endpoint, at, why, after)
  local was = redis.call('HMGET', endpoint, 'disabled', 'failing_since')
  if was[1] then return false end
  if why == '' then
    if not was[2] or at - tonumber(was[2]) < after then return false end
    why = 'failing'
  end
  redis.call('HSET', endpoint, 'disabled', why, 'disabled_at', seconds(at))
  return why
end

-- Tell everybody. The entry names the job whose webhook it was, as every entry does.
local function announce_endpoint(stream, longest, job, timestamp, id, url, why)
  redis.call('XADD', stream, 'MAXLEN', '~', longest, '*', 'job', job, 'type', 'webhook.endpoint_disabled', 'sequence', 0,
    'timestamp', timestamp, 'data', cjson.encode({endpoint = id, url = url, why = why}))
end

-- Put a webhook among those that have ended, and let go of the oldest beyond the cap, and of those whose record is gone.
local function ended(id, state, at)
  local lists = {delivered = KEYS[7], dead = KEYS[8]}
  redis.call('ZREM', state == 'dead' and KEYS[7] or KEYS[8], id)
  redis.call('ZADD', lists[state], seconds(at), id)
  for _, list in pairs(lists) do redis.call('ZREMRANGEBYSCORE', list, '-inf', seconds(at - ARGV[6])) end
  local over = redis.call('ZCARD', KEYS[7]) + redis.call('ZCARD', KEYS[8]) - ARGV[17]
  for _ = 1, math.min(over, 4) do
    local taken = redis.call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')
    local given_up = redis.call('ZRANGE', KEYS[8], 0, 0, 'WITHSCORES')
    local older = not given_up[1] or (taken[1] and tonumber(taken[2]) < tonumber(given_up[2]))
    local oldest = older and taken[1] or given_up[1]
    redis.call('ZREM', older and KEYS[7] or KEYS[8], oldest)
    local endpoint = redis.call('HGET', ARGV[16] .. oldest .. '}', 'endpoint')
    if endpoint then redis.call('ZREM', ARGV[22] .. endpoint .. '}:deliveries', oldest) end
    redis.call('DEL', ARGV[16] .. oldest .. '}')
  end
end
