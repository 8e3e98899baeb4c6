-- Move a job on to a state that is not its last: fields, events, webhooks and the next timer in one step.
--
-- KEYS  1 job  2 its events  3 all events  4 lane it leaves  5 lane it enters  6 that lane's loop  7 intents
--       8 generations  9 its deliveries  10 deliveries  11 deliveries' loop  12 generations under way
--       13 active  14 its Celery result  15… one key per webhook
-- ARGV  1 id  2 states it may come from, between commas  3 delay  4 gap  5 gap of deliveries  6 stream length
--       7 TTL of webhooks  8 what is ours from now on: a generation, `model:<id>` of a training, or ''  9 event type  10 sequence  11 timestamp  12 data
--       13 TTL of the state that Celery shows  14 that state, or '' for none  15 what is kept of it
--       16 number of fields, then the field pairs, then the webhooks
-- Returns {1, wake, wake of deliveries}, or {0, state}: it was elsewhere already. A generation is remembered as ours
--       even then: it exists.
local KNOWN_FOR = 7200
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return {0, ''} end
local at = now()
if ARGV[8] ~= '' then
  redis.call('ZADD', KEYS[8], 'NX', seconds(at), ARGV[8])
  redis.call('ZREM', KEYS[7], ARGV[1])
  -- known ones are asked for only while a job of their time is in doubt
  local doubt = redis.call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')[2]
  redis.call('ZREMRANGEBYSCORE', KEYS[8], '-inf', seconds(math.min(at, tonumber(doubt or at)) - KNOWN_FOR))
end
if not string.find(ARGV[2], ',' .. state .. ',', 1, true) then
  if ARGV[8] ~= '' and string.sub(ARGV[8], 1, 6) ~= 'model:' then
    redis.call('HSETNX', KEYS[1], 'generation_id', ARGV[8])
  end
  return {0, state}
end
local fields, last = {}, 16 + tonumber(ARGV[16])
for i = 17, last do fields[#fields + 1] = ARGV[i] end
redis.call('HSET', KEYS[1], unpack(fields))
if ARGV[8] ~= '' and string.sub(ARGV[8], 1, 6) ~= 'model:' then
  redis.call('HSET', KEYS[1], 'accepted_at', seconds(at))
  redis.call('HDEL', KEYS[1], 'listed_ended_at', 'listed_ended_retry_at')  -- what a list said of an earlier one
  redis.call('HSET', KEYS[12], ARGV[8], ARGV[1])
  redis.call('ZREM', KEYS[13], ARGV[1])  -- the lane that it enters counts it from now on
end
redis.call('HDEL', KEYS[1], 'intent_at', 'intent_by', 'reason', 'error')
announce(KEYS[2], KEYS[3], ARGV[6], ARGV[1],
  {type = ARGV[9], sequence = ARGV[10], timestamp = ARGV[11], data = ARGV[12]})
tell(KEYS[14], ARGV[13], ARGV[14], ARGV[15])
if KEYS[4] ~= KEYS[5] then redis.call('ZREM', KEYS[4], ARGV[1]) end
local other = schedule_deliveries(15, last + 1, KEYS[10], KEYS[11], ARGV[5], KEYS[9], ARGV[1], at, ARGV[7])
return {1, park(KEYS[5], KEYS[6], ARGV[4], ARGV[1], at, tonumber(ARGV[3])), other}
