-- Put an ended job back into the lane of files, to store what is not stored yet.
--
-- KEYS job files files_loop progress
-- ARGV id files_gap:number ttl:number
-- USES files
-- Returns {'unknown'} | {'not_succeeded', state} | {'no_outputs'} | {'waiting'} | {'stored'} | {'scheduled', tick}.
local known = redis.call('HMGET', job, 'state', 'images', 'videos', 'files', 'files_error')
if not known[1] then return {'unknown'} end
if known[1] ~= 'succeeded' then return {'not_succeeded', known[1]} end
if not (known[2] or known[3]) then return {'no_outputs'} end
if redis.call('ZSCORE', files, id) then return {'waiting'} end
if known[4] and not known[5] then return {'stored'} end
local at = now()
for _, field in ipairs(redis.call('HKEYS', progress)) do
  if not tonumber(field) then redis.call('HDEL', progress, field) end  -- a number stands for a file that is stored
end
for _, key in ipairs({job, progress}) do redis.call('EXPIRE', key, ttl) end
return {'scheduled', begin_files(progress, files, files_loop, files_gap, id, at, ttl)}
