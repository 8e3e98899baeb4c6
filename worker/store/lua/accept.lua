-- Accept a job: write its record, tell the world, and park it where it waits to be triggered. All or nothing, so that
-- a job is either known to everybody or to nobody.
--
-- KEYS  1 job  2 its events  3 all events  4 triggers  5 triggers' loop  6 idempotency key  7 its deliveries
--       8 deliveries  9 deliveries' loop  10 queue  11 tenants  12 active  13… one key per webhook
-- ARGV  1 id  2 digest  3 record TTL  4 idempotency TTL, 0 without a key  5 stream length  6 gap of triggers
--       7 gap of deliveries  8 event type  9 timestamp  10 prefix of the keys of jobs  11 tenant
--       12 seconds to the deadline  13 most active generations, 0 for no cap  14 counts as one 0|1
--       15 number of fields, then the field pairs, then the webhooks
-- Returns {'accepted', wake, wake of deliveries} | {'known', digest} | {'conflict', owner}
--       The same idempotency key and body: accepted, but as a follower of the job that has it.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return {'known', redis.call('HGET', KEYS[1], 'digest') or ''}
end
local at = now()
local id, ttl, owner = ARGV[1], ARGV[3], false
if ARGV[4] ~= '0' then
  local taken = redis.call('HMGET', KEYS[6], 'job', 'digest')
  if taken[1] and taken[2] ~= ARGV[2] then return {'conflict', taken[1]} end
  owner = taken[1]
end
-- first, since it takes rights that nothing below takes: where they lack, nothing is written
announce(KEYS[2], KEYS[3], ARGV[5], id, {type = ARGV[8], sequence = 1, timestamp = ARGV[9], data = ''})
if ARGV[4] ~= '0' and not owner then
  redis.call('HSET', KEYS[6], 'job', id, 'digest', ARGV[2])
  redis.call('EXPIRE', KEYS[6], ARGV[4])
end
local fields, last = {}, 15 + tonumber(ARGV[15])
for i = 16, last do fields[#fields + 1] = ARGV[i] end
redis.call('HSET', KEYS[1], 'digest', ARGV[2], unpack(fields))
if owner then
  redis.call('HSET', KEYS[1], 'follows', owner)
  redis.call('SADD', ARGV[10] .. owner .. '}:duplicates', id)
  redis.call('EXPIRE', ARGV[10] .. owner .. '}:duplicates', ttl)
end
redis.call('EXPIRE', KEYS[1], ttl)
redis.call('EXPIRE', KEYS[2], ttl)
local other = schedule_deliveries(13, last + 1, KEYS[8], KEYS[9], ARGV[7], KEYS[7], id, at, ttl)
local due = at
if ARGV[14] == '1' and not owner then
  if tonumber(ARGV[13]) > 0 or redis.call('HEXISTS', KEYS[5], 'cap') == 1 or redis.call('ZCARD', KEYS[10]) > 0 then
    queue_up(KEYS[10], KEYS[11], KEYS[5], ARGV[11], id)
    due = at + tonumber(ARGV[12])  -- in the lane it waits for its deadline; admit.lua brings it forward
  else
    redis.call('ZADD', KEYS[12], seconds(at), id)
  end
end
redis.call('ZADD', KEYS[4], seconds(due), id)
return {'accepted', arm(KEYS[5], at, at, ARGV[6]), other}
