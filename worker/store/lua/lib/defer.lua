-- Stands in front of enter.lua, and speaks of its KEYS and ARGV.

-- Put a webhook off until `due`, and count the step of its schedule that passes meanwhile. Returns what enter.lua returns.
local function put_off(due, why, patience, since, at)
  if why == 'in_flight' and due - at <= tonumber(ARGV[15]) then return {'wait', seconds(due - at)} end
  redis.call('HSET', KEYS[1], 'put_off', seconds(since))
  redis.call('EXPIRE', KEYS[1], ARGV[13])
  if due - since > patience then
    redis.call('HINCRBY', KEYS[1], 'skipped', 1)
    redis.call('HSET', KEYS[1], 'put_off', seconds(at))
    if tonumber(ARGV[9]) < 1 then return {'spent', why} end
  end
  redis.call('ZREM', KEYS[6], ARGV[1])
  return {'later', park(KEYS[7], KEYS[8], ARGV[11], ARGV[1], at, due - at), why}
end
