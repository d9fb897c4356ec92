"""An HTTP/2 client that says what it likes: frames by hand, for clients that no library would be (RFC 9113)."""

import socket
import struct
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Self

from tests.bench.h2_load import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    frame,
    literal,
)
from tests.support.transport import CHECK_PATH, TIMEOUT_S

CONTINUATION: Final = 9
INITIAL_WINDOW_SIZE: Final = 4
FRAME_HEADER_BYTES: Final = 9


def headers_of(path: str, *more: tuple[str, str]) -> bytes:
    """The header block of a call."""
    usual = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "extauthz"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    )
    return b"".join(literal(name, value) for name, value in (*usual, *more))


def message_of(message: bytes) -> bytes:
    """A gRPC message with its prefix."""
    return b"\0" + struct.pack(">I", len(message)) + message


class H2Client:
    """One connection. `acknowledge` False: it never says that it has read the server's settings."""

    def __init__(self, port: int, *, initial_window: int | None = None, acknowledge: bool = True) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self._acknowledge = acknowledge
        self._buffer = b""
        self._next = 1
        self.ended: dict[int, str] = {}
        """How each call ended: the `grpc-status`, or `RST_STREAM`."""
        self.gone = False
        settings = b"" if initial_window is None else struct.pack(">HI", INITIAL_WINDOW_SIZE, initial_window)
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings) + (frame(SETTINGS, ACK, 0, b"") if acknowledge else b""))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sock.close()

    def send(self, data: bytes) -> None:
        """Bytes as they are. Raises OSError when the server has closed the connection."""
        self._sock.sendall(data)

    def call_frames(self, count: int, *data: tuple[bytes, bool], path: str = CHECK_PATH) -> bytes:
        """`count` calls: headers, then DATA frames, each with whether it is the last."""
        block, out = headers_of(path), bytearray()
        for _ in range(count):
            stream = self._next
            self._next += 2
            out += frame(HEADERS, END_HEADERS, stream, block)
            for part, last in data:
                out += frame(DATA, END_STREAM if last else 0, stream, part)
        return bytes(out)

    def call(self, message: bytes, path: str = CHECK_PATH) -> int:
        """Begin one whole call; its stream."""
        stream = self._next
        self.send(self.call_frames(1, (message_of(message), True), path=path))
        return stream

    def read_until(self, done: Callable[[Self], bool]) -> None:
        """Read until something is so, or the server closes. Raises TimeoutError."""
        deadline = time.monotonic() + TIMEOUT_S
        while not done(self) and not self.gone:
            self._sock.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                data = self._sock.recv(262_144)
            except ConnectionError:
                data = b""
            self.gone = not data
            self._buffer += data
            for kind, flags, stream, payload in self._frames():
                self._take(kind, flags, stream, payload)

    def _frames(self) -> Iterable[tuple[int, int, int, bytes]]:
        while len(self._buffer) >= FRAME_HEADER_BYTES:
            length = int.from_bytes(self._buffer[:3])
            if len(self._buffer) < FRAME_HEADER_BYTES + length:
                return
            kind, flags = self._buffer[3], self._buffer[4]
            stream = int.from_bytes(self._buffer[5:9])
            payload = self._buffer[FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + length]
            self._buffer = self._buffer[FRAME_HEADER_BYTES + length :]
            yield kind, flags, stream, payload

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == HEADERS and flags & END_STREAM:
            self.ended[stream] = _status(payload)
        elif kind == RST_STREAM:
            self.ended.setdefault(stream, "RST_STREAM")
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self.gone = True


def _status(block: bytes) -> str:
    """grpcio writes `grpc-status` as text, or as an index into the table of the connection: then it is not known."""
    at = block.find(b"grpc-status")
    if at < 0:
        return "?"
    length = block[at + 11]
    return block[at + 12 : at + 12 + length].decode()
