-- Which endpoints are in use, and which webhooks each has.

-- List a webhook with its endpoint, and the endpoint itself. Remove what is older than its TTL or above the maximum.
local function index_endpoint(endpoint_deliveries, endpoints, id, endpoint_id, at, delivery_ttl, endpoint_ttl, max)
  redis.call('ZADD', endpoint_deliveries, 'NX', seconds(at), id)
  redis.call('EXPIRE', endpoint_deliveries, delivery_ttl)
  redis.call('ZADD', endpoints, seconds(at), endpoint_id)
  for key, ttl in pairs({[endpoint_deliveries] = delivery_ttl, [endpoints] = endpoint_ttl}) do
    redis.call('ZREMRANGEBYSCORE', key, '-inf', seconds(at - ttl))
    redis.call('ZREMRANGEBYRANK', key, 0, -max - 1)
  end
end
