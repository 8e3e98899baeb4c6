-- Files of a job that are to be stored.

-- Let a job wait in the lane of files, with nothing stored yet. Return what schedule_tick() returns.
local function begin_files(progress, lane, loop, gap, id, at, ttl)
  redis.call('HSET', progress, 'since', seconds(at))
  redis.call('EXPIRE', progress, ttl)
  return schedule(lane, loop, gap, id, at, 0)
end
