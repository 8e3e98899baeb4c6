-- Take in one page of the list of jobs: bring forward what has ended, put off what has not.
--
-- KEYS  1 lane of jobs  2 its loop  3 generations under way  4 those that ended lately
-- ARGV  1 prefix of the keys of jobs  2 when the page was asked for  3 seconds to put off  4 gap  5 seconds a list may lag
--       6 how many entries, then per entry: generation, what the list says: ended | put off | working (put off, and under
--       way in the list's own words) | see (nothing is done), seconds that it took or ''
-- Returns {wake, how many are ours, how many were brought forward, confirmations, seconds by which the list lagged,
--          when the first of ours was submitted or '', its place, id of a job that runs and is not known to…}
local at = now()
local ours, forward, confirmed, lag, first, place, running = 0, 0, 0, 0, '', 0, {}
for i = 1, tonumber(ARGV[6]) do
  local generation, says, took = ARGV[4 + 3 * i], ARGV[5 + 3 * i], ARGV[6 + 3 * i]
  local id = redis.call('HGET', KEYS[3], generation)
  if id then
    ours = ours + 1
    local job = ARGV[1] .. id .. '}'
    if first == '' then first, place = redis.call('HGET', job, 'flown_at') or '', i end
    if says == 'ended' then
      if took ~= '' and redis.call('EXISTS', job) == 1 then redis.call('HSET', job, 'took_s', took) end
      forward = forward + redis.call('ZADD', KEYS[1], 'XX', 'LT', 'CH', seconds(at), id)
    elseif says ~= 'see' then
      local known = redis.call('HMGET', job, 'state', 'patient_at')
      local patient = tonumber(known[2] or 'inf')
      if at < patient then  -- a list may be wrong about one: at times it gets a look of its own
        redis.call('ZADD', KEYS[1], 'XX', 'GT', seconds(math.min(at + tonumber(ARGV[3]), patient)), id)
      end
      if says == 'working' and known[1] == 'submitted' then running[#running + 1] = id end
    end
  else
    local seen = tonumber(redis.call('ZSCORE', KEYS[4], generation) or 'inf')
    if says == 'ended' then
      confirmed = confirmed + redis.call('ZREM', KEYS[4], generation)
    elseif tonumber(ARGV[2]) - seen > tonumber(ARGV[5]) then
      lag = math.max(lag, tonumber(ARGV[2]) - seen)
    end
  end
end
local wake = forward > 0 and arm(KEYS[2], at, at, ARGV[4])
return {wake, ours, forward, confirmed, seconds(lag), first, place, unpack(running)}
