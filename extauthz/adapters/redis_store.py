"""The shared store over Redis or Valkey: an optimisation and a messenger, never an authority.

Every operation is answered within `deadline_s` or counts as a miss. What keeps a bad day of Redis away from callers:

* An operation that is not done in time is left to itself, not cancelled: a connection may take longer to open than an
  operation may last, and a reply that nobody waits for must not meet the next caller. The client's own timeouts end it.
* After a few failures a breaker opens, and operations fail at once. A background probe, not a caller, finds out when
  Redis answers in time again.
* Nothing is retried.
* An error that Redis answers (out of memory, wrong type, not permitted) is no failure of the connection.

Commands: GETRANGE, SET with NX and PX, EVAL, PING, and AUTH, SELECT, HELLO by the client; all in Redis 6.0. `redis` is
imported when a store is made, since importing it takes 0.3 s and 20 MiB that a service without Redis does not pay.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from extauthz.adapters.breaker import Breaker
from extauthz.service.ports import StoreUnavailable
from extauthz.service.sealed import MAX_SEALED_BYTES

if TYPE_CHECKING:
    from redis.asyncio import Redis

KEY_PREFIX: Final = "extauthz:1:"
"""The version stands for the form of the keys; that of the values is in each value."""
DEADLINE_S: Final = 0.02
"""What a check may lose to Redis."""
CONNECT_TIMEOUT_S: Final = 1.0
"""TCP, TLS and AUTH to another zone take longer than an operation may; nobody waits for them."""
MAX_CONNECTIONS: Final = 16
"""At 0.2 ms per operation enough for 80,000 operations per second, far more than one process decides."""
MAX_UNDER_WAY: Final = 512
"""Operations begun and not ended, whether or not a caller still waits."""
OPEN_S: Final = 0.25
"""How often a Redis that is down is tried, in the background: one PING."""
MAX_FAULT_CHARS: Final = 200
"""Of an error that Redis or the client wrote."""

# Options that may stand in the URL's query; others would undo the limits above.
URL_OPTIONS: Final = frozenset({"db", "protocol", "password", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})

_DELETE_IF_EQUAL: Final = (
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"
)


class RedisStore:
    """`service.ports.Store` over a `redis.asyncio` client whose own retries are off. One event loop.

    `clock` gives monotonic seconds, for the breaker.
    """

    def __init__(self, client: "Redis", *, clock: Callable[[], float], deadline_s: float = DEADLINE_S) -> None:
        self._client = client
        self._deadline_s = deadline_s
        self._breaker = Breaker(open_s=OPEN_S, burst_s=deadline_s, clock=clock)
        self._under_way: set[asyncio.Task[Any]] = set()
        self._probe: asyncio.Task[None] | None = None
        self._last_fault = ""

    @property
    def last_fault(self) -> str:
        """What went wrong last, for the operator; empty when nothing did."""
        return self._last_fault

    @property
    def available(self) -> bool:
        """Whether Redis is believed to answer."""
        return not self._breaker.is_open

    async def get(self, key: str) -> bytes | None:
        """The entry, or None; also None for what is no string, or larger than anything of ours."""
        # GETRANGE bounds what Redis sends, whatever stands there. It gives an empty string for an absent key.
        try:
            entry = await self._run(lambda: self._client.getrange(KEY_PREFIX + key, 0, MAX_SEALED_BYTES))
        except StoreUnavailable as fault:
            if str(fault.__cause__).startswith("WRONGTYPE"):
                return None
            raise
        return entry if isinstance(entry, bytes) and 0 < len(entry) <= MAX_SEALED_BYTES else None

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Write the entry for `ttl_s` seconds; nothing when that is not a time to come, or the value is empty."""
        if value and 0 < ttl_s < math.inf:
            await self._run(lambda: self._client.set(KEY_PREFIX + key, value, px=_ms(ttl_s)))

    async def put_if_absent(self, key: str, value: bytes, ttl_s: float) -> bytes:
        """Write the entry unless one is there; return what stands there afterwards."""
        if not value or not 0 < ttl_s < math.inf:
            return value

        async def both() -> list[Any]:
            # One round trip. `SET … NX GET` would do, but only from Redis 7.0.
            pipeline = self._client.pipeline(transaction=False)
            pipeline.set(KEY_PREFIX + key, value, px=_ms(ttl_s), nx=True)
            pipeline.getrange(KEY_PREFIX + key, 0, MAX_SEALED_BYTES)
            return await pipeline.execute()

        _, standing = await self._run(both)
        if not isinstance(standing, bytes) or not 0 < len(standing) <= MAX_SEALED_BYTES:
            raise StoreUnavailable("another entry ended in this moment, or is none of ours")
        return standing

    async def delete_if_equal(self, key: str, value: bytes) -> None:
        """Remove the entry if it still is `value`."""
        await self._run(lambda: self._client.eval(_DELETE_IF_EQUAL, 1, KEY_PREFIX + key, value))

    async def close(self) -> None:
        """Give up what is under way and close the connections."""
        tasks = [*self._under_way, *([] if self._probe is None else [self._probe])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    async def _run(self, operation: Callable[[], Awaitable[Any]]) -> Any:
        from redis.exceptions import ResponseError  # noqa: PLC0415 - see the module's docstring

        if self._breaker.is_open:
            raise StoreUnavailable("Redis did not answer in time lately, and is being probed")
        if len(self._under_way) >= MAX_UNDER_WAY:
            raise StoreUnavailable(f"{MAX_UNDER_WAY} operations are waiting for Redis")
        task = asyncio.ensure_future(_awaited(operation))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait({task}, timeout=self._deadline_s)
        if not task.done():
            raise self._failed(f"Redis did not answer within {self._deadline_s * 1000:g} ms")
        error = task.exception()
        if error is None:
            self._breaker.succeeded()
            return task.result()
        fault = f"Redis: {type(error).__name__}: {error}"[:MAX_FAULT_CHARS]
        if isinstance(error, ResponseError):
            self._breaker.succeeded()
            self._last_fault = fault
            raise StoreUnavailable(fault) from error
        raise self._failed(fault) from error

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as seen: its caller may have left

    def _failed(self, fault: str) -> StoreUnavailable:
        self._last_fault = fault
        self._breaker.failed()
        if self._breaker.is_open and self._probe is None:
            self._probe = asyncio.ensure_future(self._until_it_answers())
        return StoreUnavailable(fault)

    async def _until_it_answers(self) -> None:
        while self._breaker.is_open:
            await asyncio.sleep(OPEN_S)
            if not self._breaker.allows():
                continue
            # The first call may have to connect; what counts is whether the second, an ordinary one, is in time.
            if await self._answers(CONNECT_TIMEOUT_S) and await self._answers(self._deadline_s):
                self._breaker.succeeded()
            else:
                self._breaker.failed()
        self._probe = None

    async def _answers(self, deadline_s: float) -> bool:
        from redis.exceptions import RedisError, ResponseError  # noqa: PLC0415 - see the module's docstring

        try:
            async with asyncio.timeout(deadline_s):
                await self._client.ping()
        except ResponseError:
            return True
        except (RedisError, OSError, TimeoutError):
            return False
        return True


def connect(url: str, *, clock: Callable[[], float], deadline_s: float = DEADLINE_S) -> RedisStore:
    """A store for `redis://`, `rediss://` (verified TLS) or `unix://`; it connects on first use.

    User, password and database are given in the URL, CA and client certificate by `ssl_ca_certs`, `ssl_certfile` and
    `ssl_keyfile` in its query. Raises ValueError, without the URL in its message, for a URL of another kind.
    """
    from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415 - see the module's docstring
    from redis.asyncio.retry import Retry  # noqa: PLC0415 - see the docstring
    from redis.backoff import NoBackoff  # noqa: PLC0415 - see the docstring

    _check(url)
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=deadline_s,
        socket_timeout=deadline_s,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        driver_info=None,  # else CLIENT SETINFO, a command of Redis 7.2
        protocol=2,  # no HELLO when connecting; the URL may say 3
    )
    return RedisStore(Redis.from_pool(pool), clock=clock, deadline_s=deadline_s)


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        database = options.get("db") or parts.path.strip("/")
        _ = parts.port, int(options.get("protocol", "2")), parts.scheme == "unix" or int(database or "0")
    except ValueError:
        # The original message may quote what stands before the host: the password.
        raise ValueError(
            "the Redis URL cannot be read: write redis://user:password@host:6379/0, with %-escapes in user and password"
        ) from None
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("the Redis URL must begin with redis://, rediss:// or unix://")
    if unknown := sorted(options.keys() - URL_OPTIONS):
        raise ValueError(f"the Redis URL has options {unknown}: only {sorted(URL_OPTIONS)} can be set")
    for option in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if option in options and not Path(options[option]).is_file():
            raise ValueError(f"the Redis URL names a file in {option} that is not there: check its path and mount")


async def _awaited(operation: Callable[[], Awaitable[Any]]) -> Any:
    return await operation()


def _ms(ttl_s: float) -> int:
    return max(1, int(ttl_s * 1000))
