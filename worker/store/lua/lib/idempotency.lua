-- Return the id of the job that has an idempotency key, and the digest of its request; false if no job has it. A job
-- that has ended retryable and unpaid no longer has its key.
local function owner_of_key(idempotency, job_pattern)
  local known = redis.call('HMGET', idempotency, 'job', 'digest')
  if not known[1] then return false end
  local found = redis.call('HMGET', key_of(job_pattern, known[1]),
    'state', 'retryable', 'submitted_at', 'generation_id', 'intent_at')
  local may_be_paid = found[3] or found[4] or found[5]
  if is_terminal(found[1]) and found[2] == 'true' and not may_be_paid then return false end
  return known[1], known[2]
end
