-- Put jobs back into the admission queue that PhotoGPT has no room for (429), and set the cap on active generations to
-- the number that it has accepted.
--
-- KEYS queue triggers triggers_loop active tenants intents jobs job_records:list
-- ARGV gap:number pause:number rows:list
--   Each row: id, tenant, seconds to the deadline, reason, error, the intent to clear or '' for any.
-- USES fair_queue
-- Returns what schedule_tick() returns.
local at = now()
for i, job in ipairs(job_records) do
  local id, tenant, deadline_in, reason, problem, intent = unpack(rows, 6 * i - 5, 6 * i)
  local ours = redis.call('HGET', job, 'state') == 'queued' and not is_other_intent(job, intent)
  if ours and redis.call('ZSCORE', triggers, id) then
    redis.call('HDEL', job, 'intent_at', 'intent_by')
    redis.call('HSET', job, 'reason', reason, 'error', problem)
    redis.call('ZREM', intents, id)
    redis.call('ZREM', active, id)
    enqueue(queue, tenants, triggers_loop, tenant, id)
    redis.call('ZADD', triggers, 'XX', seconds(at + tonumber(deadline_in)), id)
  end
end
local paused_until = math.max(at + pause, tonumber(redis.call('HGET', triggers_loop, 'paused_until') or '0'))
local cap = math.max(1, redis.call('ZCARD', active) + redis.call('ZCARD', jobs))
redis.call('HSET', triggers_loop, 'paused_until', seconds(paused_until), 'cap', cap, 'cap_at', seconds(paused_until),
  'throttled_at', seconds(at))
return schedule_tick(triggers_loop, at, paused_until, gap)
