-- Let a claimed member of a lane come due again later.
--
-- KEYS lane
-- ARGV member lease:number
-- Returns 1 if the member was there and its due time has changed, otherwise 0.
return redis.call('ZADD', lane, 'XX', 'GT', 'CH', seconds(now() + lease), member)
