-- The board: topics of small facts. One call is one atomic step; times are microseconds of Redis's own clock.
--
-- KEYS[1]: hash of the topics' versions, "version birth" by topic.  KEYS[2]: hash of the topic's entries.
-- KEYS[3]: its entries that go by themselves, by when they do.  ARGV: operation, topic, and what it takes.
--
-- An entry is "version expires +value"; one that was taken away stays for a day as "version expires -", so that a
-- gateway which was away meanwhile does not bring it back. A version is the time of its change, or one more than the
-- last: after Redis has lost its memory it is still higher than any before. ``birth`` tells that such a thing happened.

local TOMBSTONE = 86400 * 1000000
local PURGED = 200

local function now_micros()
  local time = redis.call("TIME")
  return time[1] * 1000000 + time[2]
end

local function text(number)
  return string.format("%.0f", number)
end

local now, topic = now_micros(), ARGV[2]

local function standing()
  local known = redis.call("HGET", KEYS[1], topic)
  if not known then
    return 0, ""
  end
  local version, birth = known:match("^(%d+) (%d+)$")
  return tonumber(version), birth
end

local function read(key)
  local raw = redis.call("HGET", KEYS[2], key)
  if not raw then
    return nil
  end
  local version, expires, sign, value = raw:match("^(%d+) (%d+) ([+-])(.*)$")
  version, expires = tonumber(version), tonumber(expires)
  return { version = version, lives = sign == "+" and (expires == 0 or expires > now), value = value }
end

local function write(key, version, expires, sign, value)
  redis.call("HSET", KEYS[2], key, text(version) .. " " .. text(expires) .. " " .. sign .. value)
  if expires > 0 then
    redis.call("ZADD", KEYS[3], text(expires), key)
  else
    redis.call("ZREM", KEYS[3], key)
  end
end

-- Change the topic, and tell all; ``key`` is nil where there is more to tell than fits.
local function changed(before, birth, version, key, expires, sign, value)
  for _, gone in ipairs(redis.call("ZRANGEBYSCORE", KEYS[3], "-inf", text(now), "LIMIT", 0, PURGED)) do
    redis.call("HDEL", KEYS[2], gone)
    redis.call("ZREM", KEYS[3], gone)
  end
  if birth == "" then
    birth = text(now)
  end
  redis.call("HSET", KEYS[1], topic, text(version) .. " " .. birth)
  local length = key and #key or -1
  local head = { topic, text(before), text(version), birth, text(now), text(expires), sign or "-", length }
  -- A user who may not publish still changes things: the others look each second.
  redis.pcall("PUBLISH", KEYS[1] .. ":changes", table.concat(head, " ") .. "\n" .. (key or "") .. (value or ""))
  return birth
end

local operations = {}

function operations.versions()
  return { text(now), redis.call("HGETALL", KEYS[1]) }
end

function operations.get()
  local version, birth = standing()
  return { text(now), text(version), birth, redis.call("HGETALL", KEYS[2]) }
end

-- key, value, microseconds that it lives or 0, "1": only if there is none
function operations.put()
  local key, value, lives = ARGV[3], ARGV[4], tonumber(ARGV[5])
  local before, birth = standing()
  if ARGV[6] == "1" then
    local known = read(key)
    if known and known.lives then
      return { text(now), text(before), text(before), birth, 0, "0" }
    end
  end
  local version, expires = math.max(before + 1, now), lives > 0 and now + lives or 0
  write(key, version, expires, "+", value)
  birth = changed(before, birth, version, key, expires, "+", value)
  return { text(now), text(before), text(version), birth, 1, text(expires) }
end

-- key, "1": only if its value is this one, value
function operations.remove()
  local key = ARGV[3]
  local before, birth = standing()
  local known = read(key)
  if not known or not known.lives or (ARGV[4] == "1" and known.value ~= ARGV[5]) then
    return { text(now), text(before), text(before), birth, 0, "0" }
  end
  local version = math.max(before + 1, now)
  write(key, version, now + TOMBSTONE, "-", "")
  birth = changed(before, birth, version, key, now + TOMBSTONE, "-", "")
  return { text(now), text(before), text(version), birth, 1, text(now + TOMBSTONE) }
end

-- What a gateway knows and Redis has lost, each: key, version, expires, sign, value. The later change of a key wins.
function operations.merge()
  local before, birth = standing()
  local highest, merged = before, 0
  for place = 3, #ARGV, 5 do
    local key, version, expires = ARGV[place], tonumber(ARGV[place + 1]), tonumber(ARGV[place + 2])
    local known = read(key)
    if (expires == 0 or expires > now) and (not known or known.version < version) then
      write(key, version, expires, ARGV[place + 3], ARGV[place + 4])
      highest, merged = math.max(highest, version), merged + 1
    end
  end
  if merged > 0 then
    local version = math.max(highest + 1, now)
    changed(before, birth, version, nil, 0)
  end
  return { text(now), merged }
end

return operations[ARGV[1]]()
