-- Let a job whose generation succeeded wait for its files before it ends. It leaves every other lane, and PhotoGPT's
-- capacity that it took is free.
--
-- KEYS job events triggers triggers_loop jobs files files_loop progress active queue durations jobs_by_generation
-- KEYS recently_ended
-- ARGV id seen_state ttl:number triggers_gap:number files_gap:number polled:flag generation duration_bin
-- ARGV durations_ttl:number fields:list
-- USES durations files
-- Returns {1, tick of files, tick of triggers}, or {0, state}: the job has ended or moved on.
local state = redis.call('HGET', job, 'state')
if (state or '') ~= seen_state or is_terminal(state) then return {0, state or ''} end
if redis.call('EXISTS', progress) == 1 then return {0, state} end
local at = now()
redis.call('HSET', job, unpack(fields))
if polled then redis.call('HINCRBY', job, 'polls', 1) end
for _, key in ipairs({job, events}) do
  if redis.call('TTL', key) < ttl then redis.call('EXPIRE', key, ttl) end
end
for _, key in ipairs({triggers, jobs, active, queue}) do redis.call('ZREM', key, id) end
local is_evidence = duration_bin ~= '' and not redis.call('HGET', job, 'duration_s')
forget_generation(jobs_by_generation, recently_ended, generation, is_evidence, at)
record_duration(durations, duration_bin, at, durations_ttl)
local triggers_tick = redis.call('ZCARD', queue) > 0 and schedule_tick(triggers_loop, at, at, triggers_gap)
return {1, begin_files(progress, files, files_loop, files_gap, id, at, ttl), triggers_tick}
