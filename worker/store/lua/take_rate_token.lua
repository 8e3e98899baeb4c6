-- Take leave to send one request that no claim has paid for.
--
-- KEYS  1 the rate
-- ARGV  1 requests a second over all workers
-- Returns seconds to wait before asking again, as text; '0' if the request may go.
local at, rate = now(), tonumber(ARGV[1])
local tokens = saved_up(KEYS[1], at, rate)
if tokens < 1 then return seconds((1 - tokens) / rate) end
save(KEYS[1], at, tokens - 1)
return '0'
