"""A load generator for one unary gRPC method: HTTP/2 by hand, so that it costs a tenth of what it measures.

Every call is the same request; its header block is written once with literals only (RFC 7541 §6.2.2), so that no
compression state has to be kept. Answers are counted by their END_STREAM flag. One thread, any number of connections.
"""

import selectors
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, RST_STREAM = 0, 1, 4, 6, 7, 8, 3
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HUGE_WINDOW: Final = 2**31 - 1
DEFAULT_WINDOW: Final = 65_535
READ_BYTES: Final = 262_144
MAX_FRAME: Final = 16_384


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One HTTP/2 frame (RFC 9113 §4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def literal(name: str, value: str) -> bytes:
    """A header field without indexing, both parts as plain strings."""
    out = b"\x00"
    for text in (name, value):
        data = text.encode()
        if len(data) < 127:
            out += bytes((len(data),))
        else:
            rest, size = len(data) - 127, b"\x7f"
            while rest >= 128:
                size += bytes((rest % 128 + 128,))
                rest //= 128
            out += size + bytes((rest,))
        out += data
    return out


@dataclass(frozen=True, slots=True)
class Load:
    """What a run gave: calls per second, and latencies in seconds, sorted."""

    per_second: float
    latencies_s: Sequence[float]

    def percentile_ms(self, share: float) -> float:
        """A latency in milliseconds: 0.5 the median."""
        return self.latencies_s[min(len(self.latencies_s) - 1, int(len(self.latencies_s) * share))] * 1000


@dataclass(slots=True)
class _Connection:
    port: int
    method: str
    request: bytes
    streams: int
    metadata: Sequence[tuple[str, str]] = ()
    latencies_s: list[float] = field(default_factory=list)
    failed: int = 0
    sock: socket.socket = field(init=False)
    _started: dict[int, float] = field(default_factory=dict)
    _buffer: bytearray = field(default_factory=bytearray)
    _window: int = DEFAULT_WINDOW
    _next: int = 1

    def open(self) -> None:
        self.sock = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        settings = struct.pack(">HIHI", 4, HUGE_WINDOW, 1, 0)
        self.sock.sendall(
            PREFACE
            + frame(SETTINGS, 0, 0, settings)
            + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", HUGE_WINDOW - DEFAULT_WINDOW))
        )
        fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", self.method),
            (":authority", f"127.0.0.1:{self.port}"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-timeout", "1000m"),
            *self.metadata,
        ]
        self._headers = b"".join(literal(name, value) for name, value in fields)
        self._message = b"\0" + struct.pack(">I", len(self.request)) + self.request

    _headers: bytes = b""
    _message: bytes = b""

    def fill(self) -> None:
        """Begin as many calls as may be under way."""
        out = bytearray()
        now = time.perf_counter()
        while len(self._started) < self.streams and self._window >= len(self._message):
            stream = self._next
            self._next += 2
            self._window -= len(self._message)
            out += frame(HEADERS, END_HEADERS, stream, self._headers)
            for start in range(0, len(self._message), MAX_FRAME):
                part = self._message[start : start + MAX_FRAME]
                last = END_STREAM if start + MAX_FRAME >= len(self._message) else 0
                out += frame(DATA, last, stream, part)
            self._started[stream] = now
        if out:
            self.sock.sendall(out)

    def read(self) -> None:
        """Take in what came, and count the calls that ended."""
        self._buffer += self.sock.recv(READ_BYTES)
        now = time.perf_counter()
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 9:
            length = int.from_bytes(buffer[at : at + 3])
            if len(buffer) - at < 9 + length:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            stream = int.from_bytes(buffer[at + 5 : at + 9])
            payload = at + 9
            at = payload + length
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                self.latencies_s.append(now - self._started.pop(stream))
            elif kind == WINDOW_UPDATE and stream == 0:
                self._window += int.from_bytes(buffer[payload : payload + 4])
            elif kind == SETTINGS and not flags & ACK:
                self.sock.sendall(frame(SETTINGS, ACK, 0, b""))
            elif kind == PING and not flags & ACK:
                self.sock.sendall(frame(PING, ACK, 0, bytes(buffer[payload:at])))
            elif kind == RST_STREAM:
                self._started.pop(stream, None)
                self.failed += 1
            elif kind == GOAWAY:
                raise ConnectionError("the server went away")
        del buffer[:at]


def load(
    port: int,
    request: bytes,
    *,
    seconds: float,
    connections: int,
    streams: int,
    method: str = "/envoy.service.auth.v3.Authorization/Check",
    metadata: Sequence[tuple[str, str]] = (),
) -> Load:
    """Call for `seconds`, with `streams` calls under way on each of `connections`. Raises when any call failed."""
    selector = selectors.DefaultSelector()
    everyone = [_Connection(port, method, request, streams, metadata) for _ in range(connections)]
    for one in everyone:
        one.open()
        selector.register(one.sock, selectors.EVENT_READ, one)
        one.fill()
    begin = time.perf_counter()
    end = begin + seconds
    while time.perf_counter() < end:
        for key, _ in selector.select(0.1):
            key.data.read()
            key.data.fill()
    took = time.perf_counter() - begin
    for one in everyone:
        one.sock.close()
    failed = sum(one.failed for one in everyone)
    if failed:
        raise ConnectionError(f"{failed} calls failed")
    latencies = sorted(latency for one in everyone for latency in one.latencies_s)
    return Load(len(latencies) / took, latencies)
