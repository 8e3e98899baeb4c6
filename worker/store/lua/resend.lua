-- Send a webhook once more, whatever became of it: soon, in the lane of second tries, and once.
--
-- KEYS  1 webhook  2 deliveries  3 redeliveries  4 redeliveries' loop  5 its endpoint  6 the endpoint's flights
-- ARGV  1 id  2 delay  3 gap  4 now (even while nothing is sent to the endpoint) | turn  5 TTL
-- Returns {'unknown'} | {'disabled', why} | {'in_flight'} | {'scheduled', wake, state}
local at, id = now(), ARGV[1]
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return {'unknown'} end
local disabled = redis.call('HGET', KEYS[5], 'disabled')
if disabled then return {'disabled', disabled} end
if (tonumber(redis.call('ZSCORE', KEYS[6], id)) or 0) > at then return {'in_flight'} end
if ARGV[4] == 'turn' then redis.call('HDEL', KEYS[5], 'open_until', 'probe_until') end  -- somebody says that it is back
redis.call('HSET', KEYS[1], 'resend', ARGV[4])
redis.call('HDEL', KEYS[1], 'put_off', 'slot')
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('ZREM', KEYS[2], id)
return {'scheduled', park(KEYS[3], KEYS[4], ARGV[3], id, at, tonumber(ARGV[2])), state}
