-- Stands in front of the scripts that queue. Start-time fair queuing: the jobs of one tenant are one apart in virtual
-- time, and the earliest of all goes first, so that one tenant's five hundred jobs do not starve another's one.
local function queue_up(queue, tenants, loop, tenant, id)
  local virtual = tonumber(redis.call('HGET', loop, 'virtual') or '0')
  local last = tonumber(redis.call('ZSCORE', tenants, tenant) or '0')
  local start = math.max(virtual, last) + 1
  redis.call('ZADD', tenants, start, tenant)
  redis.call('ZADD', queue, start, id)
end
