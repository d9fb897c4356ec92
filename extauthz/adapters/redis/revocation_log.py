"""`service.revocation_sharing.RevocationLog` over Redis or Valkey.

    {prefix}head          "<epoch>:<count>:<last entry>"
    {prefix}log           sorted set: entry "<id>.<ends_at>", scored with its number
    {prefix}item:<id>     the encrypted item

All keys are in one hash slot, so that one script writes them as one, on a cluster too. Each has an end of life, that of
items rounded up to the hour: with the exact second a reader of Redis would learn the `exp` of a revoked token. Ids are
random; nothing else is written in clear.

Commands: GETRANGE and EVAL; in scripts TYPE, GETRANGE, SET with PX, ZADD, ZSCORE, ZREVRANGE, ZRANGEBYSCORE, ZREM, DEL
and PEXPIRE; all in Redis 6.0. Scripts look at types first, so that no script fails half-way through its writes.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from extauthz.adapters.redis.client import RedisClient, RedisRefusal, RedisUnreachable
from extauthz.adapters.redis.store import KEY_PREFIX
from extauthz.pdp.revocation.revocation import MAX_LIFE_S, Revocation
from extauthz.service.ports import StoreUnavailable
from extauthz.service.revocation.revocation_cipher import MAX_ENTRY_BYTES, RevocationCipher
from extauthz.service.revocation.revocation_sharing import AT_A_STRETCH, Entry, Head, LogDamaged
from extauthz.service.revocation.revocations import MAX_REVOCATIONS

PREFIX: Final = KEY_PREFIX + "{revocation}:"
HEAD_KEY: Final = PREFIX + "head"
LOG_KEY: Final = PREFIX + "log"

MAX_ENTRIES: Final = 2 * MAX_REVOCATIONS
"""Entries of a log that is read: as many as a process holds, and as many again that have ended or are none of ours."""
MAX_ENTRY_CHARS: Final = 80
"""An id of 64 characters, a dot, and a date."""
MAX_HEAD_CHARS: Final = 160
ROUND_UP_S: Final = 3_600
LOG_LIFE_MS: Final = (MAX_LIFE_S + 86_400) * 1000
"""Of head and log after the last write: longer than any item."""
KEPT_AFTER_END_S: Final = 3_600
"""Before an ended item's entry is removed: processes whose clocks are behind may still count it."""

_HEAD: Final = re.compile(rb"([0-9a-f]{1,32}):([0-9]{1,15}):(\S{0,80})")
_ENTRY: Final = re.compile(rb"([A-Za-z0-9_-]{8,64})\.([0-9]{1,12})")

# KEYS: log. ARGV: first number, how many at most, characters of an entry at most. -> entries, or 0 for another type.
_ENTRIES: Final = """
local kind = redis.call('type', KEYS[1]).ok
if kind == 'none' then return {} end
if kind ~= 'zset' then return 0 end
local found = {}
for _, entry in ipairs(redis.call('zrangebyscore', KEYS[1], ARGV[1], '+inf', 'limit', 0, ARGV[2])) do
  if #entry <= tonumber(ARGV[3]) then found[#found + 1] = entry end
end
return found
"""

# KEYS: items. ARGV: bytes of an item at most. -> texts; an empty one for what is not there or of another type.
_ITEMS: Final = """
local found = {}
for i, key in ipairs(KEYS) do
  found[i] = redis.call('type', key).ok == 'string' and redis.call('getrange', key, 0, ARGV[1]) or ''
end
return found
"""

# KEYS: head, log, items. ARGV: an epoch if one is needed, ms that head and log live; for each item entry, text, ms.
_APPEND: Final = """
local kind = redis.call('type', KEYS[2]).ok
if kind ~= 'zset' and kind ~= 'none' then redis.call('del', KEYS[2]) end
local head = redis.call('type', KEYS[1]).ok == 'string' and redis.call('getrange', KEYS[1], 0, 200) or ''
local epoch, count, last = string.match(head, '^(%x+):(%d+):(%S*)$')
count = tonumber(count)
if not count or count > 2^48 then
  epoch, last = ARGV[1], '-'
  count = tonumber(redis.call('zrevrange', KEYS[2], 0, 0, 'withscores')[2]) or 0
  if not (count >= 0 and count < 2^48) then count = 0 end
end
for i = 3, #KEYS do
  local at = 3 + (i - 3) * 3
  if not redis.call('zscore', KEYS[2], ARGV[at]) then
    count, last = count + 1, ARGV[at]
    redis.call('zadd', KEYS[2], count, last)
  end
  redis.call('set', KEYS[i], ARGV[at + 1], 'px', ARGV[at + 2])
end
redis.call('set', KEYS[1], string.format('%s:%.0f:%s', epoch, count, last), 'px', ARGV[2])
redis.call('pexpire', KEYS[2], ARGV[2])
return count
"""

# KEYS: log, items. ARGV: entries, in the order of the items. Redis has dropped an item when its own clock says so:
# whose entry is removed does not depend on the clock of any process.
_PRUNE: Final = """
if redis.call('type', KEYS[1]).ok ~= 'zset' then return 0 end
for i, entry in ipairs(ARGV) do
  if redis.call('type', KEYS[i + 1]).ok == 'none' then redis.call('zrem', KEYS[1], entry) end
end
return 0
"""

# KEYS: log, items. ARGV: entries, in the order of the items.
_RETIRE: Final = """
for i, entry in ipairs(ARGV) do redis.call('del', KEYS[i + 1]) end
if redis.call('type', KEYS[1]).ok == 'zset' then return redis.call('zrem', KEYS[1], unpack(ARGV)) end
return 0
"""


class RedisRevocationLog:
    """One event loop. `new_epoch` makes random hexadecimal words."""

    def __init__(
        self, client: RedisClient, *, cipher: RevocationCipher, new_epoch: Callable[[], str], clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._cipher = cipher
        self._new_epoch = new_epoch
        self._clock = clock

    async def head(self) -> Head:
        """The state of the log; `LogDamaged` when something else stands there."""
        try:
            text = await self._send("GETRANGE", HEAD_KEY, 0, MAX_HEAD_CHARS)
        except StoreUnavailable as fault:
            if "WRONGTYPE" in str(fault):
                raise LogDamaged("the head of the revocations in Redis is of another type") from fault
            raise
        if text == b"":
            return Head()
        found = _HEAD.fullmatch(text) if isinstance(text, bytes) else None
        if found is None:
            raise LogDamaged("the head of the revocations in Redis is none of ours")
        epoch, count, last = found.groups()
        return Head(epoch.decode(), int(count), last.decode(errors="replace"))

    async def entries(self, since: int) -> list[Entry]:
        """The entries with that number and later ones."""
        # All are all: somebody may have given one of ours a number below the first.
        first = since or "-inf"
        reply = await self._send("EVAL", _ENTRIES, 1, LOG_KEY, first, MAX_ENTRIES + 1, MAX_ENTRY_CHARS)
        if not isinstance(reply, list):
            raise LogDamaged("the log of the revocations in Redis is of another type")
        if len(reply) > MAX_ENTRIES:
            raise StoreUnavailable(
                f"the log of the revocations in Redis has more than {MAX_ENTRIES} entries: delete it"
            )
        latest = self._clock() + MAX_LIFE_S + 86_400
        entries: list[Entry] = []
        for start in range(0, len(reply), AT_A_STRETCH):
            for text in reply[start : start + AT_A_STRETCH]:
                found = _ENTRY.fullmatch(text) if isinstance(text, bytes) else None
                if found is not None and int(found[2]) <= latest:
                    entries.append(Entry(found[1].decode(), int(found[2]), found[0].decode()))
            await asyncio.sleep(0)
        return entries

    async def read(self, ids: Sequence[str], *, first_secret: bool = False) -> list[Revocation | None]:
        """The items with these ids."""
        if not ids:
            return []
        keys = [_item_key(each) for each in ids]
        reply = await self._send("EVAL", _ITEMS, len(keys), *keys, MAX_ENTRY_BYTES)
        if not isinstance(reply, list) or len(reply) != len(keys):
            raise StoreUnavailable("Redis answered something else than the items that it was asked for")
        return [
            self._cipher.open(key, text, first_only=first_secret) if isinstance(text, bytes) else None
            for key, text in zip(keys, reply, strict=True)
        ]

    async def append(self, items: Sequence[Revocation], now: float) -> None:
        """Write items that have not ended."""
        keys: list[str] = []
        arguments: list[str | bytes | int] = []
        for item in items:
            ends_at = -(-item.until // ROUND_UP_S) * ROUND_UP_S
            life_ms = int((ends_at - now) * 1000)
            if life_ms > 0:
                key = _item_key(item.id)
                keys.append(key)
                arguments += (f"{item.id}.{ends_at}", self._cipher.sign(key, item), life_ms)
        if keys or not items:
            count = 2 + len(keys)
            head = (self._new_epoch(), LOG_LIFE_MS)
            await self._send("EVAL", _APPEND, count, HEAD_KEY, LOG_KEY, *keys, *head, *arguments)

    async def prune(self, entries: Sequence[Entry]) -> None:
        """Remove entries whose items ended long enough ago."""
        before = self._clock() - KEPT_AFTER_END_S
        await self._remove(_PRUNE, [entry for entry in entries if entry.ends_at < before])

    async def retire(self, entries: Sequence[Entry]) -> None:
        """Remove entries and items for which the log has a merged item."""
        await self._remove(_RETIRE, entries)

    async def _remove(self, script: str, entries: Sequence[Entry]) -> None:
        if entries:
            keys = [_item_key(entry.id) for entry in entries]
            texts = [entry.text for entry in entries]
            await self._send("EVAL", script, 1 + len(keys), LOG_KEY, *keys, *texts)

    async def _send(self, *command: str | bytes | int) -> Any:
        try:
            (reply,) = await self._client.send(LOG_KEY, command)
        except (RedisUnreachable, RedisRefusal) as fault:
            raise StoreUnavailable(f"revocations: {fault}") from fault
        return reply


def _item_key(revocation_id: str) -> str:
    return f"{PREFIX}item:{revocation_id}"
