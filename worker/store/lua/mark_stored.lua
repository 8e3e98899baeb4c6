-- Record that a job which has ended waits for its files no longer: record, event and webhooks in one step, once.
--
-- KEYS job events all_events event_draft files job_deliveries deliveries deliveries_loop progress delivery_records:list
-- ARGV id retention:number stream_length:number deliveries_gap:number deliveries_ttl:number
-- ARGV event_type sequence timestamp data fields:list webhooks:list
-- USES events deliveries
-- Returns {1, tick of deliveries}, or {0}: another worker was first, or the job has no record.
if redis.call('ZREM', files, id) == 0 or redis.call('HGET', job, 'state') ~= 'succeeded' then return {0} end
local at = now()
redis.call('HDEL', job, 'files', 'files_error')
redis.call('HSET', job, unpack(fields))
append_event(events, all_events, event_draft, stream_length, id,
  {type = event_type, sequence = sequence, timestamp = timestamp, data = data})
for _, key in ipairs({job, events, job_deliveries, progress}) do redis.call('EXPIRE', key, retention) end
return {1, schedule_deliveries(
  webhooks, delivery_records, deliveries, deliveries_loop, deliveries_gap, job_deliveries, id, at, deliveries_ttl)}
