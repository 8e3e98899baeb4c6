-- Take what is due in a lane: push it one lease ahead, so that a worker that dies loses nothing, and hand out the
-- records. Uses up the token, so that of several messages that carry it one goes on.
--
-- KEYS  1 lane  2 its loop  3 the rate
-- ARGV  1 token  2 how many at most  3 lease  4 gap  5 requests a second over all workers, 0 for any
--       6 prefix of the records' keys  7… fields wanted of each record
-- Returns {'stale'} | {'claimed', server time, wake, record…}; each record is its fields' values in order.
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[1] then return {'stale'} end
local at = now()
local paused = tonumber(redis.call('HGET', KEYS[2], 'paused') or '0')
redis.call('HINCRBY', KEYS[2], 'token', 1)
redis.call('HSET', KEYS[2], 'armed', 0, 'ticked', seconds(at))
local found = {'claimed', seconds(at), false}
if paused <= at then
  -- after a pause fewer are tried at once (postpone.lua halves), and more again with every claim that goes well
  local most = tonumber(ARGV[2])
  local burst = tonumber(redis.call('HGET', KEYS[2], 'burst') or most)
  if burst < most then redis.call('HSET', KEYS[2], 'burst', math.min(most, burst + math.max(1, math.floor(burst / 4)))) end
  most = math.min(most, burst)
  local rate, tokens = tonumber(ARGV[5]), most
  if rate > 0 then  -- one request per member
    tokens = saved_up(KEYS[3], at, rate)
    most = math.min(most, math.floor(math.max(tokens, 0)))
  end
  local wanted = {}
  for i = 7, #ARGV do wanted[#wanted + 1] = ARGV[i] end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', at, 'LIMIT', 0, most)) do
    local record = redis.call('HMGET', ARGV[6] .. member .. '}', unpack(wanted))
    if record[1] then
      redis.call('ZADD', KEYS[1], seconds(at + ARGV[3]), member)
      found[#found + 1] = record
    else
      redis.call('ZREM', KEYS[1], member)  -- its record has ended
    end
  end
  if rate > 0 then save(KEYS[3], at, tokens - (#found - 3)) end
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if first[1] and tonumber(first[2]) < at + ARGV[3] - SLACK then
  -- a backlog waits for nobody; what comes due one by one shares a tick
  found[3] = arm(KEYS[2], at, tonumber(first[2]), #found - 3 == tonumber(ARGV[2]) and 0 or ARGV[4])
end
return found
