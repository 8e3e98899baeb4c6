-- Stands in front of every script. LONGEST (seconds a message may wait in a worker) comes before it, from the settings.
-- Time is the server's; no client's clock decides anything here.

local GRACE = 2     -- seconds after which a tick message that should have arrived is taken for lost
local SLACK = 0.02  -- seconds by which a message on its way may be later than wished
local function now() local t = redis.call('TIME') return tonumber(t[1]) + tonumber(t[2]) / 1000000 end

local function seconds(value) return string.format('%.6f', value) end

local ENDS = {succeeded = true, failed = true, expired = true, canceled = true}
local function terminal(state) return ENDS[state] == true end
local function other_intent(job, mine) return #mine > 1 and redis.call('HGET', job, 'intent_at') ~= mine end

-- Decide whether a tick message has to be sent so that a lane is looked after at `due`.
-- Returns {token, delay} to send, or false: one is on its way in time. The token stays until a tick uses it, so that a
-- message sent once too often, or found again, does nothing.
local function arm(loop, at, due, gap)
  local state = redis.call('HMGET', loop, 'token', 'armed', 'ticked', 'paused')
  due = math.max(due, at, (tonumber(state[3]) or 0) + gap, tonumber(state[4]) or 0)
  local fires = math.min(due, at + LONGEST)
  local armed = tonumber(state[2]) or 0
  if armed > at - GRACE and armed <= fires + SLACK then return false end
  local token = state[1] or tostring(redis.call('HINCRBY', loop, 'token', 1))
  redis.call('HSET', loop, 'armed', seconds(fires))
  return {token, seconds(fires - at)}
end

-- Put a member into a lane, due after `delay` seconds, and see to its loop. Returns what arm() returns.
local function park(lane, loop, gap, member, at, delay)
  redis.call('ZADD', lane, seconds(at + delay), member)
  return arm(loop, at, at + delay, gap)
end

-- How many requests may be sent now, of `rate` a second over all workers: a second's worth may be saved up.
local function saved_up(key, at, rate)
  local saved, most = redis.call('HMGET', key, 'tokens', 'at'), math.max(rate, 1)
  return math.min(most, (tonumber(saved[1]) or most) + (at - (tonumber(saved[2]) or at)) * rate)
end

local function save(key, at, left)
  redis.call('HSET', key, 'tokens', left, 'at', seconds(at))
  redis.call('EXPIRE', key, 60)
end

-- From now on the list of jobs is believed about a job for as long again as it has been under way, and not past its deadline.
local function believe(job, at, flown, ends)
  redis.call('HSET', job, 'must_poll_at', seconds(math.min(2 * at - tonumber(flown or at), tonumber(ends or 'inf'))))
end
