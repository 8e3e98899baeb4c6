-- Apply one page of the list of jobs: poll now what has ended, and defer the single polls of what has not.
--
-- KEYS jobs loop jobs_by_generation
-- ARGV job_pattern defer:number gap:number entries:list fields:list
--   Each entry: generation, its status (`ended`, or PhotoGPT's word for one that has not), seconds that it took or ''.
-- Returns {tick, number of jobs to be polled now, record…}: the values of `fields` of each job that the list shows as
--   running and its record as submitted.
local at, answer = now(), {false, 0}
local head = tonumber(redis.call('ZRANGE', jobs, 0, 0, 'WITHSCORES')[2] or at)
for i = 1, #entries, 3 do
  local generation, status, took = unpack(entries, i, i + 2)
  local id = redis.call('HGET', jobs_by_generation, generation)
  local job = id and key_of(job_pattern, id)
  local known = job and redis.call('HMGET', job, 'state', 'must_poll_at', 'ends_at') or {}
  if known[1] and status == 'ended' then
    if took ~= '' then redis.call('HSET', job, 'duration_s', took) end
    local forward = redis.call('ZADD', jobs, 'XX', 'LT', 'CH', seconds(math.min(at, head)), id)  -- ahead of a backlog
    if forward > 0 then answer[1] = schedule_tick(loop, at, at, gap) or answer[1] end
    answer[2] = answer[2] + forward
  elseif known[1] then
    local limit = math.min(tonumber(known[2] or 'inf'), tonumber(known[3] or 'inf'))
    if at < limit then redis.call('ZADD', jobs, 'XX', 'GT', seconds(math.min(at + defer, limit)), id) end
    if status == 'running' and known[1] == 'submitted' then
      answer[#answer + 1] = redis.call('HMGET', job, unpack(fields))
    end
  end
end
return answer
