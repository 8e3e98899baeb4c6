-- Accept a job: store its record, append its first event and schedule its trigger. All or nothing.
-- A job with a start time stays in the lane until then; start.lua puts it into the admission queue.
-- A job with a known idempotency key and the same body is accepted as a duplicate of the job that has the key.
--
-- KEYS job events all_events event_draft triggers triggers_loop idempotency job_deliveries deliveries deliveries_loop
-- KEYS queue tenants active totals batch delivery_records:list
-- ARGV id digest ttl:number idempotency_ttl:number stream_length:number triggers_gap:number deliveries_gap:number
-- ARGV event_type sequence timestamp job_pattern duplicates_pattern tenant deadline_in:number max_active:number
-- ARGV is_generation:flag start_due_at:number batch_id batch_total:number fields:list webhooks:list counted:list
-- USES events deliveries fair_queue batches idempotency
-- Returns {'accepted', tick of triggers, tick of deliveries} | {'known', digest} | {'conflict', id of the other job}.
if redis.call('EXISTS', job) == 1 then return {'known', redis.call('HGET', job, 'digest') or ''} end
local at, owner = now(), false
if idempotency_ttl > 0 then
  local known, known_digest = owner_of_key(idempotency, job_pattern)
  if known and known_digest ~= digest then return {'conflict', known} end
  owner = known
end
-- first, since it needs rights (COPY) that nothing below needs: without them nothing is written
append_event(events, all_events, event_draft, stream_length, id,
  {type = event_type, sequence = sequence, timestamp = timestamp, data = ''})
for _, name in ipairs(counted) do redis.call('HINCRBY', totals, name, 1) end
if idempotency_ttl > 0 and not owner then
  redis.call('HSET', idempotency, 'job', id, 'digest', digest)
  redis.call('EXPIRE', idempotency, idempotency_ttl)
end
redis.call('HSET', job, 'digest', digest, unpack(fields))
if owner then
  local duplicates = key_of(duplicates_pattern, owner)
  redis.call('HSET', job, 'duplicate_of', owner)
  redis.call('SADD', duplicates, id)
  redis.call('EXPIRE', duplicates, ttl)
end
join_batch(batch, batch_id, batch_total, timestamp, ttl)
redis.call('EXPIRE', job, ttl)
redis.call('EXPIRE', events, ttl)
local deliveries_tick = schedule_deliveries(
  webhooks, delivery_records, deliveries, deliveries_loop, deliveries_gap, job_deliveries, id, at, ttl)
if start_due_at then
  redis.call('ZADD', triggers, seconds(start_due_at), id)
  return {'accepted', schedule_tick(triggers_loop, at, start_due_at, triggers_gap), deliveries_tick}
end
local due = at
if is_generation and not owner then
  if max_active > 0 or redis.call('HEXISTS', triggers_loop, 'cap') == 1 or redis.call('ZCARD', queue) > 0 then
    enqueue(queue, tenants, triggers_loop, tenant, id)
    due = at + deadline_in  -- in the lane it waits for its deadline; admit.lua brings it forward
  else
    redis.call('ZADD', active, seconds(at), id)
  end
end
redis.call('ZADD', triggers, seconds(due), id)
return {'accepted', schedule_tick(triggers_loop, at, at, triggers_gap), deliveries_tick}
