-- Record that a worker process runs, forget those that have not been seen for long, and notice that data is lost.
--
-- `data` holds a marker, made by the first worker. A worker sends what the last call returned to it: all is lost if the
-- marker is another one or none, and a part if the worker's own sign of life is older than `marked_at`.
--
-- KEYS workers data lanes:list
-- ARGV id kept:number fresh_marker marker marked_at:number max_behind:number in_flight:number
--   `lanes`: of generations in flight. `in_flight`: their number at `marked_at`.
-- Returns {server time, marker, generations in flight, what is lost: 'all', 'some' or '', the time of the older data
--   that is left, or ''}.
local at, known = now(), redis.call('HMGET', data, 'marker', 'lost_at')
local stored = tonumber(redis.call('ZSCORE', workers, id))
local lost, restored_to = '', ''
if marker ~= '' and known[1] ~= marker then
  lost = 'all'
elseif marker ~= '' and at < marked_at + kept and (stored or 0) < marked_at - max_behind then
  lost, restored_to = 'some', stored and seconds(stored) or ''
end
if not known[1] then redis.call('HSET', data, 'marker', fresh_marker, 'made_at', seconds(at)) end
if lost ~= '' and (tonumber(known[2]) or 0) < marked_at then
  redis.call('HSET', data, 'lost_at', seconds(at), 'last_seen_at', seconds(marked_at), 'lost', lost,
    'restored_to', restored_to, 'in_flight', in_flight)
end
redis.call('ZADD', workers, seconds(at), id)
redis.call('ZREMRANGEBYSCORE', workers, '-inf', seconds(at - kept))
redis.call('EXPIRE', workers, kept)
local count = 0
for _, lane in ipairs(lanes) do count = count + redis.call('ZCARD', lane) end
return {seconds(at), known[1] or fresh_marker, count, lost, restored_to}
