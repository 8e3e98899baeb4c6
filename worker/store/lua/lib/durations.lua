-- What the end of a job shows about the durations of generations.

local MAX_WEIGHT = 2000       -- of a duration group; above it all weights are halved, so that old durations count less
local RECENTLY_ENDED_S = 300  -- for which an end is kept, to check whether PhotoGPT's list of jobs shows it

-- Count one duration. The bin is '' if the duration is not known, as for canceled and expired jobs.
local function record_duration(durations, bin, at, ttl)
  if bin == '' then return end
  redis.call('HSETNX', durations, 'since', seconds(at))
  redis.call('HINCRBYFLOAT', durations, bin, 1)
  if tonumber(redis.call('HINCRBYFLOAT', durations, 'total', 1)) > MAX_WEIGHT then
    local all = redis.call('HGETALL', durations)
    for i = 1, #all, 2 do
      local half = tonumber(all[i + 1]) / 2
      if all[i] ~= 'since' then
        if half < 0.1 then redis.call('HDEL', durations, all[i]) else redis.call('HSET', durations, all[i], half) end
      end
    end
  end
  redis.call('EXPIRE', durations, ttl)
end

-- Remove a generation that is no longer in flight. If a single poll showed its end, keep it for a while: the list of
-- jobs must agree. It is no evidence if the list showed the end first, or if PhotoGPT may go on (canceled, expired).
local function forget_generation(jobs_by_generation, recently_ended, generation, is_evidence, at)
  if generation == '' or redis.call('HDEL', jobs_by_generation, generation) == 0 or not is_evidence then return end
  redis.call('ZADD', recently_ended, seconds(at), generation)
  redis.call('ZREMRANGEBYSCORE', recently_ended, '-inf', seconds(at - RECENTLY_ENDED_S))
end
