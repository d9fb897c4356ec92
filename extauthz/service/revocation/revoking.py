"""Revoking, as those see it who are told to: the admin endpoint, and the events of issuers."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from extauthz.pdp.revocation.revocation import Revocation

SPREAD_WITHIN_S: Final = 1.0
"""How long a call waits for Redis to take what it was told."""


class Spread(StrEnum):
    """How far what was told has come when the call returns. This process knows it in any case."""

    SHARED = "shared"
    """Redis has it: every replica that reaches Redis has it within a second."""
    PENDING = "pending"
    """Redis did not take it in time: it is offered again until Redis does, or the process ends."""
    ALONE = "alone"
    """There is no Redis: no other process learns of it."""


class RefusedCause(StrEnum):
    """Why something was not put in force."""

    INVALID = "invalid"
    """It is no revocation that can be made now."""
    UNKNOWN = "unknown"
    """No revocation in force has this id."""
    FULL = "full"
    """The process holds as many as it can."""
    MERGED = "merged"
    """It stands for several others, which are gone: taking it back would let tokens pass that each of them refused."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing of what was told is in force. `detail` says what is wrong and how to mend it."""

    cause: RefusedCause
    detail: str


class Revoker(Protocol):
    """Called from any thread but that of the I/O loop. Returns within `SPREAD_WITHIN_S`; never raises for Redis."""

    def revoke(self, items: Sequence[Revocation]) -> Spread | Refused:
        """Put items in force: all of them or none, here at once, and everywhere as `Spread` says.

        An item with an id that is known already is known already: it changes nothing.
        """
        ...

    def undo(self, revocation_id: str, source: str) -> Spread | Refused:
        """Take one item back, for good; `source` is who says so."""
        ...

    def listed(self) -> tuple[Revocation, ...]:
        """What is in force: neither ended nor taken back."""
        ...
