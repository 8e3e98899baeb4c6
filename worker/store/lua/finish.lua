-- End a job, once: compare and set the terminal state, write the outcome, append the events, write the Celery result or
-- park it where a canvas hangs on it, park the webhooks, wake its followers. Nothing is announced that is not stored, nothing stored stays unannounced, and a
-- second ending changes nothing.
--
-- KEYS  1 job  2 its events  3 all events  4 triggers  5 triggers' loop  6 jobs  7 models  8 results  9 results' loop
--       10 deliveries  11 deliveries' loop  12 its deliveries  13 its followers  14 intents  15 active  16 queue
--       17 its Celery result  18 durations of its family  19 generations under way  20 those that ended lately
--       21… one key per webhook
-- ARGV  1 id  2 state the caller saw it in, or '' for a job that ends before it was accepted  3 retention
--       4 stream length  5 gap of triggers  6 gap of results  7 gap of deliveries
--       8 delay of results: the sender's head start  9 looked 0|1  10 event type  11 sequence  12 timestamp  13 data
--       14 TTL of webhooks  15 settled 0|1: it is certain whether PhotoGPT created something
--       16 whether the caller saw an open intent 0|1  17 no message is needed for the result 0|1
--       18 TTL of the result  19 the result, or '' for none  20 bin of its duration, or ''  21 TTL of durations
--       22 its generation, or ''  23 number of fields, then the field pairs, then the webhooks
-- Returns {1, wake of results, wake of deliveries, wake of triggers, continuation}, or {0, state}: it had ended,
--       is not known, or has moved on since the caller saw it, who then says something that is no longer true.
local state = redis.call('HGET', KEYS[1], 'state')
if (state or '') ~= ARGV[2] or terminal(state) then return {0, state or ''} end
if state == 'queued' and ARGV[15] == '0' and redis.call('HEXISTS', KEYS[1], 'intent_at') ~= tonumber(ARGV[16]) then
  return {0, state}
end
local at = now()
local id, ttl = ARGV[1], ARGV[3]
local fields, last = {}, 23 + tonumber(ARGV[23])
for i = 24, last do fields[#fields + 1] = ARGV[i] end
redis.call('HDEL', KEYS[1], 'reason', 'error')
redis.call('HSET', KEYS[1], unpack(fields))
if ARGV[9] == '1' then redis.call('HINCRBY', KEYS[1], 'polls', 1) end
announce(KEYS[2], KEYS[3], ARGV[4], id, {type = ARGV[10], sequence = ARGV[11], timestamp = ARGV[12], data = ARGV[13]})
for _, key in ipairs({KEYS[1], KEYS[2], KEYS[12], KEYS[13]}) do redis.call('EXPIRE', key, ttl) end
for _, key in ipairs({KEYS[4], KEYS[6], KEYS[7], KEYS[15], KEYS[16]}) do redis.call('ZREM', key, id) end
if ARGV[15] == '1' then redis.call('ZREM', KEYS[14], id) end
landed(KEYS[19], KEYS[20], ARGV[22], ARGV[20] == '' or redis.call('HGET', KEYS[1], 'duration_s'), at)
learn(KEYS[18], ARGV[20], at, ARGV[21])
local triggers = redis.call('ZCARD', KEYS[16]) > 0 and arm(KEYS[5], at, at, ARGV[5])  -- there may be room now
for _, follower in ipairs(redis.call('SMEMBERS', KEYS[13])) do
  if redis.call('ZADD', KEYS[4], 'XX', 'CH', seconds(at), follower) == 1 then
    triggers = arm(KEYS[5], at, at, ARGV[5]) or triggers
  end
end
local deliveries = schedule_deliveries(21, last + 1, KEYS[10], KEYS[11], ARGV[7], KEYS[12], id, at, ARGV[14])
if ARGV[17] == '1' then
  tell(KEYS[17], ARGV[18], ARGV[19], ARGV[19])
  redis.call('HSET', KEYS[1], 'published_at', ARGV[12])
  return {1, false, deliveries, triggers}
end
return {1, park(KEYS[8], KEYS[9], ARGV[6], id, at, tonumber(ARGV[8])), deliveries, triggers,
  redis.call('HGET', KEYS[1], 'continuation')}
