-- Register the account of a namespace. Another one is replaced if that was asked for by its id, or if it is at the same
-- URL and PhotoGPT refuses its key. A worker without a key passes if the URL is the same.
--
-- KEYS account
-- ARGV id base_url fingerprint replaces register:flag
-- Returns {'ours'}, or {'other', its id, its URL}.
local known = redis.call('HMGET', account, 'id', 'base_url', 'fingerprint', 'rejected')
local same_url = known[2] == base_url
if known[1] == id or (same_url and fingerprint == '') then return {'ours'} end
local may_replace = replaces == 'any' or replaces == known[1] or (same_url and (known[3] == '' or known[4]))
if known[1] and not may_replace then return {'other', known[1], known[2]} end
if not register then return {'ours'} end
redis.call('HSET', account, 'id', id, 'base_url', base_url, 'fingerprint', fingerprint)
redis.call('HDEL', account, 'rejected')
return {'ours'}
