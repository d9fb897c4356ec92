"""What becomes of events, in the log of the process: never whom they mean, and seldom the same thing over and over."""

import logging
from collections.abc import Callable
from typing import Final

from extauthz.service.revocation.events import EventKind, NotTakenCause
from extauthz.service.revocation.revoking import Spread

SAY_AGAIN_S: Final = 10.0
"""At most so often is a refusal of one kind told, whatever is sent."""

_log = logging.getLogger("extauthz.revocation")


class LoggedEvents:
    """`service.events.EventLog`. `clock` gives seconds that only go forward."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._said: dict[tuple[EventKind, NotTakenCause], float] = {}

    def taken(self, kind: EventKind, issuer: str, revoked: int, spread: Spread) -> None:
        """Something follows from an event of this issuer."""
        _log.info("%s of issuer %s: %d revoked (%s)", kind, issuer, revoked, spread)

    def ignored(self, kind: EventKind, issuer: str, detail: str) -> None:
        """Nothing follows from an event, and why."""
        _log.info("%s of issuer %s: %s", kind, issuer, detail)

    def not_taken(self, kind: EventKind, cause: NotTakenCause, detail: str) -> None:
        """What was sent is not believed, or cannot be kept."""
        now = self._clock()
        if now - self._said.get((kind, cause), -SAY_AGAIN_S) >= SAY_AGAIN_S:
            self._said[kind, cause] = now
            _log.warning("an event %s was not taken (%s): %s", kind, cause, detail)
