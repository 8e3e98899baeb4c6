-- Take leave to send one request that no claim has paid for.
--
-- KEYS  1 the rate
-- ARGV  1 requests a second over all workers
-- Returns seconds to wait before asking again, as text; '0' if the request may go.
local at, rate = now(), tonumber(ARGV[1])
local most = math.max(rate, 1)
local saved = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = math.min(most, (tonumber(saved[1]) or most) + (at - (tonumber(saved[2]) or at)) * rate)
if tokens < 1 then return seconds((1 - tokens) / rate) end
redis.call('HSET', KEYS[1], 'tokens', tokens - 1, 'at', seconds(at))
redis.call('EXPIRE', KEYS[1], 60)
return '0'
