-- Take in one page of the list of jobs: bring forward what has ended, put off what has not.
--
-- KEYS  1 lane of jobs  2 its loop  3 generations under way  4 those that ended lately
-- ARGV  1 prefix of the keys of jobs  2 when the page was asked for  3 seconds to put off  4 gap  5 seconds a list may lag
--       6 how many may get a look of their own although the list shows them: see wait()
--       7 how many entries, then per entry: generation, what the list says: ended | waiting | running | ignored (nothing is done), seconds that it took or ''
-- Returns {wake, how many are ours, how many were brought forward, confirmations, seconds by which the list lagged,
--          when the first of ours was submitted or '', its place, how many `own` are left, id of a job that runs unknown…}
local at, hold, own = now(), tonumber(ARGV[3]), tonumber(ARGV[6])
local ours, forward, confirmed, lag, first, place, running = 0, 0, 0, 0, '', 0, {}

-- Bring forward what the list shows as ended, ahead of all that is due; less and less often where it is wrong.
local function bring(job, id, took)
  local shown = redis.call('HMGET', job, 'listed_ended_at', 'listed_ended_retry_at')
  local since, again = tonumber(shown[1] or at), tonumber(shown[2] or shown[1] or at)
  if shown[1] and at - again < math.max(hold, again - since) then return end
  redis.call('HSET', job, shown[1] and 'listed_ended_retry_at' or 'listed_ended_at', seconds(at))
  if took ~= '' then redis.call('HSET', job, 'duration_s', took) end
  local head = tonumber(redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] or at)
  forward = forward + redis.call('ZADD', KEYS[1], 'XX', 'LT', 'CH', seconds(math.min(at, head)), id)
end

-- Put off what has not ended. A list may be wrong about one: who is old gets a look of its own, a few at a time.
local function wait(job, id, known)
  local patient, ends = tonumber(known[2] or 'inf'), tonumber(known[3] or 'inf')
  if at >= ends then return end
  if at < patient or own <= 0 then
    redis.call('ZADD', KEYS[1], 'XX', 'GT', seconds(math.min(at + hold, ends)), id)
  elseif tonumber(redis.call('ZSCORE', KEYS[1], id) or 'inf') <= at + hold then  -- others are looked at just now
    own = own - 1
    believe(job, at, known[4], known[3])
    redis.call('ZADD', KEYS[1], 'XX', 'LT', seconds(at), id)
  end
end

for i = 1, tonumber(ARGV[7]) do
  local generation, says, took = ARGV[5 + 3 * i], ARGV[6 + 3 * i], ARGV[7 + 3 * i]
  local id = redis.call('HGET', KEYS[3], generation)
  if id then
    ours = ours + 1
    local job = ARGV[1] .. id .. '}'
    local known = redis.call('HMGET', job, 'state', 'must_poll_at', 'ends_at', 'accepted_at')
    if first == '' then first, place = known[4] or '', i end
    if known[1] and says == 'ended' then
      bring(job, id, took)
    elseif known[1] and says ~= 'ignored' then
      wait(job, id, known)
      if says == 'running' and known[1] == 'submitted' then running[#running + 1] = id end
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
return {forward > 0 and arm(KEYS[2], at, at, ARGV[4]), ours, forward, confirmed, seconds(lag), first, place, own, unpack(running)}
