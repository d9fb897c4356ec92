"""What somebody who can reach Redis sees and does: the keys that are there, and the commands that processes send."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from extauthz.demo.processes import LOOPBACK
from tests.support.redis_server import RedisServer
from tests.support.waiting import LOOK_EVERY_S, eventually

WITHIN_S: Final = 10.0
SOON_S: Final = 1.0

Found = TypeVar("Found")


def strings(reply: bytes) -> list[bytes]:
    """The strings of a reply that is one bulk string or an array of them (RESP2)."""
    found: list[bytes] = []
    at = 0
    while at < len(reply):
        head = reply[at : reply.index(b"\r\n", at)]
        at += len(head) + 2
        if head[:1] == b"$" and (length := int(head[1:])) >= 0:
            found.append(reply[at : at + length])
            at += length + 2
    return found


def keys(redis: RedisServer, kind: str = "") -> list[bytes]:
    """The keys of a kind of entry, in order; of all without."""
    return sorted(strings(redis.command("KEYS", f"extauthz:*:{kind}:*" if kind else "*")))


def value(redis: RedisServer, key: bytes) -> bytes:
    """What stands at a key that is a string."""
    (found,) = strings(redis.command("GET", key))
    return found


@dataclass(slots=True)
class Overheard:
    """Commands that clients sent while `monitored` lasted, as MONITOR writes them."""

    lines: list[str] = field(default_factory=list)

    def keys(self, kind: str) -> list[bytes]:
        """The keys of that kind that were asked about, each once, in order of appearance."""
        parts = [part for line in self.lines for part in line.split('"') if f":{kind}:" in part]
        return [part.encode() for part in dict.fromkeys(parts)]


@contextmanager
def monitored(redis: RedisServer) -> Iterator[Overheard]:
    """Listen to what Redis is told; `lines` is filled when the block ends."""
    heard = Overheard()
    mark = "the end of listening"
    with (
        socket.create_connection((LOOPBACK, redis.port), timeout=WITHIN_S) as connection,
        connection.makefile("rb") as text,
    ):
        connection.sendall(b"MONITOR\r\n")
        assert text.readline() == b"+OK\r\n"
        yield heard
        redis.command("ECHO", mark)
        for line in text:
            if mark.encode() in line:
                return
            heard.lines.append(line.decode("latin-1"))


def asked_about(redis: RedisServer, kind: str, do: Callable[[], object]) -> bytes | None:
    """The first key of that kind that a process asks about because of `do`; None when it does not ask."""
    with monitored(redis) as heard:
        do()
    return next(iter(heard.keys(kind)), None)


def come(redis: RedisServer, kind: str, wanted: int) -> bool:
    """Whether as many entries of a kind are there, or come within a second."""
    deadline = time.monotonic() + SOON_S
    while len(keys(redis, kind)) < wanted:
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def obtained(attempt: Callable[[], Found | None], what: str) -> Found:
    """What an attempt gives, made again when it gives None.

    A process gives Redis 20 ms; on a busy machine that can be too little, and it then does without. No test may hang
    on its having been asked at the first attempt.
    """
    found: list[Found] = []

    def made() -> bool:
        one = attempt()
        if one is not None:
            found.append(one)
        return bool(found)

    eventually(made, what)
    return found[0]
