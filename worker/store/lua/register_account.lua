-- Register the account of a namespace. Another one is replaced if that was asked for by its id, if it is a sandbox and
-- `replaces` is loopback, or if it is at the same URL and PhotoGPT has refused its key within the last hour. A worker
-- without a key passes if the URL is the same.
--
-- KEYS account
-- ARGV id base_url fingerprint replaces register:flag
-- Returns {'ours'}, or {'other', its id, its URL}.
local REJECTED_S = 3600  -- PhotoGPT may have refused a sound key for a moment, so that is not remembered for longer
local known = redis.call('HMGET', account, 'id', 'base_url', 'fingerprint', 'rejected_at')
local same_url = known[2] == base_url
if known[1] == id or (same_url and fingerprint == '') then return {'ours'} end
local rejected = (tonumber(known[4]) or 0) > now() - REJECTED_S
local sandbox = replaces == 'loopback' and (known[2] or ''):find('^http://127%.0%.0%.1:')
local may_replace = sandbox or replaces == known[1] or (same_url and (known[3] == '' or rejected))
if known[1] and not may_replace then return {'other', known[1], known[2]} end
if not register then return {'ours'} end
redis.call('HSET', account, 'id', id, 'base_url', base_url, 'fingerprint', fingerprint)
redis.call('HDEL', account, 'rejected_at')
return {'ours'}
