"""Opens connections to servers and sentinels of Redis, with the limits and the TLS of all of them."""

import ssl
from pathlib import Path
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import RedisSSLContext, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from extauthz.adapters.redis.url import RESP2, Address, Login, RedisUrl, TlsFiles

CONNECT_TIMEOUT_S: Final = 1.0
"""TCP, TLS and AUTH to another zone take longer than an operation may; nobody waits for them. Operations that may take
longer wait as long for them."""
MAX_CONNECTIONS: Final = 16
"""To one server. At 0.2 ms per operation enough for 80,000 operations per second, more than one process decides."""


class Dialer:
    """Makes clients for the servers and sentinels behind one URL; they connect on first use."""

    def __init__(self, url: RedisUrl) -> None:
        """Read the certificates. Raises ValueError when they cannot be used."""
        self._url = url
        self._tls: dict[str, Any] = {}
        if url.tls is not None:
            shared = _SharedTls(url.tls)
            try:
                shared.get()
            except (OSError, ValueError):  # ssl.SSLError is an OSError
                raise ValueError(
                    "the Redis URL names certificates that cannot be used: they must be PEM files, "
                    "the key that of the client certificate and without a passphrase"
                ) from None
            self._tls = {"connection_class": _TlsConnection, "shared": shared}

    def server(self, address: Address, *, timeout_s: float) -> Redis:
        """A client for commands to a server, which waits `timeout_s` for a free connection, and for each reply."""
        return self._to_server(address, timeout_s, max(timeout_s, CONNECT_TIMEOUT_S), MAX_CONNECTIONS)

    def informant(self, address: Address, *, timeout_s: float) -> Redis:
        """A client for one question to a node of a cluster; it waits as long to connect as for the answer."""
        return self._to_server(address, timeout_s, timeout_s, 1)

    def sentinel(self, address: Address, *, timeout_s: float) -> Redis:
        """A client for questions to a sentinel, likewise."""
        return self._client(self._url.sentinel_login, timeout_s, timeout_s, 1, protocol=RESP2, **_at(address))

    def _to_server(self, address: Address, timeout_s: float, connect_timeout_s: float, connections: int) -> Redis:
        url = self._url
        where = {"path": url.socket, "connection_class": UnixDomainSocketConnection} if url.socket else _at(address)
        options = {"db": url.database, "protocol": url.protocol, **where}
        return self._client(url.login, timeout_s, connect_timeout_s, connections, **options)

    def _client(
        self, login: Login, timeout_s: float, connect_timeout_s: float, connections: int, **options: Any
    ) -> Redis:
        pool = BlockingConnectionPool(
            max_connections=connections,
            timeout=timeout_s,
            username=login.username,
            password=login.password,
            socket_timeout=timeout_s,
            socket_connect_timeout=connect_timeout_s,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
            driver_info=None,  # else CLIENT SETINFO, a command of Redis 7.2
            **self._tls,
            **options,
        )
        return Redis.from_pool(pool)


class _SharedTls(RedisSSLContext):
    """One context for all connections, read anew when the files have changed, as mounted secrets do.

    The client library would make one for each connection, which holds the event loop for 40 ms, and would accept the
    system's authorities beside the one that is named.
    """

    __slots__ = ("_files", "_read")

    def __init__(self, files: TlsFiles) -> None:
        super().__init__(ca_certs=files.ca, certfile=files.cert, keyfile=files.key, cert_reqs="required")
        self._files = files
        self._read: tuple[object, ...] = ()

    def get(self) -> ssl.SSLContext:
        """The context for the next connection. Files that have become unusable leave the last good one in use."""
        try:
            stamps = tuple(map(_stamp, (self._files.ca, self._files.cert, self._files.key)))
            if self.context is not None and stamps == self._read:
                return self.context
            context = ssl.create_default_context(cafile=self._files.ca)
            if self._files.cert is not None:
                context.load_cert_chain(self._files.cert, self._files.key, password=_no_passphrase)
        except (OSError, ValueError):
            if self.context is None:
                raise
            return self.context
        self.context, self._read = context, stamps
        return context


class _TlsConnection(SSLConnection):
    def __init__(self, *, shared: _SharedTls, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context = shared


def _at(address: Address) -> dict[str, Any]:
    return {"host": address.host, "port": address.port}


def _stamp(file: str | None) -> object:
    if file is None:
        return None
    stat = Path(file).stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _no_passphrase() -> str:
    """Without this OpenSSL would ask at the terminal."""
    raise ValueError("the key has a passphrase")
