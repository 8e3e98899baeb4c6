-- The slots of an endpoint: one per attempt in flight, and one per attempt of its rate.

-- Reserve the next slot of the rate for a webhook. Return its time.
local function reserve_slot(delivery, endpoint, at, rate, next_slot_at)
  local slot_at = math.max(next_slot_at or 0, at)
  redis.call('HSET', endpoint, 'next_slot_at', seconds(slot_at + 1 / rate))
  redis.call('HSET', delivery, 'slot_at', seconds(slot_at))
  return slot_at
end

-- Return when a webhook should try again, or false if a slot in flight is free. Expired leases free their slot.
local function next_turn(endpoint, in_flight, id, at, max_in_flight, random_fraction)
  redis.call('ZREMRANGEBYSCORE', in_flight, '-inf', seconds(at))
  local known = redis.call('HMGET', endpoint, 'limit', 'duration_s', 'next_turn_at')
  local limit = math.floor(math.min(tonumber(known[1]) or FIRST_LIMIT, max_in_flight))
  if redis.call('ZCARD', in_flight) < limit or redis.call('ZSCORE', in_flight, id) then return false end
  local turn = math.min(math.max(tonumber(known[3]) or 0, at) + (tonumber(known[2]) or 0.1) / limit, at + 60)
  redis.call('HSET', endpoint, 'next_turn_at', seconds(turn))
  return turn + random_fraction * 0.05
end
