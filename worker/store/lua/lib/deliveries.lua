-- New webhook deliveries.

-- Store webhooks and schedule them. `webhooks` has five values each: id, type, URL, body and
-- traceparent, which may be ''; `records` has their keys.
-- Return what schedule_tick() returns.
local function schedule_deliveries(webhooks, records, lane, loop, gap, job_deliveries, job, at, ttl)
  local tick = false
  for i, record in ipairs(records) do
    local id, type, url, body, traceparent = unpack(webhooks, 5 * i - 4, 5 * i)
    if redis.call('EXISTS', record) == 0 then
      redis.call('HSET', record, 'id', id, 'type', type, 'url', url, 'body', body,
        'job', job, 'state', 'pending', 'attempts', 0, 'created', seconds(at))
      if traceparent ~= '' then redis.call('HSET', record, 'traceparent', traceparent) end
      redis.call('EXPIRE', record, ttl)
      redis.call('SADD', job_deliveries, id)
      redis.call('EXPIRE', job_deliveries, ttl)
      tick = schedule(lane, loop, gap, id, at, 0) or tick
    end
  end
  return tick
end
