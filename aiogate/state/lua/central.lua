-- The journals of all gateways: their records in one stream, and what each journal sums up to.
--
-- KEYS[1]: the stream.  KEYS[2]: when each journal was last heard of, in milliseconds.  KEYS[3]: hash of one journal.
-- KEYS[4...]: hashes of its sums, one for each day.  ARGV: operation, and what it takes.
--
-- The hash of a journal has "at:<segment>", up to where that is here. A sum is what the journal says that it is, and
-- never goes down: saying it twice, or late, changes nothing, and no record counts twice however often it comes.

local function now_milliseconds()
  local time = redis.call("TIME")
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The larger of each two figures; texts, as they may be larger than a double holds exactly.
local function larger(one, other)
  if not one then
    return other
  end
  local figures, at = {}, 0
  for figure in one:gmatch("%d+") do
    figures[#figures + 1] = figure
  end
  for figure in other:gmatch("%d+") do
    at = at + 1
    local before = figures[at] or "0"
    if #figure > #before or (#figure == #before and figure > before) then
      figures[at] = figure
    end
  end
  return table.concat(figures, " ")
end

local operations = {}

-- source, host, segment, start, end, most records, days that sums are kept, n, n times (id, record, end), then sums,
-- each: which of the days' keys, field, figures. Replies -1; or nothing has been done: up to where this journal's segment
-- is here, as that is before the start, or -2, as nothing is known of the journal.
function operations.ship()
  local source, host, segment = ARGV[2], ARGV[3], ARGV[4]
  local start, stop, most = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
  local now, place = now_milliseconds(), "at:" .. segment
  if redis.call("EXISTS", KEYS[3]) == 0 then
    return -2
  end
  local known = tonumber(redis.call("HGET", KEYS[3], place) or "0")
  if known < start then
    return known
  end
  redis.call("HSET", KEYS[3], "host", host, place, string.format("%.0f", math.max(known, stop)))
  redis.call("ZADD", KEYS[2], string.format("%.0f", now), source)
  local next_argument = 10
  for _ = 1, tonumber(ARGV[9]) do
    local id, record, ends = ARGV[next_argument], ARGV[next_argument + 1], tonumber(ARGV[next_argument + 2])
    if ends > known and most ~= "0" then
      redis.call("XADD", KEYS[1], "MAXLEN", "~", most, "*", "id", id, "source", source, "record", record)
    end
    next_argument = next_argument + 3
  end
  operations.add(next_argument, tonumber(ARGV[8]))
  return -1
end

function operations.add(first, days)
  for place = first, #ARGV, 3 do
    local key = KEYS[3 + tonumber(ARGV[place])]
    local field = ARGV[place + 1]
    redis.call("HSET", key, field, larger(redis.call("HGET", key, field), ARGV[place + 2]))
    redis.call("EXPIRE", key, (days + 1) * 86400)
  end
end

-- days that sums are kept, then sums as above: what a Redis that has lost them is told again
function operations.sums()
  operations.add(3, tonumber(ARGV[2]))
  return -1
end

-- source, host, segments that are gone, then at each other place a segment and up to where it was acknowledged before:
-- kept where nothing is known. Replies what was known.
function operations.begin()
  local known = redis.call("HGETALL", KEYS[3])
  redis.call("ZADD", KEYS[2], string.format("%.0f", now_milliseconds()), ARGV[2])
  redis.call("HSET", KEYS[3], "host", ARGV[3])
  for gone in ARGV[4]:gmatch("[^ ]+") do
    redis.call("HDEL", KEYS[3], "at:" .. gone)
  end
  if #known == 0 then
    for place = 5, #ARGV, 2 do
      redis.call("HSET", KEYS[3], "at:" .. ARGV[place], ARGV[place + 1])
    end
  end
  return known
end

-- milliseconds since 1970: forget the journals that were last heard of before; replies the others, and when that was
function operations.sources()
  if tonumber(ARGV[2]) > 0 then
    redis.call("ZREMRANGEBYSCORE", KEYS[2], "-inf", ARGV[2])
  end
  return redis.call("ZRANGE", KEYS[2], 0, -1, "WITHSCORES")
end

function operations.host()
  return redis.call("HGET", KEYS[3], "host")
end

function operations.read()
  local found = {}
  for place = 4, #KEYS do
    found[#found + 1] = redis.call("HGETALL", KEYS[place])
  end
  return found
end

return operations[ARGV[1]]()
