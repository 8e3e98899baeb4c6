-- Let queued jobs be triggered, as many as the cap on active generations has room for. The cap is the lower of the
-- setting and of what PhotoGPT was seen to take (requeue.lua); quiet time raises the latter.
--
-- KEYS  1 queue  2 triggers  3 triggers' loop  4 active  5 tenants  6 jobs
-- ARGV  1 most active generations, 0 for no cap of ours  2 how many to admit at most
-- Returns how many were waiting.
local at = now()
local waiting = redis.call('ZCARD', KEYS[1])
local learned = redis.call('HMGET', KEYS[3], 'cap', 'cap_at', 'throttled_at')
local cap = tonumber(learned[1]) or math.huge
if learned[1] then
  local quiet = math.max(0, at - tonumber(learned[2]))  -- the cap rises from the end of the pause on; until then it stands
  cap = cap + math.max(1, cap * 0.05) * quiet
  if waiting == 0 and at - tonumber(learned[3]) > 600 then
    redis.call('HDEL', KEYS[3], 'cap', 'cap_at', 'throttled_at')  -- quiet for long: no longer in force
  elseif quiet > 0 then
    redis.call('HSET', KEYS[3], 'cap', cap, 'cap_at', seconds(at))
  end
end
if waiting == 0 then return 0 end
if tonumber(ARGV[1]) > 0 then cap = math.min(cap, tonumber(ARGV[1])) end
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', seconds(at - 8 * 86400))  -- no job lives that long
local room = math.min(cap - redis.call('ZCARD', KEYS[4]) - redis.call('ZCARD', KEYS[6]), tonumber(ARGV[2]))
if room < 1 then return waiting end
local admitted = redis.call('ZPOPMIN', KEYS[1], math.floor(room))
for i = 1, #admitted, 2 do
  if redis.call('ZSCORE', KEYS[2], admitted[i]) then
    redis.call('ZADD', KEYS[2], seconds(at), admitted[i])
    redis.call('ZADD', KEYS[4], seconds(at), admitted[i])
  end
end
redis.call('HSET', KEYS[3], 'virtual', admitted[#admitted])
redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', admitted[#admitted])  -- what lies behind gives nobody a handicap
return waiting
