-- Schedule a webhook once more, whatever its state, in the lane of redeliveries.
--
-- KEYS delivery deliveries redeliveries redeliveries_loop endpoint in_flight
-- ARGV id delay:number gap:number at_once:flag ttl:number
--   At once: even while the circuit of its endpoint is open. Otherwise the circuit is closed.
-- Returns {'unknown'} | {'disabled', why} | {'in_flight'} | {'scheduled', tick}.
local at = now()
if redis.call('EXISTS', delivery) == 0 then return {'unknown'} end
local disabled = redis.call('HGET', endpoint, 'disabled')
if disabled then return {'disabled', disabled} end
if (tonumber(redis.call('ZSCORE', in_flight, id)) or 0) > at then return {'in_flight'} end
if not at_once then redis.call('HDEL', endpoint, 'open_until', 'probe_until') end
redis.call('HSET', delivery, 'resend', at_once and 'now' or 'turn')
redis.call('HDEL', delivery, 'deferred_at', 'slot_at')
redis.call('EXPIRE', delivery, ttl)
redis.call('ZREM', deliveries, id)
return {'scheduled', schedule(redeliveries, redeliveries_loop, gap, id, at, delay)}
