-- Single polls of jobs that PhotoGPT's list of jobs shows.

-- Trust the list about a job for as long again as its generation has been in flight, and not past its deadline.
local function defer_single_poll(job, at, accepted_at, ends_at)
  local until_at = math.min(2 * at - tonumber(accepted_at or at), tonumber(ends_at or 'inf'))
  redis.call('HSET', job, 'must_poll_at', seconds(until_at))
end
