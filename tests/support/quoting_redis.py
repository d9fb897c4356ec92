"""A server on loopback that knows no command, and quotes what it was sent in every way that it can think of."""

import threading
from collections.abc import Callable, Iterable
from socket import socket
from socketserver import StreamRequestHandler, ThreadingTCPServer
from types import TracebackType
from typing import Final, Self

from extauthz.demo.processes import LOOPBACK

MAX_WORDS: Final = 64


class QuotingRedis:
    """Answers each command by `answer`, which gets its words: by default as Redis does for an unknown one."""

    def __init__(self, further: Iterable[str] = (), answer: Callable[[list[bytes]], bytes] | None = None) -> None:
        self.heard: list[list[bytes]] = []
        text = " ".join(further)
        owner = self

        def usual(words: list[bytes]) -> bytes:
            quoted = b"".join(b"`%s`, " % word.replace(b"\r", b" ").replace(b"\n", b" ") for word in words[1:])
            return b"-ERR unknown command `%s`, with args beginning with: %s; %s\r\n" % (
                words[0],
                quoted,
                text.encode(),
            )

        class Handler(StreamRequestHandler):
            def handle(self) -> None:
                while words := _command(self.rfile.readline, self.rfile.read):
                    owner.heard.append(words)
                    self.wfile.write((answer or usual)(words))

        class Server(ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True

            def handle_error(self, request: socket | tuple[bytes, socket], client_address: object) -> None:
                """A client that went away."""

        self._server = Server((LOOPBACK, 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _command(line: Callable[[], bytes], read: Callable[[int], bytes]) -> list[bytes]:
    head = line()
    if not head.startswith(b"*"):
        return []
    words = []
    for _ in range(min(int(head[1:]), MAX_WORDS)):
        length = int(line()[1:])
        words.append(read(length + 2)[:-2])
    return words
