-- Apply one page of the list of jobs: poll now what has ended, and defer the single polls of what has not.
--
-- KEYS jobs loop jobs_by_generation recently_ended
-- ARGV job_prefix asked_at:number defer:number gap:number max_lag:number old_jobs:number entries:list
--   Each entry: generation, its status, seconds that it took or ''. Status: ended | waiting | running | ignored.
-- USES single_poll
-- Returns {tick, ours, brought forward, confirmed ends, lag, when the first of ours was submitted or '', its index,
--   how many of `old_jobs` are left, id of a job that the list shows as running…}.
local at = now()
local ours, forward, confirmed, lag, first_at, first_index, running = 0, 0, 0, 0, '', 0, {}

-- Bring a listed end forward, ahead of all that is due; ever more rarely while single polls do not confirm it.
local function poll_now(job, id, took)
  local listed = redis.call('HMGET', job, 'listed_ended_at', 'listed_ended_retry_at')
  local since, last = tonumber(listed[1] or at), tonumber(listed[2] or listed[1] or at)
  if listed[1] and at - last < math.max(defer, last - since) then return end
  redis.call('HSET', job, listed[1] and 'listed_ended_retry_at' or 'listed_ended_at', seconds(at))
  if took ~= '' then redis.call('HSET', job, 'duration_s', took) end
  local head = tonumber(redis.call('ZRANGE', jobs, 0, 0, 'WITHSCORES')[2] or at)
  forward = forward + redis.call('ZADD', jobs, 'XX', 'LT', 'CH', seconds(math.min(at, head)), id)
end

-- Defer the poll of a job that has not ended. The list may be wrong about one: a few old jobs are polled singly.
local function defer_poll(job, id, known)
  local must_poll_at, ends_at = tonumber(known[2] or 'inf'), tonumber(known[3] or 'inf')
  if at >= ends_at then return end
  if at < must_poll_at or old_jobs <= 0 then
    redis.call('ZADD', jobs, 'XX', 'GT', seconds(math.min(at + defer, ends_at)), id)
  elseif tonumber(redis.call('ZSCORE', jobs, id) or 'inf') <= at + defer then  -- later ones are claimed just now
    old_jobs = old_jobs - 1
    defer_single_poll(job, at, known[4], known[3])
    redis.call('ZADD', jobs, 'XX', 'LT', seconds(at), id)
  end
end

for i = 1, #entries / 3 do
  local generation, status, took = unpack(entries, 3 * i - 2, 3 * i)
  local id = redis.call('HGET', jobs_by_generation, generation)
  if id then
    ours = ours + 1
    local job = job_prefix .. id .. '}'
    local known = redis.call('HMGET', job, 'state', 'must_poll_at', 'ends_at', 'accepted_at')
    if first_at == '' then first_at, first_index = known[4] or '', i end
    if known[1] and status == 'ended' then poll_now(job, id, took) end
    if known[1] and (status == 'waiting' or status == 'running') then defer_poll(job, id, known) end
    if known[1] == 'submitted' and status == 'running' then running[#running + 1] = id end
  elseif status == 'ended' then
    confirmed = confirmed + redis.call('ZREM', recently_ended, generation)
  else
    local behind = asked_at - tonumber(redis.call('ZSCORE', recently_ended, generation) or 'inf')
    if behind > max_lag then lag = math.max(lag, behind) end
  end
end
local tick = forward > 0 and schedule_tick(loop, at, at, gap)
return {tick, ours, forward, confirmed, seconds(lag), first_at, first_index, old_jobs, unpack(running)}
