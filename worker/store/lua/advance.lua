-- Move a job to the next state that is not terminal: fields, event, webhooks and timer in one step. A generation is
-- remembered as ours even if the job has moved on: it exists.
--
-- KEYS job events all_events event_draft old_lane new_lane new_loop intents ended_intents generations
-- KEYS job_deliveries deliveries deliveries_loop jobs_by_generation active result delivery_records:list
-- ARGV id state came_from delay:number gap:number deliveries_gap:number stream_length:number deliveries_ttl:number
-- ARGV generation model event_type sequence timestamp result_ttl:number result_text result_kept
-- ARGV fields:list webhooks:list
-- USES events deliveries
-- Returns {1, tick of the new lane, tick of deliveries, members of the new lane}, or {0, state}: the job is in another
--   state.
local KNOWN_FOR_S = 7200
local current = redis.call('HGET', job, 'state')
if not current then return {0, ''} end
local at, ours = now(), generation
if model ~= '' then ours = 'model:' .. model end
if ours ~= '' then
  redis.call('ZADD', generations, 'NX', seconds(at), ours)
  redis.call('ZREM', intents, id)
  redis.call('ZREM', ended_intents, id)
  -- a known generation is needed only while a job of its time is unresolved; one that has ended adopts nothing
  local oldest_intent = redis.call('ZRANGE', intents, 0, 0, 'WITHSCORES')[2]
  local needed_since = math.min(at, tonumber(oldest_intent or at))
  redis.call('ZREMRANGEBYSCORE', generations, '-inf', seconds(needed_since - KNOWN_FOR_S))
end
if current ~= came_from then
  if generation ~= '' then redis.call('HSETNX', job, 'generation_id', generation) end
  return {0, current}
end
redis.call('HSET', job, 'state', state, unpack(fields))
if generation ~= '' then
  redis.call('HSET', job, 'accepted_at', seconds(at))
  redis.call('HSET', jobs_by_generation, generation, id)
  redis.call('ZREM', active, id)  -- from now on the new lane counts it
end
redis.call('HDEL', job, 'intent_at', 'intent_by', 'reason', 'error')
append_event(events, all_events, event_draft, stream_length, id,
  {type = event_type, sequence = sequence, timestamp = timestamp, data = ''})
publish_result(result, result_ttl, result_text, result_kept)
if old_lane ~= new_lane then redis.call('ZREM', old_lane, id) end
local deliveries_tick = schedule_deliveries(
  webhooks, delivery_records, deliveries, deliveries_loop, deliveries_gap, job_deliveries, id, at, deliveries_ttl)
local tick = schedule(new_lane, new_loop, gap, id, at, delay)
return {1, tick, deliveries_tick, redis.call('ZCARD', new_lane)}
