"""The Lua scripts of the Redis backend. Redis runs each as a whole, with nothing in between.

Keys, all under "patterns:": `places:<key>` the buckets of rate limits, `caps`, `spent:<day>` (counted from 1970) with
"settled <scope>" and "reserved <scope>" in nanodollars, `call:<id>` the reservations, `leases` their ends,
`entry:<key>`, `tag:<tag>` the keys that carry it, `version:<tag>`, `version` the highest there has been, `switches`.

Lua counts in doubles: a sum is exact up to 2^53 nanodollars, nine million dollars a day.
"""

_NOW = """
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1e6
end
"""

_TAKE = """
local key, limit, seconds = 'patterns:places:' .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if limit < 1 then return ARGV[4] end
local a_place = seconds / limit
local found = redis.call('HMGET', key, 'taken', 'seen')
local taken, seen = tonumber(found[1] or 0), tonumber(found[2] or now)
-- A clock that went back stands still for this key: nobody waits for it, and no place comes back early.
taken = math.max(0, taken - math.max(0, now - seen) / a_place)
local wait = (taken + 1 - limit) * a_place
if wait <= 1e-6 then  -- a microsecond is what the clock can tell
  taken, wait = taken + 1, 0
end
redis.call('HSET', key, 'taken', taken, 'seen', now)
redis.call('PEXPIRE', key, math.ceil(taken * a_place * 1000) + 1000)
return string.format('%.17g', wait)
"""

_MONEY = """
local function whole(number) return string.format('%.0f', number) end

local function cap_of(scope)  -- "tenant:*" holds for each tenant without a cap of its own
  local kind = string.match(scope, '^(.-:)') or ''
  local found = redis.call('HMGET', 'patterns:caps', scope, kind .. '*')
  return found[1] or found[2]
end

local function figures(day, scope)
  local found = redis.call('HMGET', 'patterns:spent:' .. day, 'settled ' .. scope, 'reserved ' .. scope)
  return tonumber(found[1] or 0), tonumber(found[2] or 0)
end

local function charge(day, scopes, settled, reserved)
  for _, scope in ipairs(cjson.decode(scopes)) do
    redis.call('HINCRBY', 'patterns:spent:' .. day, 'settled ' .. scope, whole(settled))
    redis.call('HINCRBY', 'patterns:spent:' .. day, 'reserved ' .. scope, whole(reserved))
  end
end

local function today()  -- or the day after where money was set aside on that already: a clock set back opens no day
  local day = math.floor(now / 86400)
  return day + redis.call('EXISTS', 'patterns:spent:' .. day + 1)
end

local function end_leases()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'patterns:leases', '-inf', now)) do
    redis.call('ZREM', 'patterns:leases', id)
    local call = redis.call('HMGET', 'patterns:call:' .. id, 'day', 'most', 'scopes')
    if call[1] then
      charge(call[1], call[3], tonumber(call[2]), 0 - call[2])
      redis.call('HSET', 'patterns:call:' .. id, 'ended', 1)
    end
  end
end
"""

_RESERVE = """
local id, most, scopes, seconds, kept = ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), ARGV[6]
local call = 'patterns:call:' .. id
if redis.call('EXISTS', call) == 1 then return false end  -- this call has its reservation
end_leases()
local day = today()
for _, scope in ipairs(cjson.decode(scopes)) do
  local cap, settled, reserved = cap_of(scope), figures(day, scope)
  if cap and settled + reserved + most > tonumber(cap) then
    return {scope, cap, whole(settled + reserved)}
  end
end
charge(day, scopes, 0, most)
redis.call('EXPIRE', 'patterns:spent:' .. day, kept)
redis.call('HSET', call, 'day', day, 'most', ARGV[3], 'scopes', scopes)
redis.call('EXPIRE', call, kept)
redis.call('ZADD', 'patterns:leases', now + seconds, id)
return false
"""

_SETTLE = """
local id, spent = ARGV[2], tonumber(ARGV[3])
local call = redis.call('HMGET', 'patterns:call:' .. id, 'day', 'most', 'scopes', 'ended')
if not call[1] then return end
redis.call('DEL', 'patterns:call:' .. id)
redis.call('ZREM', 'patterns:leases', id)
if call[4] then
  charge(call[1], call[3], spent - call[2], 0)
else
  charge(call[1], call[3], spent, 0 - call[2])
end
"""

_SPENDING = """
end_leases()
local settled, reserved = figures(ARGV[3] == '' and today() or ARGV[3], ARGV[2])
return {cap_of(ARGV[2]), whole(settled), whole(reserved)}
"""

_TAGS = """
local function next_version() return redis.call('INCR', 'patterns:version') end

local function changed(tags, version)  -- a tag without a number has the latest, so its number has still only grown
  for tag in pairs(tags) do
    local left = redis.call('PTTL', 'patterns:tag:' .. tag)
    if left > 0 then
      redis.call('SET', 'patterns:version:' .. tag, version, 'PX', left)
    else
      redis.call('DEL', 'patterns:version:' .. tag)
    end
  end
end

local function drop(key, tags)  -- the entry at `key`; its tags are added to `tags`
  local found = redis.call('HGET', 'patterns:entry:' .. key, 'tags')
  for _, tag in ipairs(cjson.decode(found or '[]')) do
    redis.call('ZREM', 'patterns:tag:' .. tag, key)
    tags[tag] = true
  end
  return redis.call('DEL', 'patterns:entry:' .. key)
end
"""

_PUT = """
local key, tags, keep = ARGV[2], ARGV[6], math.ceil(ARGV[5] * 1000)
local touched, version = {}, next_version()  -- first, because this is what a full Redis refuses
drop(key, touched)
local entry = 'patterns:entry:' .. key
redis.call('HSET', entry, 'value', ARGV[3], 'stored', now, 'fresh', now + ARGV[4], 'tags', tags)
redis.call('PEXPIRE', entry, keep)
for _, tag in ipairs(cjson.decode(tags)) do
  local index = 'patterns:tag:' .. tag
  redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
  redis.call('ZADD', index, now + ARGV[5], key)
  if redis.call('PTTL', index) < keep then redis.call('PEXPIRE', index, keep) end
  touched[tag] = true
end
changed(touched, version)
"""

_ENTRIES = """
local kept = {}
for _, key in ipairs(redis.call('ZRANGE', 'patterns:tag:' .. ARGV[2], 0, -1)) do
  local found = redis.call('HMGET', 'patterns:entry:' .. key, 'value', 'stored', 'fresh')
  if found[1] then kept[#kept + 1] = {key, found[1], found[2], found[3]} end
end
return kept
"""

_FORGET = """
local touched, count = {[ARGV[2]] = true}, 0
for _, key in ipairs(redis.call('ZRANGE', 'patterns:tag:' .. ARGV[2], 0, -1)) do
  count = count + drop(key, touched)
end
redis.call('DEL', 'patterns:tag:' .. ARGV[2])
changed(touched, next_version())
return count
"""

ALL = {
    "take": _NOW + _TAKE,
    "reserve": _NOW + _MONEY + _RESERVE,
    "settle": _MONEY + _SETTLE,
    "spending": _NOW + _MONEY + _SPENDING,
    "put": _NOW + _TAGS + _PUT,
    "entries": _ENTRIES,
    "forget": _TAGS + _FORGET,
}
