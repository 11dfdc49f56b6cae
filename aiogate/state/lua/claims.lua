-- What can be asked of the counters. An operation is a row {code, batch, ...}; a claim is a row
-- {counter, kind, limit, micros, amount, ends, seen, entry, held, least}: kind 'w' window, 'l' lease, 'p' period;
-- least 0: all of the amount.

local COUNTER, KIND, LIMIT, MICROS, AMOUNT, ENDS, SEEN, ENTRY, HELD, LEAST = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10

local function of(claim)
  local c = counter(claim[COUNTER])
  if claim[KIND] == 'p' then of_period(c, claim[ENDS], claim[SEEN], claim[MICROS]) end
  return c
end

local function quota(reply, claim, c, remaining, reset, entry)
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = remaining, reset, claim[AMOUNT]
  reply[n + 4], reply[n + 5], reply[n + 6] = c.spent, c.held, entry
end

-- {0, which claim fits last, when all of them can, quotas ...}
local function shortage(claims)
  local wanted, waits, last, latest = {}, {}, 1, 0
  for i, claim in ipairs(claims) do
    local c = of(claim)
    wanted[c] = (wanted[c] or 0) + claim[AMOUNT]
    local never = wanted[c] > claim[LIMIT]
    local seconds
    if never and claim[KIND] == 'w' then
      seconds = claim[MICROS]
    else
      seconds = wait(c, claim[KIND], c.held + c.spent + wanted[c] - claim[LIMIT])
    end
    waits[i] = {never, seconds}
    latest = math.max(latest, seconds)
    local before = waits[last]
    if (never and not before[1]) or (never == before[1] and seconds > before[2]) then last = i end
  end
  local reply = {0, last, latest}
  for _, claim in ipairs(claims) do
    local c = of(claim)
    local left = claim[LIMIT] - c.held - c.spent
    local reset = 0
    if c.held + c.spent > 0 then reset = wait(c, claim[KIND], math.max(1, 1 - left)) end
    quota(reply, claim, c, math.max(0, left), math.min(reset, latest), 0)
  end
  return reply
end

local function fit(claims)
  local all = true
  for _, claim in ipairs(claims) do
    local c = of(claim)
    local least = claim[LEAST] or 0
    if least > 0 then
      claim[AMOUNT] = math.max(least, math.min(claim[AMOUNT], claim[LIMIT] - c.held - c.spent - c.wanted))
    end
    c.wanted = c.wanted + claim[AMOUNT]
    if c.held + c.spent + c.wanted > claim[LIMIT] then all = false end
  end
  for _, claim in ipairs(claims) do counter(claim[COUNTER]).wanted = 0 end
  return all
end

local function record(c, claim, holder)
  local micros = claim[MICROS]
  if claim[KIND] ~= 'w' then
    add(c, holder, claim[AMOUNT], now + micros)
    if claim[KIND] == 'l' then keep(c, micros) end
    return 0
  end
  local slot = c.last
  local age = slot and now - slot or -1
  local joins = age == 0 or (age > 0 and claim[LIMIT] > SLOTS and age < micros / SLOTS)
  if not (joins and redis.call('HEXISTS', c.hash, slot) == 1) then slot = now end
  add(c, slot, claim[AMOUNT], now + micros)
  c.last = slot
  keep(c, micros)
  return slot
end

-- More or less of a window's entry, which ends when it would have.
local function correct(c, entry, more)
  local before = tonumber(redis.call('HGET', c.hash, entry))
  if not before or more == 0 then return end
  if before + more <= 0 then
    take(c, entry)
  else
    redis.call('HINCRBY', c.hash, entry, more)
    c.held = c.held + more
    c.dirty = true
  end
end

local operations = {}

-- {'acquire', batch, grant, claims}: all of them or none; {1, quotas ...}, or a shortage
function operations.acquire(op)
  local grant, claims, entries = op[3], op[4], {}
  if not fit(claims) then return shortage(claims) end
  for i, claim in ipairs(claims) do entries[i] = record(of(claim), claim, grant .. '/' .. i) end
  local reply = {1}
  for i, claim in ipairs(claims) do
    local c = of(claim)
    quota(reply, claim, c, claim[LIMIT] - c.held - c.spent, wait(c, claim[KIND], 1), entries[i])
  end
  return reply
end

-- {'extend', batch, claims}, of periods: an entry grows and lives anew
function operations.extend(op)
  local claims = op[3]
  for _, claim in ipairs(claims) do
    local c = of(claim)
    local has_ended = redis.call('HEXISTS', c.hash, claim[ENTRY]) == 0
    if has_ended then claim[AMOUNT] = claim[AMOUNT] + claim[HELD] end
  end
  if not fit(claims) then return shortage(claims) end
  local reply = {1}
  for _, claim in ipairs(claims) do add(of(claim), claim[ENTRY], claim[AMOUNT], now + claim[MICROS]) end
  for _, claim in ipairs(claims) do
    local c = of(claim)
    quota(reply, claim, c, claim[LIMIT] - c.held - c.spent, wait(c, 'p', 1), 0)
  end
  return reply
end

-- {'settle', batch, claims, actual amounts, -1: as claimed}: spent and held of each
function operations.settle(op, done)
  local reply = {}
  for i, claim in ipairs(op[3]) do
    local c, actual, entry = of(claim), op[4][i], claim[ENTRY]
    if entry == '?' then entry = done.at end -- of an acquire whose answer was lost, and which was granted
    if claim[KIND] ~= 'w' then
      take(c, entry)
      if claim[KIND] == 'p' then
        c.spent = c.spent + (actual < 0 and claim[AMOUNT] or actual)
      end
    elseif actual >= 0 then
      correct(c, entry, actual - claim[AMOUNT])
    end
    reply[2 * i - 1], reply[2 * i] = c.spent, c.held
  end
  return reply
end

-- {'count', batch, age, claims}: what was admitted without Redis, `age` microseconds ago
function operations.count(op)
  local age = op[3]
  for _, claim in ipairs(op[4]) do
    local c = of(claim)
    if age < claim[MICROS] then
      add(c, claim[ENTRY], claim[AMOUNT], now - age + claim[MICROS])
      if claim[KIND] ~= 'p' then keep(c, claim[MICROS]) end
    end
  end
  return 1
end

-- {'renew', batch, claims}: leases whose holder is alive
function operations.renew(op)
  for _, claim in ipairs(op[3]) do
    local c = of(claim)
    if redis.call('HEXISTS', c.hash, claim[ENTRY]) == 0 then
      add(c, claim[ENTRY], claim[AMOUNT], now + claim[MICROS])
    else
      redis.call('ZADD', c.log, now + claim[MICROS], claim[ENTRY])
    end
    keep(c, claim[MICROS])
  end
  return 1
end

-- {'see', batch, claims}: what periods have spent, as far as a gateway knows
function operations.see(op)
  for _, claim in ipairs(op[3]) do of(claim) end
  return 1
end

-- {'resume', batch, claims}: periods begin with what was spent before, unless they are known
function operations.resume(op)
  local reply = {}
  for i, claim in ipairs(op[3]) do
    local c = counter(claim[COUNTER])
    if not c.dirty and redis.call('EXISTS', c.hash) == 0 then
      of(claim)
      c.spent = claim[AMOUNT]
    end
    reply[i] = c.spent
  end
  return reply
end

-- {'standings', batch, counters}: spent and held of each
function operations.standings(op)
  local reply = {}
  for _, row in ipairs(op[3]) do
    local c = counter(row[COUNTER])
    reply[#reply + 1], reply[#reply + 2] = c.spent, c.held
  end
  return reply
end

-- {'hello', batch, {}, gateway, micros}: how many gateways there are, this one for so long; KEYS[2] holds them
function operations.hello(op)
  local living = KEYS[2]
  redis.call('ZREMRANGEBYSCORE', living, '-inf', now)
  if op[5] > 0 then redis.call('ZADD', living, now + op[5], op[4]) else redis.call('ZREM', living, op[4]) end
  redis.call('PEXPIRE', living, 60000)
  return redis.call('ZCARD', living)
end
