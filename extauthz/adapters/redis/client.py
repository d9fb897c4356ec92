"""What a client for Redis does, whatever is behind the URL. Commands about one key go in one round trip, and once."""

from typing import Any, Final, Protocol, TypeAlias

from extauthz.adapters.redis.url import Address

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
