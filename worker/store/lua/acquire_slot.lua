-- Decide whether a webhook may be sent now, and take a slot of its endpoint if so. What may not goes into the other
-- lane until its turn, which is no attempt; but a step of its schedule is used up when it waits longer than the step.
--
-- KEYS  1 webhook  2 endpoint  3 its flights  4 its webhooks  5 endpoints  6 deliveries  7 redeliveries
--       8 redeliveries' loop
-- ARGV  1 id  2 endpoint's id  3 its URL  4 lease of a flight  5 most in flight  6 attempts a second, 0 for any
--       7 seconds that this step may wait for a broken endpoint  8 the same for its turn  9 steps left
--       10 chance in [0, 1)  11 gap  12 TTL of the endpoint  13 TTL of the webhook  14 most webhooks, and endpoints  15 seconds that the caller waits
-- Returns {'go', scheduled | manual} | {'wait', seconds} | {'later', wake, why} | {'spent', why} | {'disabled', why} | {'ended'}
local at, id = now(), ARGV[1]
local own = redis.call('HMGET', KEYS[1], 'state', 'resend', 'slot', 'put_off')
if not own[1] or (own[1] ~= 'pending' and not own[2]) then
  redis.call('ZREM', KEYS[6], id)
  redis.call('ZREM', KEYS[7], id)
  return {'ended'}
end
local known = redis.call('HMGET', KEYS[2], 'disabled', 'open_until', 'opened', 'probe_until', 'limit', 'tat', 'took', 'turn')
redis.call('HSET', KEYS[2], 'url', ARGV[3])
keep(KEYS[2], ARGV[12])
redis.call('HSET', KEYS[1], 'endpoint', ARGV[2])
redis.call('ZADD', KEYS[4], 'NX', seconds(at), id)
redis.call('EXPIRE', KEYS[4], ARGV[13])
redis.call('ZADD', KEYS[5], seconds(at), ARGV[2])
for key, age in pairs({[KEYS[4]] = ARGV[13], [KEYS[5]] = ARGV[12]}) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', seconds(at - age))
  redis.call('ZREMRANGEBYRANK', key, 0, -ARGV[14] - 1)
end
if known[1] then return {'disabled', known[1]} end
local due, why, patience = false, false, math.max(ARGV[7], ARGV[8])
if known[2] and own[2] ~= 'now' then
  local shut = math.max(tonumber(known[2]), tonumber(known[4]) or 0)
  if shut > at then
    due, why, patience = shut + ARGV[10] * open_for(tonumber(known[3])), 'breaker_open', tonumber(ARGV[7])
    redis.call('HDEL', KEYS[1], 'slot')  -- many that were put off must not come at once
  end
end
if not due and tonumber(ARGV[6]) > 0 then
  local slot = tonumber(own[3])
  if not slot then
    slot = math.max(tonumber(known[6]) or 0, at)
    redis.call('HSET', KEYS[2], 'tat', seconds(slot + 1 / ARGV[6]))
    redis.call('HSET', KEYS[1], 'slot', seconds(slot))
  end
  if slot > at + SLACK then due, why = slot, 'rate' end
end
if not due then
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', seconds(at))
  local limit = math.floor(math.min(tonumber(known[5]) or FIRST_LIMIT, ARGV[5]))
  if redis.call('ZCARD', KEYS[3]) >= limit and not redis.call('ZSCORE', KEYS[3], id) then
    due, why = math.min(math.max(tonumber(known[8]) or 0, at) + (tonumber(known[7]) or 0.1) / limit, at + 60), 'in_flight'
    redis.call('HSET', KEYS[2], 'turn', seconds(due))
    due = due + ARGV[10] * 0.05
  end
end
if due then return put_off(due, why, patience, tonumber(own[4]) or at, at) end
redis.call('ZADD', KEYS[3], seconds(at + ARGV[4]), id)
redis.call('EXPIRE', KEYS[3], math.ceil(ARGV[4]))
if known[2] then redis.call('HSET', KEYS[2], 'probe_until', seconds(at + ARGV[4])) end
redis.call('HDEL', KEYS[1], 'slot', 'put_off')
return {'go', own[2] and 'manual' or 'scheduled'}
