"""The shared store over Redis or Valkey: an optimisation and a messenger, never an authority.

Every operation is answered within `deadline_s` or counts as a miss. What keeps a bad day of Redis away from callers:

* After one failure operations fail at once until a probe, sent at once and not by a caller, was answered in time: a
  check may need two operations, and loses one deadline to Redis, not two. When it was not answered, or after a few
  failures, a breaker opens, and the probe goes on until Redis answers in time again. In a cluster each server has its
  own, so that one that is down costs its own keys only.
* Nothing is retried.
* An error that Redis answers (out of memory, wrong type, not permitted) is no failure of the connection. That of a
  replica which has been taken for the master is one, and the master is looked for.

Commands: GETRANGE, SET with NX and PX, EVAL with GET and DEL in the script; all in Redis 6.0. Every command is about
one key, so that in a cluster entries need no common hash tag and spread over all servers.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Any, Final

from extauthz.adapters.breaker import Breaker
from extauthz.adapters.redis.client import Command, RedisBusy, RedisClient, RedisRefusal, RedisUnreachable
from extauthz.adapters.redis.connect import redis_client
from extauthz.adapters.redis.url import Address
from extauthz.service.cache.signed_entry import MAX_ENTRY_BYTES
from extauthz.service.ports import StoreUnavailable

KEY_PREFIX: Final = "extauthz:1:"
"""The version stands for the form of the keys; that of the values is in each value."""
DEADLINE_S: Final = 0.02
"""What a check may lose to Redis."""
PROBE_TIMEOUT_S: Final = 1.0
"""For the first command of a probe, which may have to connect."""
FEW: Final = 64
"""Servers. When there are more, those with which nothing is wrong are forgotten, and counted anew when met again."""
OPEN_S: Final = 0.25
"""How often a Redis that is down is tried, in the background: one command."""

REFUSED_FOR_S: Final = 60.0
"""For how long the last refusal is shown, and the least time between two lines about the same one."""

_log = logging.getLogger("extauthz.redis")

_DELETE_IF_EQUAL: Final = (
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"
)


class RedisStore:
    """`service.ports.Store` over a `RedisClient`. One event loop.

    `clock` gives monotonic seconds, for the breakers.
    """

    def __init__(self, client: RedisClient, *, clock: Callable[[], float], deadline_s: float = DEADLINE_S) -> None:
        self._client = client
        self._clock = clock
        self._deadline_s = deadline_s
        self._ways: dict[Address | None, _Way] = {}
        self._last_fault = ""
        self._last_refusal = ""
        self._refused_at = -math.inf

    @property
    def last_fault(self) -> str:
        """What went wrong last, for the operator; empty when nothing did."""
        return self._last_fault

    @property
    def trouble(self) -> str:
        """What the operator has to know now; empty when all is well."""
        if not self.available:
            return f"not answering, decisions go on without it: {self._last_fault}"
        recently = self._clock() - self._refused_at < REFUSED_FOR_S
        return f"answers with errors, which count as misses: {self._last_refusal}" if recently else ""

    @property
    def available(self) -> bool:
        """Whether Redis, in a cluster every server that has keys of ours, is believed to answer."""
        return all(way.probe is None for way in self._ways.values())

    async def get(self, key: str) -> bytes | None:
        """The entry, or None; also None for what is no string, or larger than anything of ours."""
        # GETRANGE bounds what Redis sends, whatever stands there. It gives an empty string for an absent key.
        key = KEY_PREFIX + key
        try:
            (entry,) = await self._run(key, ("GETRANGE", key, 0, MAX_ENTRY_BYTES))
        except StoreUnavailable as fault:
            if _is_wrong_type(fault.__cause__):
                return None
            raise
        return entry if isinstance(entry, bytes) and 0 < len(entry) <= MAX_ENTRY_BYTES else None

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Write the entry for `ttl_s` seconds; nothing when that is not a time to come, or the value is empty."""
        key = KEY_PREFIX + key
        if value and 0 < ttl_s < math.inf:
            await self._run(key, ("SET", key, value, "PX", _ms(ttl_s)))

    async def put_if_absent(self, key: str, value: bytes, ttl_s: float) -> bytes:
        """Write the entry unless one is there; return what stands there afterwards."""
        key = KEY_PREFIX + key
        if not value or not 0 < ttl_s < math.inf:
            return value
        # One round trip. `SET … NX GET` would do, but only from Redis 7.0.
        _, standing = await self._run(
            key, ("SET", key, value, "PX", _ms(ttl_s), "NX"), ("GETRANGE", key, 0, MAX_ENTRY_BYTES)
        )
        if not isinstance(standing, bytes) or not 0 < len(standing) <= MAX_ENTRY_BYTES:
            raise StoreUnavailable("another entry ended in this moment, or is none of ours")
        return standing

    async def delete_if_equal(self, key: str, value: bytes) -> None:
        """Remove the entry if it still is `value`."""
        key = KEY_PREFIX + key
        await self._run(key, ("EVAL", _DELETE_IF_EQUAL, 1, key, value))

    async def close(self) -> None:
        """Give up what is under way and close the connections."""
        probes = [way.probe for way in self._ways.values() if way.probe is not None]
        for probe in probes:
            probe.cancel()
        await asyncio.gather(*probes, return_exceptions=True)
        await self._client.close()

    async def _run(self, key: str, *commands: Command) -> list[Any]:
        place = self._client.place(key)
        way = self._ways.get(place) or self._new_way(place)
        if way.probe is not None:
            raise StoreUnavailable("Redis did not answer in time lately, and is being probed")
        try:
            replies = await self._client.send(key, *commands)
        except RedisBusy as fault:
            raise StoreUnavailable(str(fault)) from fault
        except RedisRefusal as fault:
            way.breaker.succeeded()
            self._refused(str(fault))
            raise StoreUnavailable(str(fault)) from fault
        except RedisUnreachable as fault:
            self._last_fault = str(fault)
            self._failed(place, way, key)
            raise StoreUnavailable(str(fault)) from fault
        way.breaker.succeeded()
        return replies

    def _refused(self, fault: str) -> None:
        """Redis is well, and will not do what we need: one line for each new reason, or when it comes up again."""
        self._last_fault = fault
        if "WRONGTYPE" in fault:
            return  # an entry that somebody else has put in our place: a miss, and no news
        if fault != self._last_refusal or self._clock() - self._refused_at >= REFUSED_FOR_S:
            _log.warning("the shared store refuses: %s; such entries count as misses", fault)
        self._last_refusal, self._refused_at = fault, self._clock()

    def _new_way(self, place: Address | None) -> "_Way":
        # Servers come and go; of those that have gone, only the ones still being probed are of interest.
        self._ways = {each: way for each, way in self._ways.items() if way.probe is not None or len(self._ways) < FEW}
        way = self._ways[place] = _Way(Breaker(open_s=OPEN_S, burst_s=self._deadline_s, clock=self._clock))
        return way

    def _failed(self, place: Address | None, way: "_Way", key: str) -> None:
        way.breaker.failed()
        if way.probe is None:
            way.probe = asyncio.ensure_future(self._until_it_answers(place, way, key))

    async def _until_it_answers(self, place: Address | None, way: "_Way", key: str) -> None:
        """Probe with the key that failed, so that whatever its operations need is needed by the probe as well."""
        try:
            if not way.breaker.is_open and not await self._answers(key, self._deadline_s):
                way.breaker.trip()
                # Not for a single late answer: that is a miss among many.
                _log.warning(
                    "the shared store%s does not answer: %s; decisions go on without it", _at(place), self._last_fault
                )
            while way.breaker.is_open and self._client.place(key) == place:
                await asyncio.sleep(OPEN_S)
                if not way.breaker.allows():
                    continue
                # The first may have to connect; what counts is whether the second, an ordinary one, is in time.
                if await self._answers(key, PROBE_TIMEOUT_S) and await self._answers(key, self._deadline_s):
                    way.breaker.succeeded()
                    _log.warning("the shared store%s answers again", _at(place))
                else:
                    way.breaker.failed()
        finally:
            # Whatever ended it: the next failure starts another.
            way.probe = None
            if self._client.place(key) != place:
                # Another server has the key now, and fares by itself.
                self._ways.pop(place, None)

    async def _answers(self, key: str, within_s: float) -> bool:
        try:
            await self._client.send(key, ("GETRANGE", key, 0, 0), within_s=within_s)
        except RedisUnreachable as fault:
            self._last_fault = str(fault)
            return False
        except RedisRefusal:
            return True
        return True


class _Way:
    """How operations fare that go to one server."""

    __slots__ = ("breaker", "probe")

    def __init__(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self.probe: asyncio.Task[None] | None = None


def connect(
    url: str,
    *,
    clock: Callable[[], float],
    deadline_s: float = DEADLINE_S,
    password: Callable[[], str] | None = None,
) -> RedisStore:
    """A store for any Redis URL (`redis_url`); it connects on first use.

    `password` is asked for each connection, in place of one in the URL. Raises ValueError, without the URL in its
    message, for one that cannot be used.
    """
    client = redis_client(url, clock=clock, deadline_s=deadline_s, password=password)
    return RedisStore(client, clock=clock, deadline_s=deadline_s)


def _at(place: Address | None) -> str:
    return f" at {place}" if place is not None and place.host else ""


def _is_wrong_type(fault: BaseException | None) -> bool:
    return isinstance(fault, RedisRefusal) and str(fault.__cause__).startswith("WRONGTYPE")


def _ms(ttl_s: float) -> int:
    return max(1, int(ttl_s * 1000))
