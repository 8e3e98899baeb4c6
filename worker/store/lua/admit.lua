-- Admit queued jobs to their trigger while the cap on active generations has room. The cap is the lower of the setting
-- and of what PhotoGPT accepted before it refused (requeue.lua); time without a refusal raises the latter.
--
-- KEYS queue triggers triggers_loop active tenants jobs
-- ARGV max_active:number max_admitted:number
-- Returns the number of jobs that were in the queue.
local at = now()
local queued = redis.call('ZCARD', queue)
local learned = redis.call('HMGET', triggers_loop, 'cap', 'cap_at', 'throttled_at')
local cap = tonumber(learned[1]) or math.huge
if learned[1] then
  local quiet = math.max(0, at - tonumber(learned[2]))  -- the cap rises from the end of the pause on, not during it
  cap = cap + math.max(2, cap * 0.1) * quiet
  if queued == 0 and at - tonumber(learned[3]) > 600 then
    redis.call('HDEL', triggers_loop, 'cap', 'cap_at', 'throttled_at')
  elseif quiet > 0 then
    redis.call('HSET', triggers_loop, 'cap', cap, 'cap_at', seconds(at))
  end
end
if queued == 0 then return 0 end
if max_active > 0 then cap = math.min(cap, max_active) end
redis.call('ZREMRANGEBYSCORE', active, '-inf', seconds(at - 8 * 86400))  -- no job lives that long
local room = math.min(cap - redis.call('ZCARD', active) - redis.call('ZCARD', jobs), max_admitted)
if room < 1 then return queued end
local admitted = redis.call('ZPOPMIN', queue, math.floor(room))
for i = 1, #admitted, 2 do
  if redis.call('ZSCORE', triggers, admitted[i]) then
    redis.call('ZADD', triggers, seconds(at), admitted[i])
    redis.call('ZADD', active, seconds(at), admitted[i])
  end
end
redis.call('HSET', triggers_loop, 'virtual_time', admitted[#admitted])
redis.call('ZREMRANGEBYSCORE', tenants, '-inf', admitted[#admitted])  -- a passed tenant has no handicap
return queued
