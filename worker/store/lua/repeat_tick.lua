-- Let a tick be repeated by a worker that has no free thread for it: it counts as on its way, so that no script sends a
-- second one.
--
-- KEYS loop
-- ARGV token
-- Returns 1, or 0: a tick with the same token has run, so this one is not needed.
if redis.call('HGET', loop, 'token') ~= token then return 0 end
redis.call('HSET', loop, 'tick_due_at', seconds(now()))
return 1
