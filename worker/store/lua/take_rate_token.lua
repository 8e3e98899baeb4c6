-- Take a token for one request that belongs to no claim.
--
-- KEYS rate_bucket
-- ARGV rate:number
-- USES rate
-- Returns the seconds to wait before asking again, as text; '0' if the request may be sent.
local at = now()
local tokens = rate_tokens(rate_bucket, at, rate)
if tokens < 1 then return seconds((1 - tokens) / rate) end
store_rate_tokens(rate_bucket, at, tokens - 1)
return '0'
