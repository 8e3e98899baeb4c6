-- Return how many generations are in flight, whether triggers are throttled, and the ages of a random sample.
--
-- KEYS jobs triggers_loop
-- ARGV job_pattern sample_size:number
-- Returns {number of generations, 1 if PhotoGPT has answered 429 lately or 0, age…}, ages in seconds as text.
local at = now()
local answer = {redis.call('ZCARD', jobs), redis.call('HEXISTS', triggers_loop, 'cap')}
for _, id in ipairs(redis.call('ZRANDMEMBER', jobs, sample_size)) do
  local accepted_at = redis.call('HGET', key_of(job_pattern, id), 'accepted_at')
  if accepted_at then answer[#answer + 1] = seconds(at - tonumber(accepted_at)) end
end
return answer
