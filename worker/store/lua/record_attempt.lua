-- Record one attempt at a webhook, what follows from it, and what it says of the endpoint.
--
-- KEYS  1 webhook  2 deliveries  3 redeliveries  4 redeliveries' loop  5 endpoint  6 its flights  7 delivered  8 dead
--       9 all events
-- ARGV  1 id  2 state: delivered | pending | dead  3 delay until the next attempt  4 gap  5 the attempt as JSON  6 TTL
--       7 scheduled | manual  8 how it went, as health.lua has it  9 seconds it took  10 chance  11 most in flight
--       12 class of fault  13 why the endpoint is to be disabled, or ''  14 seconds of failures that disable it
--       15 TTL of the endpoint  16 prefix of the webhooks' keys  17 most ended webhooks  18 most attempts kept
--       19 endpoint's id  20 timestamp  21 stream length
--       22 prefix of the endpoints' keys
-- Returns {what arm() returns, why the endpoint was disabled just now or false, for how long nothing is sent to it if that
--       begins now}. A webhook that has ended keeps its end,
--       unless somebody asked for it again and it was taken.
local at, id = now(), ARGV[1]
redis.call('ZREM', KEYS[6], id)
local paused = judge(KEYS[5], at, ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]), ARGV[12]) or false
keep(KEYS[5], ARGV[15])
local was = redis.call('HMGET', KEYS[1], 'state', 'resend', 'url', 'job')
local manual = ARGV[7] == 'manual'
if not was[1] or (was[1] ~= 'pending' and not manual) then
  if not was[2] then leave_lanes(id) end
  return {false, false, paused}
end
local n = redis.call('HINCRBY', KEYS[1], 'attempts', 1)
local state = ARGV[2]
if was[1] ~= 'pending' and state ~= 'delivered' then state = was[1] end
redis.call('HSET', KEYS[1], 'state', state, 'attempt:' .. n, ARGV[5])
redis.call('HDEL', KEYS[1], 'attempt:' .. (n - ARGV[18]))
if manual then
  redis.call('HINCRBY', KEYS[1], 'manual', 1)
  redis.call('HDEL', KEYS[1], 'resend')
end
redis.call('EXPIRE', KEYS[1], ARGV[6])
local why = false
if ARGV[13] ~= '' or state == 'dead' then
  why = disable(KEYS[5], at, ARGV[13], tonumber(ARGV[14]))
end
if why then
  keep(KEYS[5], ARGV[15])
  announce_endpoint(KEYS[9], ARGV[21], was[4], ARGV[20], ARGV[19], redis.call('HGET', KEYS[5], 'url') or '', why)
end
redis.call('ZREM', KEYS[2], id)  -- not before: a full server refuses writes and still deletes
if state == 'pending' then return {park(KEYS[3], KEYS[4], ARGV[4], id, at, tonumber(ARGV[3])), why, paused} end
redis.call('HDEL', KEYS[1], 'put_off', 'slot')
ended(id, state, at)
if not manual and was[2] then return {park(KEYS[3], KEYS[4], ARGV[4], id, at, 0), why, paused} end  -- asked for meanwhile
redis.call('ZREM', KEYS[3], id)
return {false, why, paused}
