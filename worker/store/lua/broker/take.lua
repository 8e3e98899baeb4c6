-- Record a message as unacked, and take further ones of its list: one round trip for all. In kombu's form, since kombu
-- acknowledges and restores them. A message that kombu could not restore is taken and not recorded.
--
-- KEYS index unacked list
-- ARGV tag record taken_at:number room:number destination
-- Returns {{message, its tag or ''}, …}: the further messages.

local function record_as_unacked(message_tag, text)
  redis.call('ZADD', index, taken_at, message_tag)
  redis.call('HSET', unacked, message_tag, text)
end

-- Return the delivery tag of a message, or nil if kombu needs more than the message has.
local function tag_of(message)
  local readable, envelope = pcall(cjson.decode, message)
  if not readable or type(envelope) ~= 'table' or type(envelope.body) ~= 'string' then return nil end
  local headers, properties = envelope.headers, envelope.properties
  if type(headers) ~= 'table' or type(headers.task) ~= 'string' or type(properties) ~= 'table' then return nil end
  local info = properties.delivery_info
  if type(info) ~= 'table' or type(info.routing_key) ~= 'string' then return nil end
  return type(properties.delivery_tag) == 'string' and properties.delivery_tag or nil
end

record_as_unacked(tag, record)
local taken = {}
for _ = 1, room do
  local message = redis.call('RPOP', list)
  if not message then break end
  local message_tag = tag_of(message)
  if message_tag then record_as_unacked(message_tag, '[' .. message .. ',"",' .. destination .. ']') end
  taken[#taken + 1] = {message, message_tag or ''}
end
return taken
