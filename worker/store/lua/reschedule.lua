-- Put claimed jobs back into their lane, each due after its own delay, and store why they make no progress.
--
-- KEYS lane loop intents job_records:list
-- ARGV gap:number pause:number rows:list
--   Each row: id, delay, reason, error, polled 0|1, clears the intent 0|1, the intent to clear or '' for any,
--   PhotoGPT's status or ''.
-- Returns what schedule_tick() returns.
local at, first_due = now(), false
if pause > 0 then  -- the next claim takes half as many
  local paused_until = math.max(at + pause, tonumber(redis.call('HGET', loop, 'paused_until') or '0'))
  redis.call('HSET', loop, 'paused_until', seconds(paused_until), 'burst', math.max(1, math.floor(#job_records / 2)))
end

-- Trust PhotoGPT's list about a job for as long again as its generation has been in flight, but not past its deadline.
local function defer_single_poll(job, accepted_at, ends_at)
  local until_at = math.min(2 * at - tonumber(accepted_at), tonumber(ends_at or 'inf'))
  redis.call('HSET', job, 'must_poll_at', seconds(until_at))
end

local function store_progress(job, reason, problem, polled, status)
  if reason ~= '' then
    redis.call('HSET', job, 'reason', reason, 'error', problem)
  else
    redis.call('HDEL', job, 'reason', 'error')
  end
  if polled ~= '1' then return end
  redis.call('HINCRBY', job, 'polls', 1)
  redis.call('HSET', job, 'last_polled_at', seconds(at))
  local known = redis.call('HMGET', job, 'accepted_at', 'ends_at', 'photogpt_status')
  if status ~= '' and known[3] ~= status then
    redis.call('HSET', job, 'photogpt_status', status, 'photogpt_status_since', seconds(at))
  end
  if known[1] then defer_single_poll(job, known[1], known[2]) end
end

for i, job in ipairs(job_records) do
  local id, delay, reason, problem, polled, clears, intent, status = unpack(rows, 8 * i - 7, 8 * i)
  local state = redis.call('HGET', job, 'state')
  if not state then
    redis.call('ZREM', lane, id)  -- its record has expired
  elseif clears == '1' and is_other_intent(job, intent) then
    -- another worker has triggered the job since: it is no longer ours
  elseif redis.call('ZSCORE', lane, id) then
    local due = at + tonumber(delay)
    redis.call('ZADD', lane, 'XX', seconds(due), id)
    if not is_terminal(state) then store_progress(job, reason, problem, polled, status) end
    if clears == '1' then
      redis.call('HDEL', job, 'intent_at', 'intent_by')
      redis.call('ZREM', intents, id)
    end
    if not first_due or due < first_due then first_due = due end
  end
end
return first_due and schedule_tick(loop, at, first_due, gap)
