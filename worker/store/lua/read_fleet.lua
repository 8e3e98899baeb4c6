-- Read the state of the service: every lane, the jobs that wait, dead letters, workers and totals. Writes nothing.
--
-- KEYS rate_bucket queue active intents dead rejected_count inbox workers data totals lanes_and_loops:list
-- ARGV rate:number unresolved_after:number
-- USES rate
-- Returns {server time, lanes, numbers, workers, data, totals}. A lane has members, due ones, the due time of the
--   first, the time of the last tick, the end of its pause. The numbers are: jobs in the queue, active ones without
--   a generation, unresolved intents, the time of the oldest intent, dead letters, rejected messages, tokens of the
--   request rate, entries of the inbox, the id of the first one.
local at = now()
local lanes = {}
for i = 1, #lanes_and_loops, 2 do
  local lane, loop = lanes_and_loops[i], lanes_and_loops[i + 1]
  local first = redis.call('ZRANGE', lane, 0, 0, 'WITHSCORES')
  local state = redis.call('HMGET', loop, 'last_tick_at', 'paused_until')
  lanes[#lanes + 1] = {redis.call('ZCARD', lane), redis.call('ZCOUNT', lane, '-inf', seconds(at)), first[2] or '',
    state[1] or '0', state[2] or '0'}
end
local numbers = {
  redis.call('ZCARD', queue),
  redis.call('ZCARD', active),
  redis.call('ZCOUNT', intents, '-inf', seconds(at - unresolved_after)),
  redis.call('ZRANGE', intents, 0, 0, 'WITHSCORES')[2] or '',
  redis.call('ZCARD', dead),
  redis.call('GET', rejected_count) or '0',
  rate > 0 and seconds(rate_tokens(rate_bucket, at, rate)) or '',
  redis.call('XLEN', inbox),
  (redis.call('XRANGE', inbox, '-', '+', 'COUNT', 1)[1] or {''})[1],
}
local marks = redis.call('HMGET', data, 'made_at', 'lost_at', 'last_seen_at', 'lost', 'restored_to', 'in_flight')
local seen = redis.call('ZRANGE', workers, 0, -1, 'WITHSCORES')
return {seconds(at), lanes, numbers, seen, marks, redis.call('HGETALL', totals)}
