"""A circuit breaker for an endpoint whose answers depend on who is asked about.

A caller chooses what tokens look like, and with them what the endpoint makes of them: an answer of 64 KB, a redirect,
a 502, a long silence. Such a failure says something about the endpoint only when callers who have nothing to do with
each other meet it. So each caller has a breaker of their own, and counts once for the breaker of all. That nobody can
be reached (no connection, a certificate, no discovery document) is nobody's token, and counts for all at once.

Whoever has five accounts can still open the breaker of all, for `open_s` and until one of the others is answered.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from extauthz.adapters.breaker import Breaker

MAX_CALLERS: Final = 1_024
"""Callers who met failures, 0.5 KB each; of more the longest ago is forgotten, and would count again."""
COUNTED_FOR_S: Final = 600.0
"""How long a caller's failures count once for all."""


@dataclass(slots=True)
class _Caller:
    breaker: Breaker
    counted_until: float


class CallerBreaker:
    """Asked before each attempt (`allows`), and told how it went. `clock` gives monotonic seconds. One event loop."""

    def __init__(self, *, open_s: float, clock: Callable[[], float]) -> None:
        self._open_s = open_s
        self._clock = clock
        self._all = Breaker(open_s=open_s, clock=clock)
        self._callers: OrderedDict[str, _Caller] = OrderedDict()

    def __len__(self) -> int:
        return len(self._callers)

    @property
    def is_open(self) -> bool:
        """Whether the endpoint is believed to be down, for everybody."""
        return self._all.is_open

    def allows(self, caller: str) -> bool:
        """Whether to ask about a token of this caller now."""
        known = self._callers.get(caller)
        return (known is None or known.breaker.allows()) and self._all.allows()

    def answered(self, caller: str) -> None:
        """The endpoint answered about this caller's token."""
        self._all.succeeded()
        known = self._callers.get(caller)
        if known is not None:
            known.breaker.succeeded()

    def unreachable(self) -> None:
        """The endpoint could not be asked at all."""
        self._all.failed()

    def stumbled(self, caller: str) -> None:
        """The endpoint was asked, and what came back is no answer."""
        now = self._clock()
        known = self._callers.get(caller)
        if known is None:
            known = self._callers[caller] = _Caller(Breaker(open_s=self._open_s, clock=self._clock), now)
            if len(self._callers) > MAX_CALLERS:
                self._callers.popitem(last=False)
        self._callers.move_to_end(caller)
        known.breaker.failed()
        if now >= known.counted_until:
            known.counted_until = now + COUNTED_FOR_S
            self._all.failed()
        else:
            # Says nothing new, also not as the probe of a breaker that is open: the next caller may be it.
            self._all.probe_said_nothing()
