"""A client for whatever stands behind a Redis URL. Commands about one key are sent in one round trip, and once.

Every adapter that speaks to Redis makes a client of its own here, with the deadline that its work allows.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from extauthz.adapters.redis.url import Address, read_redis_url

MAX_FAULT_CHARS: Final = 200
"""Of an error that Redis or the client library wrote."""

Command: TypeAlias = tuple[str | bytes | int, ...]
"""The words of one command."""


class RedisUnreachable(Exception):
    """No answer in time, or none that counts: a replica where the master was, a slot that nobody has."""


class RedisBusy(RedisUnreachable):
    """Too many commands are waiting for Redis already. Says nothing about how Redis is."""


class RedisRefusal(Exception):
    """Redis is well and answered with an error: out of memory, wrong type, not permitted."""


class RedisClient(Protocol):
    """One event loop. Connects on first use. Nothing is retried, but a cluster's redirections are followed."""

    def place(self, key: str) -> Address | None:
        """Where the key is believed to be, without asking; None when nothing is known yet."""
        ...

    async def send(self, key: str, *commands: Command, within_s: float | None = None) -> list[Any]:
        """Send commands about the hash slot of `key`, in one round trip; their replies, strings as bytes.

        In a cluster all keys of the commands must be in that slot (a common `{tag}`). Waits `within_s`, by default the
        client's deadline. Raises `RedisUnreachable` or `RedisRefusal`, for the first command that failed.
        """
        ...

    async def close(self) -> None:
        """Give up what is under way and close the connections."""
        ...


def redis_client(url: str, *, clock: Callable[[], float], deadline_s: float) -> RedisClient:
    """A client for any Redis URL (`redis_url`). `clock` gives monotonic seconds.

    Raises ValueError, without the URL in its message, for one that cannot be used. The client library is imported here
    and not before: it takes 0.3 s and 20 MiB that a service without Redis does not pay.
    """
    read = read_redis_url(url)
    from extauthz.adapters.redis.router import Router  # noqa: PLC0415 - see the docstring

    return Router(read, clock=clock, deadline_s=deadline_s)
