-- Let a tick be repeated by a worker that has no free thread for it: it counts as on its way, so that no script sends a
-- second one.
--
-- KEYS loop
-- ARGV token
-- USES ticks
-- Returns 1, or 0: a tick with the same token has run, so this one is not needed.
local tick = tick_of(loop, token)
if not tick then return 0 end
redis.call('HSET', loop, tick .. '_due_at', seconds(now()))
return 1
