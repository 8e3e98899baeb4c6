-- The request rate that all workers share: a token bucket that holds the tokens of one second.

-- Return how many requests may be sent now, at `rate` requests a second.
local function rate_tokens(bucket, at, rate)
  local stored, capacity = redis.call('HMGET', bucket, 'tokens', 'at'), math.max(rate, 1)
  return math.min(capacity, (tonumber(stored[1]) or capacity) + (at - (tonumber(stored[2]) or at)) * rate)
end

local function store_rate_tokens(bucket, at, tokens)
  redis.call('HSET', bucket, 'tokens', tokens, 'at', seconds(at))
  redis.call('EXPIRE', bucket, 60)
end
