-- Constants and functions that stand in front of every script. The loader defines MAX_COUNTDOWN_S, the seconds that a
-- tick may wait in a worker, and SOON_S. Time is the server's: no client's clock decides anything here.

local GRACE_S = 1     -- after which a tick that has not run counts as lost
local LISTED_FOR_S = 8 * 86400  -- after which GET /jobs no longer shows a generation
local SLACK_S = 0.02  -- by which a tick may be late without another one being published

local function now() local t = redis.call('TIME') return tonumber(t[1]) + tonumber(t[2]) / 1000000 end

local function seconds(value) return string.format('%.6f', value) end

-- Return the key of an id. In a pattern, which keys.py makes, <id> stands for the id.
local function key_of(pattern, id)
  local before, after = pattern:match('^(.-)<id>(.*)$')
  return before .. id .. after
end

local TERMINAL = {succeeded = true, failed = true, expired = true, canceled = true}
local function is_terminal(state) return TERMINAL[state] == true end

-- Return whether the open intent of a job is another one than `intent`; '' stands for any.
local function is_other_intent(job, intent) return intent ~= '' and redis.call('HGET', job, 'intent_at') ~= intent end

-- Return the items of a list from one index to another, and the index after them.
local function slice(items, first, last)
  local found = {}
  for i = first, last do found[#found + 1] = items[i] end
  return found, last + 1
end

-- A lane has two ticks on their way at most: one that is due within SOON_S, and one that is due later. So a member that
-- comes due now does not use up the token of the message that waits for a later one.
local TICKS = {'soon', 'later'}

-- Decide whether a tick has to be published so that a lane is claimed at `due`. Return {token, delay} to publish, or
-- false if one is on its way in time, or if `due` is too far ahead for a message: the lane monitor asks again.
-- The token stays until a tick uses it, so a repeated tick does nothing.
local function schedule_tick(loop, at, due, gap)
  local state = redis.call('HMGET', loop, 'last_tick_at', 'paused_until', 'soon_due_at', 'later_due_at')
  due = math.max(due, at, (tonumber(state[1]) or 0) + gap, tonumber(state[2]) or 0)
  if due > at + MAX_COUNTDOWN_S then return false end
  for i = 3, 4 do
    local tick_due_at = tonumber(state[i]) or 0
    if tick_due_at > at - GRACE_S and tick_due_at <= due + SLACK_S then return false end
  end
  local tick = TICKS[due - at <= SOON_S and 1 or 2]
  local token = redis.call('HGET', loop, tick .. '_token') or tostring(redis.call('HINCRBY', loop, 'tokens', 1))
  redis.call('HSET', loop, tick .. '_token', token, tick .. '_due_at', seconds(due))
  return {token, seconds(due - at)}
end

-- Put a member into a lane, due after `delay` seconds. Return what schedule_tick() returns.
local function schedule(lane, loop, gap, member, at, delay)
  redis.call('ZADD', lane, seconds(at + delay), member)
  return schedule_tick(loop, at, at + delay, gap)
end
