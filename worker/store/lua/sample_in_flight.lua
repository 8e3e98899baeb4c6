-- Return how many generations are in flight, whether triggers are throttled, the ages of a random sample, and the
-- generations whose end a single poll has shown lately.
--
-- KEYS jobs triggers_loop recently_ended
-- ARGV job_pattern sample_size:number
-- Returns {number of generations, 1 if PhotoGPT has answered 429 lately or 0, {age…}, {generation, time…}}, ages and
--   times in seconds as text.
local at, ages = now(), {}
for _, id in ipairs(redis.call('ZRANDMEMBER', jobs, sample_size)) do
  local accepted_at = redis.call('HGET', key_of(job_pattern, id), 'accepted_at')
  if accepted_at then ages[#ages + 1] = seconds(at - tonumber(accepted_at)) end
end
return {redis.call('ZCARD', jobs), redis.call('HEXISTS', triggers_loop, 'cap'), ages,
  redis.call('ZRANGE', recently_ended, 0, -1, 'WITHSCORES')}
