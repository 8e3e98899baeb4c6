-- Record that a worker process runs, and forget those that have not been seen for long.
--
-- KEYS workers
-- ARGV id kept:number
-- Returns nothing.
local at = now()
redis.call('ZADD', workers, seconds(at), id)
redis.call('ZREMRANGEBYSCORE', workers, '-inf', seconds(at - kept))
redis.call('EXPIRE', workers, kept)
