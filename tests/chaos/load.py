"""A load of checks: good and bad callers, remembered and new ones, in turn; each knows its right answer."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Final, Self

import grpc

from extauthz.demo.processes import LOOPBACK
from extauthz.pdp.reason import Reason
from tests.support import tokens
from tests.support.checks import Seen, check_request, seen
from tests.support.served import METHOD
from tests.support.waiting import eventually

AT_ONCE: Final = 16
"""Checks under way together when the load is not paced."""
PATIENCE_S: Final = 9.0
"""What a client waits: longer than a process waits for keys that another one fetches, shorter than for a lost Redis."""
READ: Final = {"scope": "weather:read"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One check, and the reason that is the right answer to it."""

    kind: str
    data: bytes = field(repr=False)
    reason: str
    fresh: bool
    """Whether the process has to ask Redis about it, as nothing in its own memory answers."""
    unasked: str = ""
    """The right answer where Redis could not be asked, if that is another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of it: the answer, or the gRPC status instead of one."""

    ask: Ask
    began_s: float
    took_s: float
    answer: bytes | None = field(repr=False)
    fault: str

    @property
    def seen(self) -> Seen:
        assert self.answer is not None, self.fault
        return seen(self.answer)

    @property
    def outcome(self) -> str:
        """The reason given, or the fault."""
        return self.fault or self.seen.reason


class Deck:
    """An endless mix. Half of it is new to the process: new tokens, with and without a new session, good and bad."""

    REVOKED: Final = "revoked"
    """The subject of whom everything is revoked: see `Rig.warm`."""

    def __init__(self, now: float | None = None) -> None:
        self._now = time.time() if now is None else now
        self._numbers = itertools.count()
        good = self.token()
        header, payload, signature = good.split(".")
        middle = len(signature) // 2
        swapped = "A" if signature[middle] != "A" else "B"
        self.forged: Final = ".".join((header, payload, f"{signature[:middle]}{swapped}{signature[middle + 1 :]}"))
        """A good token's claims under a signature that is none; Redis is asked about it every time."""
        self.owner: Final = self.token({"sub": "owner", "name": "owner"})
        self.thief: Final = self.token({"sub": "thief", "name": "thief"})
        self.session: Final = {"mcp-session-id": "session-of-owner"}
        narrow = self.token({"scope": "weather:other"})
        foreign = self.token({"aud": ["https://other.example.com/mcp"]})
        expired = tokens.mint(READ, now=self._now - 7200, lifetime_s=3600)
        revoked = self.token({"sub": self.REVOKED, "name": self.REVOKED})
        self.cached: Final = (
            self._ask("good", good, Reason.ALLOWED),
            self._ask("good, own session", self.owner, Reason.ALLOWED, self.session),
            self._ask("no token", None, Reason.TOKEN_MISSING),
            self._ask("too few scopes", narrow, Reason.SCOPE_INSUFFICIENT),
            self._ask("other audience", foreign, Reason.TOKEN_AUDIENCE),
            self._ask("expired", expired, Reason.TOKEN_EXPIRED),
            self._ask("another's session", self.thief, Reason.SESSION_UNKNOWN, self.session),
            self._ask("revoked", revoked, Reason.TOKEN_REVOKED),
            self._ask("forged", self.forged, Reason.TOKEN_SIGNATURE, fresh=True),
        )

    def token(self, more: dict[str, object] | None = None) -> str:
        """A good token like no other."""
        return tokens.mint(READ | {"jti": f"chaos/{next(self._numbers)}"} | (more or {}), now=self._now)

    def number(self) -> int:
        """Another one each time."""
        return next(self._numbers)

    def warm(self) -> list[Ask]:
        """What makes the process remember: the owner comes with the session before the thief does."""
        return [self.cached[1], *self.cached]

    def deal(self, count: int) -> list[Ask]:
        """The next `count`, made beforehand: signing a token takes a millisecond."""
        return list(itertools.islice(self._endless(), count))

    def _endless(self) -> Iterator[Ask]:
        for known in itertools.cycle(self.cached):
            number = next(self._numbers)
            yield known
            match number % 3:
                case 0:
                    yield self._ask("new, good", self.token(), Reason.ALLOWED, fresh=True)
                case 1:
                    session = {"mcp-session-id": f"session-{number}"}
                    new = self._ask("new, good, new session", self.token(), Reason.ALLOWED, session, fresh=True)
                    yield replace(new, unasked=Reason.DEADLINE_EXCEEDED)
                case _:
                    narrow = self.token({"scope": "weather:other"})
                    yield self._ask("new, too few scopes", narrow, Reason.SCOPE_INSUFFICIENT, fresh=True)

    @staticmethod
    def _ask(
        kind: str, token: str | None, reason: Reason, headers: dict[str, str] | None = None, *, fresh: bool = False
    ) -> Ask:
        return Ask(kind=kind, data=check_request(token=token, headers=headers), reason=reason, fresh=fresh)


class Client:
    """Asks one process over one connection."""

    def __init__(self, port: int) -> None:
        self._channel = grpc.insecure_channel(f"{LOOPBACK}:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
        self._call = self._channel.unary_unary(METHOD)

    def close(self) -> None:
        self._channel.close()

    def ask(self, data: bytes) -> Seen:
        """One check."""
        return seen(self._call(data, timeout=PATIENCE_S))

    def all(self, asks: Iterable[Ask], *, at_once: int = AT_ONCE) -> list[Told]:
        """Ask all, `at_once` of them together."""
        places = threading.Semaphore(at_once)
        run = _Run(self._call, PATIENCE_S, places.release)
        for ask in asks:
            assert places.acquire(timeout=2 * PATIENCE_S), "no answer at all"
            run.send(ask)
        return run.finish()

    def paced(self, asks: Iterable[Ask], *, per_second: float, within_s: float) -> list[Told]:
        """Ask at a steady pace, whatever comes back. A check that takes longer than `within_s` is a fault."""
        run = _Run(self._call, within_s, lambda: None)
        begin = time.perf_counter()
        for number, ask in enumerate(asks):
            left_s = begin + number / per_second - time.perf_counter()
            if left_s > 0:
                time.sleep(left_s)
            run.send(ask)
        return run.finish()


class Steady:
    """Checks one after the other, a few together, until the block ends."""

    def __init__(self, client: Client, deck: Deck) -> None:
        self._client = client
        self._deck = deck
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.answers: list[Told] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def until(self, more: int) -> None:
        """Wait until so many more were answered."""
        goal = len(self.answers) + more
        eventually(lambda: len(self.answers) >= goal, f"{more} checks are answered", within_s=60)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.answers += self._client.all(self._deck.deal(8), at_once=4)


class _Run:
    """Checks sent, and what was told."""

    def __init__(self, call: "grpc.UnaryUnaryMultiCallable", within_s: float, ended: Callable[[], None]) -> None:
        self._call = call
        self._within_s = within_s
        self._ended = ended
        self._told: list[Told] = []
        self._sent = 0
        self._changed = threading.Condition()

    def send(self, ask: Ask) -> None:
        self._sent += 1
        began_s = time.perf_counter()
        future = self._call.future(ask.data, timeout=self._within_s)
        future.add_done_callback(lambda done: self._take(ask, began_s, done))

    def finish(self) -> list[Told]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._told) == self._sent, 2 * PATIENCE_S), "no answer at all"
        return sorted(self._told, key=lambda told: told.began_s)

    def _take(self, ask: Ask, began_s: float, done: Any) -> None:
        took_s = time.perf_counter() - began_s
        answer, fault = None, ""
        if done.code() is grpc.StatusCode.OK:
            answer = done.result()
        else:
            fault = f"gRPC {done.code().name}"
        with self._changed:
            self._told.append(Told(ask=ask, began_s=began_s, took_s=took_s, answer=answer, fault=fault))
            self._changed.notify()
        self._ended()


def wrong(answers: Sequence[Told]) -> Counter[tuple[str, str]]:
    """(kind, outcome) of every check that was not answered exactly as it should be, counted."""
    return Counter(
        (told.ask.kind, told.outcome)
        for told in answers
        if told.outcome != told.ask.reason and (not told.ask.unasked or told.outcome != told.ask.unasked)
    )


def wrongly_allowed(answers: Sequence[Told]) -> int:
    """How many passed that must not: the one number that is never anything but 0."""
    return sum(not told.fault and told.seen.allowed and told.ask.reason != Reason.ALLOWED for told in answers)
