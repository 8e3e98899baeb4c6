-- Record one attempt at a webhook, and what follows from it.
--
-- KEYS  1 delivery  2 deliveries  3 redeliveries  4 redeliveries' loop
-- ARGV  1 id  2 state: delivered | pending | dead  3 delay until the next attempt  4 gap  5 the attempt as JSON  6 TTL
-- Returns what arm() returns; a delivery that has ended keeps its end.
local at = now()
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'pending' then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
  return false
end
local n = redis.call('HINCRBY', KEYS[1], 'attempts', 1)
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'attempt:' .. n, ARGV[5])
redis.call('EXPIRE', KEYS[1], ARGV[6])
redis.call('ZREM', KEYS[2], ARGV[1])  -- not before: a full server refuses writes and still deletes
if ARGV[2] ~= 'pending' then
  redis.call('ZREM', KEYS[3], ARGV[1])
  return false
end
return park(KEYS[3], KEYS[4], ARGV[4], ARGV[1], at, tonumber(ARGV[3]))
