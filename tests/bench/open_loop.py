"""Calls sent at appointed times, whatever has become of those before: what callers get who do not wait for each other.

A generator that sends the next call when the last one has ended slows down with the server it measures, and misses
just what was slow. Here every call has its time, and its latency counts from that time on. One thread, one connection
per server as a proxy has it; HTTP/2 by hand (`h2_load`).
"""

import selectors
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.bench.h2_load import (
    ACK,
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    HUGE_WINDOW,
    MAX_FRAME,
    PING,
    PREFACE,
    READ_BYTES,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    literal,
)

CHECK: Final = "/envoy.service.auth.v3.Authorization/Check"
WITHIN_S: Final = 10.0
"""How long the last answers are waited for."""


@dataclass(frozen=True, slots=True)
class Due:
    """A call: when (seconds from the start), to which server, with what, and what it is counted as."""

    at_s: float
    server: int
    request: bytes
    kind: str


@dataclass(slots=True)
class Outcome:
    """The calls of one kind: latencies from the appointed time, how late each was sent, and the answers."""

    latencies_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)

    def percentile_ms(self, share: float) -> float:
        """A latency in milliseconds: 0.5 is the median."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


class Connection:
    """One HTTP/2 connection to a gRPC server."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        grown = frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", HUGE_WINDOW - DEFAULT_WINDOW))
        self.sock.sendall(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HIHI", 4, HUGE_WINDOW, 1, 0)) + grown)
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": CHECK,
            ":authority": f"127.0.0.1:{port}",
            "content-type": "application/grpc",
            "te": "trailers",
            "grpc-timeout": "9S",
        }
        self._headers = b"".join(literal(name, value) for name, value in fields.items())
        self._under_way: dict[int, tuple[float, float, str]] = {}
        self._bodies: dict[int, bytes] = {}
        self._buffer = bytearray()
        self._window = DEFAULT_WINDOW
        self._next = 1

    @property
    def waiting(self) -> int:
        """Calls under way."""
        return len(self._under_way)

    def send(self, request: bytes, appointed: float, kind: str) -> None:
        """Begin a call."""
        message = b"\0" + struct.pack(">I", len(request)) + request
        if self._window < len(message):
            raise ConnectionError("the server takes nothing more in: choose a lower rate")
        stream, self._next = self._next, self._next + 2
        self._window -= len(message)
        out = bytearray(frame(HEADERS, END_HEADERS, stream, self._headers))
        for start in range(0, len(message), MAX_FRAME):
            last = END_STREAM if start + MAX_FRAME >= len(message) else 0
            out += frame(DATA, last, stream, message[start : start + MAX_FRAME])
        self._under_way[stream] = (appointed, time.perf_counter(), kind)
        self.sock.sendall(out)

    def read(self, outcomes: Mapping[str, Outcome]) -> None:
        """Take in what came, and count the calls that ended."""
        received = self.sock.recv(READ_BYTES)
        now = time.perf_counter()
        if not received:
            raise ConnectionError("the server closed the connection")
        buffer, at = self._buffer, 0
        buffer += received
        while len(buffer) - at >= 9:
            length = int.from_bytes(buffer[at : at + 3])
            if len(buffer) - at < 9 + length:
                break
            kind, flags, stream = buffer[at + 3], buffer[at + 4], int.from_bytes(buffer[at + 5 : at + 9])
            payload = bytes(buffer[at + 9 : at + 9 + length])
            at += 9 + length
            if kind == DATA:
                self._bodies[stream] = self._bodies.get(stream, b"") + payload
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                appointed, sent, counted_as = self._under_way.pop(stream)
                outcome = outcomes[counted_as]
                outcome.late_s.append(sent - appointed)
                outcome.latencies_s.append(now - appointed)
                outcome.answers.append(self._bodies.pop(stream, b"")[5:])
            elif kind == WINDOW_UPDATE and stream == 0:
                self._window += int.from_bytes(payload)
            elif kind == SETTINGS and not flags & ACK:
                self.sock.sendall(frame(SETTINGS, ACK, 0, b""))
            elif kind == PING and not flags & ACK:
                self.sock.sendall(frame(PING, ACK, 0, payload))
            elif kind in (RST_STREAM, GOAWAY):
                raise ConnectionError(f"the server refused a call (frame {kind}, {payload!r}): choose a lower rate")
        del buffer[:at]


def keep_appointments(connections: Sequence[Connection], calls: Sequence[Due]) -> dict[str, Outcome]:
    """Send every call at its time, and wait for all answers. `calls` are in order of time."""
    outcomes: defaultdict[str, Outcome] = defaultdict(Outcome)
    # `epoll` waits in whole milliseconds; `select` is exact.
    with selectors.SelectSelector() as selector:
        for one in connections:
            selector.register(one.sock, selectors.EVENT_READ, one)
        begin = time.perf_counter()
        todo = iter(calls)
        due = next(todo, None)
        last = begin
        while due is not None or any(one.waiting for one in connections):
            now = time.perf_counter()
            while due is not None and begin + due.at_s <= now:
                connections[due.server].send(due.request, begin + due.at_s, due.kind)
                last = now
                due = next(todo, None)
            if due is None and now - last > WITHIN_S:
                raise TimeoutError("some calls were never answered")
            pause = 0.1 if due is None else begin + due.at_s - time.perf_counter()
            for key, _ in selector.select(max(0.0, pause)):
                key.data.read(outcomes)
    return dict(outcomes)
