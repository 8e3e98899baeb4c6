-- Start-time fair queuing: the jobs of one tenant are one apart in virtual time, and the first in virtual time is
-- admitted first, so that one tenant's five hundred jobs do not starve another tenant's one.
local function enqueue(queue, tenants, loop, tenant, id)
  local virtual_time = tonumber(redis.call('HGET', loop, 'virtual_time') or '0')
  local last = tonumber(redis.call('ZSCORE', tenants, tenant) or '0')
  local start = math.max(virtual_time, last) + 1
  redis.call('ZADD', tenants, start, tenant)
  redis.call('ZADD', queue, start, id)
end
