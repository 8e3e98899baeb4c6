-- PhotoGPT has enough for now (429): the jobs it did not take go back into the queue, and the cap on active generations
-- becomes what it has taken.
--
-- KEYS  1 queue  2 triggers  3 triggers' loop  4 active  5 tenants  6 intents  7 jobs  8… one job each
-- ARGV  1 gap  2 seconds to pause  3… per job: id, tenant, seconds to its deadline, reason, error,
--       the time of its intent, or 1 for any
-- Returns what arm() returns.
local at = now()
for i = 8, #KEYS do
  local a = 3 + (i - 8) * 6
  local id = ARGV[a]
  local ours = redis.call('HGET', KEYS[i], 'state') == 'queued' and not other_intent(KEYS[i], ARGV[a + 5])
  if ours and redis.call('ZSCORE', KEYS[2], id) then
    redis.call('HDEL', KEYS[i], 'intent_at', 'intent_by')
    redis.call('HSET', KEYS[i], 'reason', ARGV[a + 3], 'error', ARGV[a + 4])
    redis.call('ZREM', KEYS[6], id)
    redis.call('ZREM', KEYS[4], id)
    queue_up(KEYS[1], KEYS[5], KEYS[3], ARGV[a + 1], id)
    redis.call('ZADD', KEYS[2], 'XX', seconds(at + tonumber(ARGV[a + 2])), id)
  end
end
local paused = math.max(at + tonumber(ARGV[2]), tonumber(redis.call('HGET', KEYS[3], 'paused') or '0'))
redis.call('HSET', KEYS[3], 'paused', seconds(paused), 'cap',
  math.max(1, redis.call('ZCARD', KEYS[4]) + redis.call('ZCARD', KEYS[7])), 'cap_at', seconds(paused), 'throttled_at', seconds(at))
return arm(KEYS[3], at, paused, ARGV[1])
