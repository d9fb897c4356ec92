"""The first exchange on a new connection, and what it means when a connection cannot be made.

`HELLO` without arguments (Redis 6.0) needs no right, changes nothing, and tells the server's role. Any reply will do:
what counts is that the way there and back is open, whatever is on it. Texts of servers are not repeated from here
unless they are known to quote nothing: before sign-in is done, what a server quotes is the password.
"""

import ssl
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError, BusyLoadingError, InvalidResponse, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

_REPLICA: Final = frozenset({b"replica", b"slave"})
_MAYBE_TLS: Final = "if the server wants TLS on this port, write rediss for redis in the URL"
_MAYBE_PLAIN: Final = "if the server speaks no TLS on this port, write redis for rediss in the URL"


class ConnectFault(RedisConnectionError):
    """A connection that could not be made; the text says why, and what to do, and holds no words of the server."""


async def greeted(connection: AbstractConnection, *, replica_serves: bool) -> None:
    """Have the server answer once. Raises `ConnectFault` for a replica, unless one serves as well."""
    await connection.send_command("HELLO")
    try:
        reply = await connection.read_response()
    except ResponseError:
        # Older than Redis 6.0, renamed, or a proxy that does not know it: it has answered.
        return
    if not replica_serves and _told(reply).get(b"role") in _REPLICA:
        raise ConnectFault(
            "the server is a replica (a reader endpoint?), which can be read late and not be written: name the "
            "primary in the URL, or its sentinels (redis+sentinel://)"
        )


def connect_fault(error: Exception, *, tls: bool, limit_s: float) -> ConnectFault:
    """What to tell about an error of making a connection."""
    cause = _tls_error(error)
    match error:
        case AuthenticationError() if error.status_code == "NOAUTH" or "required" in str(error):
            text = "AuthenticationError: the server asks for a password: set EXTAUTHZ_REDIS_PASSWORD, or the URL"
        case AuthenticationError():
            text = "AuthenticationError: the server refuses user name or password: compare both with the server's"
        case BusyLoadingError():
            text = "the server is loading its data: wait"
        case ResponseError() if "unknown command" in str(error):
            text = (
                "the server does not know the command that signs in (AUTH or HELLO): it is older than Redis 6.0, or "
                "the command was renamed there"
            )
        case ResponseError():
            code = error.status_code or "ERR"
            text = f"the server refuses to sign us in or to select the database ({code}): compare URL and server"
        case RedisTimeoutError() | TimeoutError():
            hint = f"check host and port; {_MAYBE_PLAIN}" if tls else "check host and port, and what is between"
            text = f"no connection within {limit_s:g} s{', TLS included' if tls else ''}: {hint}"
        case _ if cause is not None and cause.reason in _PLAIN_REASONS:
            text = f"the server answers without TLS ({cause.reason}): write redis for rediss in the URL"
        case InvalidResponse():
            text = f"what answers does not speak Redis: {'check host and port' if tls else _MAYBE_TLS}"
        case RedisConnectionError() if not tls and _closed(error):
            text = f"the connection was closed before the first reply: {_MAYBE_TLS}"
        case RedisConnectionError() | OSError():
            # Of the system or of the TLS library: they know nothing of what was sent.
            text = str(error)
        case _:
            text = f"the reply to our first commands cannot be read ({type(error).__name__}): check host and port"
    return ConnectFault(text)


_PLAIN_REASONS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"})


def _told(reply: Any) -> dict[Any, Any]:
    """The reply to HELLO: a map (RESP3), or a list of names and values (RESP2)."""
    if isinstance(reply, list):
        return dict(zip(reply[::2], reply[1::2], strict=False)) if all(isinstance(n, bytes) for n in reply[::2]) else {}
    return reply if isinstance(reply, dict) else {}


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error


def _closed(error: BaseException) -> bool:
    """Whether a connection that stood was ended by the other side."""
    text = str(error)
    return "closed by server" in text or "Connection reset" in text or "Connection lost" in text
