-- Count a rejected entry of the inbox in the batch that it names. Safe to repeat: the batch remembers the entry.
--
-- KEYS batch batch_events
-- ARGV digest batch_id batch_total:number timestamp ttl:number
-- USES batches
-- Returns 1, or 0: it was counted before, or the key holds no batch, which must not keep the entry in the inbox.
local holds = redis.call('TYPE', batch).ok
if holds ~= 'none' and holds ~= 'hash' then return 0 end
if redis.call('HSETNX', batch, 'rejected:' .. digest, 1) == 0 then return 0 end
join_batch(batch, batch_id, batch_total, timestamp, ttl)
end_in_batch(batch, batch_events, 'rejected', timestamp, ttl)
return 1
