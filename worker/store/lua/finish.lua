-- End a job, once: set the terminal state, store the outcome, append the event, store the Celery result or schedule the
-- message for it, schedule the webhooks and the duplicates. A second end changes nothing.
--
-- KEYS job events all_events event_draft triggers triggers_loop jobs models results results_loop deliveries
-- KEYS deliveries_loop job_deliveries duplicates intents ended_intents active queue result durations jobs_by_generation
-- KEYS recently_ended totals batch batch_events files files_loop progress delivery_records:list
-- ARGV id seen_state retention:number stream_length:number triggers_gap:number results_gap:number
-- ARGV deliveries_gap:number head_start:number polled:flag event_type sequence timestamp data deliveries_ttl:number
-- ARGV outcome_known:flag seen_intent stores_result:flag result_ttl:number result_text duration_bin
-- ARGV durations_ttl:number generation batch_id batch_total:number batch_pattern batch_events_pattern
-- ARGV files_gap:number stores_files:flag
-- ARGV fields:list webhooks:list counted:list
-- USES events deliveries durations batches files
-- Returns {1, tick of results, tick of deliveries, tick of triggers, tick of files, continuation}, or {0, state}: the
--   job has ended, has no record, or is no longer as the caller saw it ('' for one that ends before it was accepted).
local state = redis.call('HGET', job, 'state')
if (state or '') ~= seen_state or is_terminal(state) then return {0, state or ''} end
-- another intent than the one that ends here may be on its way to PhotoGPT
if state == 'queued' and (redis.call('HGET', job, 'intent_at') or '') ~= seen_intent then return {0, state} end
local at = now()
redis.call('HDEL', job, 'reason', 'error')
redis.call('HSET', job, unpack(fields))
if polled then redis.call('HINCRBY', job, 'polls', 1) end
append_event(events, all_events, event_draft, stream_length, id,
  {type = event_type, sequence = sequence, timestamp = timestamp, data = data})
if seen_state == '' then join_batch(batch, batch_id, batch_total, timestamp, retention) end
local ended_as = redis.call('HGET', job, 'state')
if batch_id ~= '' then end_in_batch(batch, batch_events, ended_as, timestamp, retention) end
for _, other in ipairs(other_batches(job)) do
  end_in_batch(key_of(batch_pattern, other), key_of(batch_events_pattern, other), ended_as, timestamp, retention)
end
for _, name in ipairs(counted) do redis.call('HINCRBY', totals, name, 1) end
for _, key in ipairs({job, events, job_deliveries, duplicates, progress}) do redis.call('EXPIRE', key, retention) end
for _, key in ipairs({triggers, jobs, models, active, queue, files}) do redis.call('ZREM', key, id) end
local asked_at = redis.call('ZSCORE', intents, id)
redis.call('ZREM', intents, id)
if asked_at and not outcome_known then  -- it may still create something, which no other job may adopt
  redis.call('ZADD', ended_intents, asked_at, id)
  redis.call('ZREMRANGEBYSCORE', ended_intents, '-inf', seconds(at - LISTED_FOR_S))
end
local is_evidence = duration_bin ~= '' and not redis.call('HGET', job, 'duration_s')
forget_generation(jobs_by_generation, recently_ended, generation, is_evidence, at)
record_duration(durations, duration_bin, at, durations_ttl)
local triggers_tick = redis.call('ZCARD', queue) > 0 and schedule_tick(triggers_loop, at, at, triggers_gap)
for _, duplicate in ipairs(redis.call('SMEMBERS', duplicates)) do
  if redis.call('ZADD', triggers, 'XX', 'CH', seconds(at), duplicate) == 1 then
    triggers_tick = schedule_tick(triggers_loop, at, at, triggers_gap) or triggers_tick
  end
end
local deliveries_tick = schedule_deliveries(
  webhooks, delivery_records, deliveries, deliveries_loop, deliveries_gap, job_deliveries, id, at, deliveries_ttl)
local files_tick = stores_files and begin_files(progress, files, files_loop, files_gap, id, at, retention)
if stores_result then
  publish_result(result, result_ttl, result_text, result_text)
  redis.call('HSET', job, 'published_at', timestamp)
  return {1, false, deliveries_tick, triggers_tick, files_tick}
end
return {1, schedule(results, results_loop, results_gap, id, at, head_start), deliveries_tick, triggers_tick,
  files_tick, redis.call('HGET', job, 'continuation')}
