"""Calls that wait for their client: until when, and how many at most.

A client that opens calls and sends no message, or takes no answer, costs nothing to run. So neither kind of call counts
as a check, and both have a deadline and a bound: a call beyond them is ended, whoever it belongs to.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc

MESSAGE_WITHIN_S: Final = 2.0
"""Seconds from the headers of a call to its whole message: ten times Envoy's default deadline for the whole check."""
ANSWER_TAKEN_WITHIN_S: Final = 5.0
"""Seconds in which a client takes an answer. One that does not read, or leaves no window open, would keep it."""
MAX_PER_CONNECTION: Final = 256
"""Calls of one connection whose message has not come. It may have 1,000 calls in all (`MAX_STREAMS`); a proxy sends
headers and message together, so that many wait only where bodies of megabytes share one slow connection."""
MAX_IN_ALL: Final = 4_096
"""Calls in all that wait for their client, about 10 KB each. Beyond it the oldest are ended: a message that comes at
all comes within milliseconds, so the oldest is never one that somebody is about to send."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that gets a status and no answer."""

    code: grpc.StatusCode
    details: str
    """One sentence for the client's log."""


class Arrival:
    """One call, from its headers to the end of its answer."""

    __slots__ = ("deadline", "ended", "is_check", "metadata", "peer", "rpc")

    def __init__(self, event: Any) -> None:
        self.rpc: Any = event.call
        self.peer: bytes = self.rpc.peer()
        """`ipv4:1.2.3.4:5678`: one connection. Connections to a Unix socket all have the same."""
        self.metadata: Any = event.invocation_metadata
        self.deadline: float = event.call_details.deadline
        """As grpcio has it: seconds since the epoch."""
        self.is_check = False
        """Whether its message has come, and it counts against the limit of checks."""
        self.ended = False
        """Whether a status has been sent: what else happens to the call is of no interest."""


class WaitingCalls:
    """Calls in the order in which they began to wait. Any thread may add and remove; one takes what is overdue."""

    def __init__(
        self,
        within_s: float,
        *,
        max_in_all: int = MAX_IN_ALL,
        max_per_connection: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`max_per_connection` None: no such bound."""
        self._within_s = within_s
        self._max_in_all = max_in_all
        self._max_per_connection = max_per_connection
        self._clock = clock
        self._lock = threading.Lock()
        self._until: dict[Arrival, float] = {}
        self._per_peer: Counter[bytes] = Counter()

    def __len__(self) -> int:
        return len(self._until)

    def of_peer(self, peer: bytes) -> int:
        """How many calls of one connection wait."""
        return self._per_peer[peer]

    def add(self, call: Arrival) -> bool:
        """Begin to wait. False: this connection has enough of them."""
        with self._lock:
            bound = self._max_per_connection
            if bound is not None and self._per_peer[call.peer] >= bound and not call.peer.startswith(b"unix:"):
                return False
            self._per_peer[call.peer] += 1
            self._until[call] = self._clock() + self._within_s
            return True

    def remove(self, call: Arrival) -> None:
        """It has come; or it was no longer waited for."""
        with self._lock:
            self._remove(call)

    def overdue(self) -> list[Arrival]:
        """Take out what has waited too long, and the oldest of what is too much."""
        if not self._until:
            return []
        with self._lock:
            now, excess = self._clock(), len(self._until) - self._max_in_all
            found: list[Arrival] = []
            for call, until in self._until.items():
                if until > now and len(found) >= excess:
                    break
                found.append(call)
            for call in found:
                self._remove(call)
            return found

    def _remove(self, call: Arrival) -> None:
        if self._until.pop(call, None) is None:
            return
        self._per_peer[call.peer] -= 1
        if not self._per_peer[call.peer]:
            del self._per_peer[call.peer]
