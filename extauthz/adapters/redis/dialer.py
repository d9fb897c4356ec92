"""Opens connections to servers and sentinels of Redis, with the limits and the TLS of all of them."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    RedisSSLContext,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from extauthz.adapters.redis.bounded_parser import BoundedParser
from extauthz.adapters.redis.connections import Connections
from extauthz.adapters.redis.greeting import ConnectFault, connect_fault, greeted
from extauthz.adapters.redis.url import RESP2, Address, Form, Login, RedisUrl, TlsFiles
from extauthz.files import FileFault, in_memory, read_regular_file

CONNECT_TIMEOUT_S: Final = 1.0
"""For making a connection: name, TCP, TLS, sign-in and the first reply. To another zone, or through a proxy that makes
one of its own meanwhile, that takes longer than an operation may; no check waits for it."""
MAX_PEM_BYTES: Final = 1_048_576
"""Of each file: a bundle of all public authorities has 0.2 MiB, a Secret of Kubernetes 1 MiB at most."""
MAX_CONNECTIONS: Final = 16
"""To one server. At 0.2 ms per operation enough for 80,000 operations per second, more than one process decides."""


class Dialer:
    """Makes connections to the servers and sentinels behind one URL.

    `password` is asked for each connection to a server, in place of the URL's: a mounted secret may be replaced.
    """

    def __init__(self, url: RedisUrl, password: Callable[[], str] | None = None) -> None:
        """Read the certificates. Raises ValueError when they cannot be used."""
        self._url = url
        self._password = password
        self._tls: dict[str, Any] = {}
        self._class: type[AbstractConnection] = UnixDomainSocketConnection if url.socket else Connection
        if url.tls is not None:
            shared = _SharedTls(url.tls)
            try:
                shared.get()
            except (OSError, ValueError):  # ssl.SSLError is an OSError
                raise ValueError(
                    "the Redis URL names certificates that cannot be used: they must be PEM files, "
                    "the key that of the client certificate and without a passphrase"
                ) from None
            self._class, self._tls = _TlsConnection, {"shared": shared}

    def server(self, address: Address, *, timeout_s: float) -> Connections:
        """Connections for commands to a server; who needs one waits `timeout_s` for it at most."""
        return Connections(partial(self._made, address), at_most=MAX_CONNECTIONS, wait_s=timeout_s)

    async def informant(self, address: Address) -> AbstractConnection:
        """A connection for questions to a node of a cluster, to be closed after them."""
        return await self._made(address)

    def sentinel(self, address: Address, *, timeout_s: float) -> Redis:
        """A client for questions to a sentinel; it waits as long for each step of a connection as for the answer."""
        options = self._options(self._url.sentinel_login, timeout_s) | {"protocol": RESP2, **_at(address)}
        return Redis.from_pool(ConnectionPool(max_connections=1, connection_class=self._class, **options))

    async def _made(self, address: Address) -> AbstractConnection:
        """A connection to a server that has been answered. Raises one of `FAULTS`, which tells what to do."""
        url = self._url
        login = url.login
        if self._password is not None:
            login = Login(username=login.username, password=self._password())
        where: dict[str, Any] = {"path": url.socket} if url.socket else _at(address)
        connection = self._class(
            **self._options(login, CONNECT_TIMEOUT_S), db=url.database, protocol=url.protocol, **where
        )
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py
                # In a cluster everybody has a role of its own, and the map says who has which slot.
                await greeted(connection, replica_serves=url.form is Form.CLUSTER)
        except ConnectFault:
            await connection.disconnect(nowait=True)
            raise
        except Exception as error:  # an odd reply can break the library in a way of its own
            await connection.disconnect(nowait=True)
            raise connect_fault(error, tls=url.tls is not None, limit_s=CONNECT_TIMEOUT_S) from error
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    def _options(self, login: Login, timeout_s: float) -> dict[str, Any]:
        return {
            "username": login.username,
            "password": login.password,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            "retry": Retry(NoBackoff(), 0),
            "health_check_interval": 0,
            "parser_class": BoundedParser,
            "driver_info": None,  # else CLIENT SETINFO, a command of Redis 7.2
            **self._tls,
        }


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
            context = _context(self._files)
        except (OSError, ValueError):
            if self.context is None:
                raise
            return self.context
        self.context, self._read = context, stamps
        return context


def _context(files: TlsFiles) -> ssl.SSLContext:
    """Raises OSError or ValueError. The files are read by us: OpenSSL would wait for ever for one that is a FIFO."""
    if files.ca is None:
        context = ssl.create_default_context()
    else:
        with in_memory(_content(files.ca)) as ca:
            context = ssl.create_default_context(cafile=ca)
    if files.cert is not None:
        with ExitStack() as stack:
            cert = stack.enter_context(in_memory(_content(files.cert)))
            key = None if files.key is None else stack.enter_context(in_memory(_content(files.key)))
            context.load_cert_chain(cert, key, password=_no_passphrase)
    return context


def _content(file: str) -> bytes:
    content = read_regular_file(file, MAX_PEM_BYTES)
    if isinstance(content, FileFault):
        raise OSError(f"{file}: {content.why}")
    return content


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
