-- Put claimed jobs back into their lane, each due after its own delay, and note what stands in their way.
--
-- KEYS  1 lane  2 its loop  3 intents  4… one job each
-- ARGV  1 gap  2 seconds to pause the lane, 0 for none; the next claim then takes half as many  3… per job: id, delay, reason or '', error or '', looked 0|1,
--       which intent to forget: its time, 1 for any, 0 for none
-- Returns what arm() returns.
local at = now()
if tonumber(ARGV[2]) > 0 then
  local paused = math.max(at + tonumber(ARGV[2]), tonumber(redis.call('HGET', KEYS[2], 'paused') or '0'))
  redis.call('HSET', KEYS[2], 'paused', seconds(paused), 'burst', math.max(1, math.floor((#KEYS - 3) / 2)))
end
local soonest = false
for i = 4, #KEYS do
  local a = 3 + (i - 4) * 6
  local id, delay = ARGV[a], tonumber(ARGV[a + 1])
  local state = redis.call('HGET', KEYS[i], 'state')
  if not state then
    redis.call('ZREM', KEYS[1], id)  -- its record has ended
  elseif other_intent(KEYS[i], ARGV[a + 5]) then
    -- this worker stood still, and another one has asked since: the job is no longer ours
  elseif redis.call('ZSCORE', KEYS[1], id) then
    redis.call('ZADD', KEYS[1], 'XX', seconds(at + delay), id)
    if terminal(state) then
      -- its result is still to be stored; what stands in the way of that is no news of the job
    elseif ARGV[a + 2] ~= '' then
      redis.call('HSET', KEYS[i], 'reason', ARGV[a + 2], 'error', ARGV[a + 3])
    else
      redis.call('HDEL', KEYS[i], 'reason', 'error')
    end
    if ARGV[a + 4] == '1' and not terminal(state) then
      redis.call('HINCRBY', KEYS[i], 'polls', 1)
      redis.call('HSET', KEYS[i], 'last_polled_at', seconds(at))
      local known = redis.call('HMGET', KEYS[i], 'accepted_at', 'ends_at')
      if known[1] then believe(KEYS[i], at, known[1], known[2]) end
    end
    if ARGV[a + 5] ~= '0' then
      redis.call('HDEL', KEYS[i], 'intent_at', 'intent_by')
      redis.call('ZREM', KEYS[3], id)
    end
    if not soonest or at + delay < soonest then soonest = at + delay end
  end
end
return soonest and arm(KEYS[2], at, soonest, ARGV[1])
