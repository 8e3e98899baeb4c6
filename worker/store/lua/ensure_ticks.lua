-- Make sure that each lane with members has a tick on its way. Every worker asks every three seconds, so that a
-- lost message, a dead worker or a broker that lost its data costs seconds.
--
-- KEYS queue triggers lanes:list
--   Each lane is followed by its loop. `queue` holds the jobs that wait for admission to `triggers`.
-- ARGV again:flag gaps:list
--   `again`: send it although one may be on its way, since a killed worker may hold that.
-- Returns for each lane what schedule_tick() returns, and its number of members.
local at, answer = now(), {}
for i, gap in ipairs(gaps) do
  local lane, loop, tick = lanes[2 * i - 1], lanes[2 * i], false
  local first = redis.call('ZRANGE', lane, 0, 0, 'WITHSCORES')
  if first[1] then
    local waiting = lane == triggers and redis.call('ZCARD', queue) > 0
    local due = waiting and at or tonumber(first[2])
    if again then redis.call('HDEL', loop, 'soon_due_at', 'later_due_at') end
    tick = schedule_tick(loop, at, due, tonumber(gap))
  end
  answer[i] = {tick, redis.call('ZCARD', lane)}
end
return answer
