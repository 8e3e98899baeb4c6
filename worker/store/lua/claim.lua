-- Claim what is due in a lane: move it one lease ahead, so that a worker that dies loses nothing, and return the
-- records. Uses up the token, so that of several messages that carry it only one goes on.
--
-- KEYS lane loop rate_bucket
-- ARGV token max_claimed:number lease:number gap:number rate:number record_pattern fields:list
-- USES rate ticks
-- Returns {'stale'} | {'claimed', server time, tick, lateness, record…}. The lateness is the seconds from the due time
--   of the first claimed member, or false. A record has the values of its fields, in order.
local tick = tick_of(loop, token)
if not tick then return {'stale'} end
local at = now()
local paused_until = tonumber(redis.call('HGET', loop, 'paused_until') or '0')
redis.call('HSET', loop, tick .. '_token', redis.call('HINCRBY', loop, 'tokens', 1), tick .. '_due_at', 0,
  'last_tick_at', seconds(at))
local answer, HEAD = {'claimed', seconds(at), false, false}, 4
if paused_until <= at then
  -- after a pause fewer are claimed (reschedule.lua halves the burst), and more with every claim
  local limit = max_claimed
  local burst = tonumber(redis.call('HGET', loop, 'burst') or limit)
  if burst < limit then
    redis.call('HSET', loop, 'burst', math.min(limit, burst + math.max(1, math.floor(burst / 4))))
  end
  limit = math.min(limit, burst)
  local tokens = limit
  if rate > 0 then  -- one request per member
    tokens = rate_tokens(rate_bucket, at, rate)
    limit = math.min(limit, math.floor(math.max(tokens, 0)))
  end
  local due = redis.call('ZRANGEBYSCORE', lane, '-inf', at, 'WITHSCORES', 'LIMIT', 0, limit)
  for i = 1, #due, 2 do
    local member = due[i]
    local record = redis.call('HMGET', key_of(record_pattern, member), unpack(fields))
    if record[1] then
      redis.call('ZADD', lane, seconds(at + lease), member)
      answer[#answer + 1] = record
      answer[4] = answer[4] or seconds(at - tonumber(due[i + 1]))
    else
      redis.call('ZREM', lane, member)  -- its record has expired
    end
  end
  if rate > 0 then store_rate_tokens(rate_bucket, at, tokens - (#answer - HEAD)) end
end
local first = redis.call('ZRANGE', lane, 0, 0, 'WITHSCORES')
if first[1] and tonumber(first[2]) < at + lease - SLACK_S then
  -- a full claim leaves a backlog, which is claimed at once; single members that come due share a tick
  answer[3] = schedule_tick(loop, at, tonumber(first[2]), #answer - HEAD == max_claimed and 0 or gap)
end
return answer
