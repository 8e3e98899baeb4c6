-- Decide whether a webhook may be sent now, and take a slot of its endpoint if so. Otherwise defer it, which is no
-- attempt; but a step of its schedule is used up if it is deferred for longer than the step.
--
-- KEYS delivery endpoint in_flight endpoint_deliveries endpoints deliveries redeliveries redeliveries_loop
-- ARGV id endpoint_id url lease:number max_in_flight:number rate:number max_wait_open:number max_wait:number
-- ARGV steps_left:number random_fraction:number gap:number endpoint_ttl:number delivery_ttl:number max_listed:number
-- ARGV caller_waits:number
-- USES endpoint_health endpoint_index endpoint_slots
-- Returns {'admitted', 1 if it is sent on request, else 0} | {'wait', seconds} | {'deferred', tick, why} |
--   {'schedule_over', why} | {'endpoint_disabled', why} | {'ended'}
local at = now()
local own = redis.call('HMGET', delivery, 'state', 'resend', 'slot_at', 'deferred_at')
if not own[1] or (own[1] ~= 'pending' and not own[2]) then
  redis.call('ZREM', deliveries, id)
  redis.call('ZREM', redeliveries, id)
  return {'ended'}
end

local function defer(due, why, max_deferral)
  local since = tonumber(own[4]) or at
  if why == 'in_flight' and due - at <= caller_waits then return {'wait', seconds(due - at)} end
  redis.call('HSET', delivery, 'deferred_at', seconds(since))
  redis.call('EXPIRE', delivery, delivery_ttl)
  if due - since > max_deferral then
    redis.call('HINCRBY', delivery, 'skipped', 1)
    redis.call('HSET', delivery, 'deferred_at', seconds(at))
    if steps_left < 1 then return {'schedule_over', why} end
  end
  redis.call('ZREM', deliveries, id)
  return {'deferred', schedule(redeliveries, redeliveries_loop, gap, id, at, due - at), why}
end

local known = redis.call('HMGET', endpoint, 'disabled', 'open_until', 'times_opened', 'probe_until', 'next_slot_at')
redis.call('HSET', endpoint, 'url', url)
keep_endpoint(endpoint, endpoint_ttl)
redis.call('HSET', delivery, 'endpoint', endpoint_id)
index_endpoint(endpoint_deliveries, endpoints, id, endpoint_id, at, delivery_ttl, endpoint_ttl, max_listed)
if known[1] then return {'endpoint_disabled', known[1]} end
if known[2] and own[2] ~= 'now' then
  local open_until = math.max(tonumber(known[2]), tonumber(known[4]) or 0)
  if open_until > at then
    redis.call('HDEL', delivery, 'slot_at')  -- deferred webhooks must not all come due at once
    return defer(open_until + random_fraction * open_for(tonumber(known[3])), 'circuit_open', max_wait_open)
  end
end
if rate > 0 then
  local slot_at = tonumber(own[3]) or reserve_slot(delivery, endpoint, at, rate, tonumber(known[5]))
  if slot_at > at + SLACK_S then return defer(slot_at, 'rate', math.max(max_wait_open, max_wait)) end
end
local turn = next_turn(endpoint, in_flight, id, at, max_in_flight, random_fraction)
if turn then return defer(turn, 'in_flight', math.max(max_wait_open, max_wait)) end
redis.call('ZADD', in_flight, seconds(at + lease), id)
redis.call('EXPIRE', in_flight, math.ceil(lease))
if known[2] then redis.call('HSET', endpoint, 'probe_until', seconds(at + lease)) end
redis.call('HDEL', delivery, 'slot_at', 'deferred_at')
return {'admitted', own[2] and 1 or 0}
