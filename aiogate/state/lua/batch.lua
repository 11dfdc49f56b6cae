-- A batch of operations of one gateway, from its first to its last without anybody between: {number, now, operations}.
--
-- KEYS[1] holds the number of the gateway's last batch that came through. One that comes through late, after the gateway
-- has given it up and sent a later one, does nothing; and an operation that was in a batch whose answer was lost is done
-- again only if that batch was not done. So each operation counts once, however often it has to be sent.

local batch = cjson.decode(ARGV[1])
local number, operations_asked = batch[1], batch[3]
if batch[2] >= 0 then
  now = batch[2] -- a test's own time
else
  local time = redis.call('TIME')
  now = tonumber(time[1]) * SECOND + tonumber(time[2])
end
local found = redis.call('HMGET', KEYS[1], 'number', 'at')
local done = {number = tonumber(found[1]) or 0, at = found[2]}
if number <= done.number then return {done.number} end
-- the first write, and one that a Redis without memory refuses: with it the batch as a whole
redis.call('HSET', KEYS[1], 'number', number, 'at', now)
redis.call('PEXPIRE', KEYS[1], 3600000)
local replies = {done.number}
for i, op in ipairs(operations_asked) do
  local first = op[2]
  local is_done = first > 0 and first <= done.number
  -- code 'undo' is a settlement of something that may never have been done
  if op[1] == 'undo' then
    replies[i + 1] = 0
    if op[5] == done.number and not is_done then operations.settle(op, done) end
  elseif is_done then
    replies[i + 1] = 0
  else
    replies[i + 1] = operations[op[1]](op, done)
  end
end
write_back()
return replies
