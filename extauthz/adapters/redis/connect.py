"""Every adapter that speaks to Redis makes a client of its own here, with the deadline that its work allows."""

from collections.abc import Callable

from extauthz.adapters.redis.client import RedisClient
from extauthz.adapters.redis.url import read_redis_url


def redis_client(
    url: str, *, clock: Callable[[], float], deadline_s: float, password: Callable[[], str] | None = None
) -> RedisClient:
    """A client for any Redis URL (`redis_url`). `clock` gives monotonic seconds.

    `password` is asked for each connection to a server, in place of one in the URL.

    Raises ValueError, without the URL in its message, for one that cannot be used. The client library is imported here
    and not before: it takes 0.3 s and 20 MiB that a service without Redis does not pay.
    """
    read = read_redis_url(url)
    if password is not None and read.login.password:
        raise ValueError(
            "the Redis URL has a password, and so has EXTAUTHZ_REDIS_PASSWORD or EXTAUTHZ_REDIS_PASSWORD_FILE: "
            "remove one of them"
        )
    from extauthz.adapters.redis.router import Router  # noqa: PLC0415 - see the docstring

    return Router(read, clock=clock, deadline_s=deadline_s, password=password)
