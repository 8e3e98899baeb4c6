-- Start a job whose start time has come: a generation joins the admission queue, and admit.lua brings it forward; a
-- training is due at once.
--
-- KEYS job triggers triggers_loop queue tenants
-- ARGV id tenant timestamp deadline_in:number is_generation:flag gap:number
-- USES fair_queue
-- Returns what schedule_tick() returns.
if redis.call('HGET', job, 'state') ~= 'queued' or redis.call('HEXISTS', job, 'started_at') == 1 then return false end
local at = now()
redis.call('HSET', job, 'started_at', timestamp)
redis.call('HDEL', job, 'reason', 'error')
if is_generation then enqueue(queue, tenants, triggers_loop, tenant, id) end
redis.call('ZADD', triggers, 'XX', seconds(is_generation and at + deadline_in or at), id)
return schedule_tick(triggers_loop, at, at, gap)
