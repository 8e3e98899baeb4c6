-- Record one attempt at a webhook, what follows from it, and what it shows about the endpoint. A webhook that has ended
-- keeps its end, unless it was sent again by hand and the receiver accepted it.
--
-- KEYS delivery deliveries redeliveries redeliveries_loop endpoint in_flight delivered dead all_events totals
-- ARGV id state delay:number gap:number attempt ttl:number manual:flag result duration:number random_fraction:number
-- ARGV max_in_flight:number fault disable disable_after:number endpoint_ttl:number delivery_pattern
-- ARGV endpoint_deliveries_pattern
-- ARGV max_ended:number max_attempts:number endpoint_id timestamp stream_length:number counted
--   State: delivered | pending | dead. Manual: it was made on request. Result: see lib/endpoint_health.lua.
-- USES endpoint_health delivery_end
-- Returns {what schedule_tick() returns, why the endpoint is disabled from now on or false, seconds for which its
--   circuit is open from now on or false}.
local at = now()
redis.call('ZREM', in_flight, id)
local paused = record_health(endpoint, at, result, duration, random_fraction, max_in_flight, fault)
keep_endpoint(endpoint, endpoint_ttl)
local was = redis.call('HMGET', delivery, 'state', 'resend', 'job')
if not was[1] or (was[1] ~= 'pending' and not manual) then
  if not was[2] then
    redis.call('ZREM', deliveries, id)
    redis.call('ZREM', redeliveries, id)
  end
  return {false, false, paused}
end
local number = redis.call('HINCRBY', delivery, 'attempts', 1)
if was[1] ~= 'pending' and state ~= 'delivered' then state = was[1] end
redis.call('HSET', delivery, 'state', state, 'attempt:' .. number, attempt)
redis.call('HDEL', delivery, 'attempt:' .. (number - max_attempts))
if manual then
  redis.call('HINCRBY', delivery, 'manual', 1)
  redis.call('HDEL', delivery, 'resend')
end
if counted ~= '' and state ~= was[1] then redis.call('HINCRBY', totals, counted, 1) end
redis.call('EXPIRE', delivery, ttl)
local why = (disable ~= '' or state == 'dead') and disable_endpoint(endpoint, at, disable, disable_after)
if why then
  keep_endpoint(endpoint, endpoint_ttl)
  local url = redis.call('HGET', endpoint, 'url') or ''
  append_endpoint_event(all_events, stream_length, was[3], timestamp, {endpoint = endpoint_id, url = url, why = why})
end
redis.call('ZREM', deliveries, id)
if state == 'pending' then
  return {schedule(redeliveries, redeliveries_loop, gap, id, at, delay), why, paused}
end
redis.call('HDEL', delivery, 'deferred_at', 'slot_at')
list_ended(delivered, dead, id, state, at, ttl, max_ended, delivery_pattern, endpoint_deliveries_pattern)
if not manual and was[2] then  -- a resend was requested during the attempt
  return {schedule(redeliveries, redeliveries_loop, gap, id, at, 0), why, paused}
end
redis.call('ZREM', redeliveries, id)
return {false, why, paused}
