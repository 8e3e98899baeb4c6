-- Which of the two ticks of a lane a message carries.

-- Return which tick carries a token, or nil if the token was used.
local function tick_of(loop, token)
  for _, tick in ipairs(TICKS) do
    if redis.call('HGET', loop, tick .. '_token') == token then return tick end
  end
end
