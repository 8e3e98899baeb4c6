-- Stands in front of the script that ends jobs: what others learn from an end.

local MOST = 2000      -- durations of a family; then all weights are halved, so that what is long ago counts less
local ENDED_FOR = 300  -- seconds that an end is remembered, to tell whether the list of jobs shows it

-- Count one duration of a family. The bin is '' where none is known: canceled and expired jobs say nothing.
local function learn(durations, bin, at, ttl)
  if bin == '' then return end
  redis.call('HSETNX', durations, 'since', seconds(at))
  redis.call('HINCRBYFLOAT', durations, bin, 1)
  if tonumber(redis.call('HINCRBYFLOAT', durations, 'total', 1)) > MOST then
    local all = redis.call('HGETALL', durations)
    for i = 1, #all, 2 do
      local half = tonumber(all[i + 1]) / 2
      if all[i] == 'since' then
        -- stays
      elseif half < 0.1 then redis.call('HDEL', durations, all[i]) else redis.call('HSET', durations, all[i], half) end
    end
  end
  redis.call('EXPIRE', durations, ttl)
end

-- A generation is no longer under way for us. If a look of its own showed its end, the list of jobs can be checked
-- against that; not (`mute`) if the list told of it first, or if PhotoGPT may well go on: canceled, expired.
local function landed(flying, ended, generation, mute, at)
  if generation == '' or redis.call('HDEL', flying, generation) == 0 or mute then return end
  redis.call('ZADD', ended, seconds(at), generation)
  redis.call('ZREMRANGEBYSCORE', ended, '-inf', seconds(at - ENDED_FOR))
end
