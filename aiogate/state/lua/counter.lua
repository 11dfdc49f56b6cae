-- One counter: a hash with what it adds up to and the amount of each entry, and a sorted set of its entries by when they
-- end, in microseconds. A window's entries are called by when they were opened, the others by who holds them.
--
-- A counter is read once for a batch, and written back at the end of it.

local SLOTS = 1024 -- larger limits are kept in slots of such a part of the window
local SECOND = 1000000
local LATE = 3600 * SECOND -- for so long a period that is over is remembered
local CHUNK = 500 -- Lua hands over a few thousand arguments at most

local now = 0
local counters = {}

local function drop(c, entries)
  for first = 1, #entries, CHUNK do
    local some = {unpack(entries, first, math.min(first + CHUNK - 1, #entries))}
    for _, amount in ipairs(redis.call('HMGET', c.hash, unpack(some))) do
      c.held = c.held - (tonumber(amount) or 0)
    end
    redis.call('HDEL', c.hash, unpack(some))
    redis.call('ZREM', c.log, unpack(some))
  end
  c.dirty = true
end

-- The counter whose hash is KEYS[index], without what has ended.
local function counter(index)
  local c = counters[index]
  if c then return c end
  local found = redis.call('HMGET', KEYS[index], 'held', 'spent', 'last', 'ends')
  c = {
    hash = KEYS[index],
    log = KEYS[index + 1],
    held = tonumber(found[1]) or 0,
    spent = tonumber(found[2]) or 0,
    last = tonumber(found[3]),
    ends = tonumber(found[4]),
    wanted = 0,
    lives = 0,
  }
  counters[index] = c
  if c.held > 0 then
    local over = redis.call('ZRANGEBYSCORE', c.log, '-inf', now)
    if #over > 0 then drop(c, over) end
  end
  if c.ends and now >= c.ends + LATE and c.held == 0 then c.spent = 0 end
  return c
end

-- Redis forgets a counter by itself, once nothing on it counts any more.
local function keep(c, micros)
  c.dirty = true
  c.lives = math.max(c.lives, micros + SECOND)
end

-- A period's counter never goes down: what a gateway has seen spent was spent, whatever Redis has lost since.
local function of_period(c, ends, seen, micros)
  c.ends = ends
  if seen > c.spent then c.spent = seen end
  keep(c, math.max(0, ends - now) + LATE + micros)
end

local function add(c, entry, amount, ends)
  redis.call('HINCRBY', c.hash, entry, amount)
  redis.call('ZADD', c.log, ends, entry)
  c.held = c.held + amount
  c.dirty = true
end

-- Take an entry out; false where it has ended or was never there.
local function take(c, entry)
  local amount = tonumber(redis.call('HGET', c.hash, entry))
  if not amount then return false end
  redis.call('HDEL', c.hash, entry)
  redis.call('ZREM', c.log, entry)
  c.held = c.held - amount
  c.dirty = true
  return amount
end

-- How long it takes until the counter has gone down by `excess`.
local function wait(c, kind, excess)
  if excess <= 0 then return 0 end
  if kind == 'l' then return SECOND end
  if kind == 'p' then
    if excess <= c.held then return SECOND end
    return math.max(0, c.ends - now)
  end
  local first = 0
  while true do
    local some = redis.call('ZRANGE', c.log, first, first + 31, 'WITHSCORES')
    if #some == 0 then return 0 end
    for i = 1, #some, 2 do
      excess = excess - tonumber(redis.call('HGET', c.hash, some[i]))
      if excess <= 0 then return tonumber(some[i + 1]) - now end
    end
    first = first + 32
  end
end

local function write_back()
  for _, c in pairs(counters) do
    if c.dirty then
      redis.call('HSET', c.hash, 'held', c.held, 'spent', c.spent)
      if c.last then redis.call('HSET', c.hash, 'last', c.last) end
      if c.ends then redis.call('HSET', c.hash, 'ends', c.ends) end
      if c.lives > 0 then
        local milliseconds = math.ceil(c.lives / 1000)
        redis.call('PEXPIRE', c.hash, milliseconds)
        redis.call('PEXPIRE', c.log, milliseconds)
      elseif c.held == 0 and c.spent == 0 then
        redis.call('DEL', c.hash, c.log)
      end
    end
  end
end
