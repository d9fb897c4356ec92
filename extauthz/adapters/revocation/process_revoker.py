"""`service.revoking.Revoker` of one serving process."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from extauthz.adapters.revocation.channel import RevocationChannel
from extauthz.pdp.revocation.revocation import MERGED_SOURCE, Revocation, fault_in, undo_of
from extauthz.service.revocation.revocations import MAX_REVOCATIONS, Revocations
from extauthz.service.revocation.revoking import Refused, RefusedCause, Spread

MAX_LOGGED: Final = 20
"""Items of one order that have a line each: a notification of Casdoor can hold thousands."""

_FULL: Final = Refused(
    RefusedCause.FULL,
    f"this process holds {MAX_REVOCATIONS} revocations, as many as it can: revoke by client or organization instead of "
    "one by one, or wait until some have ended",
)

_log = logging.getLogger("extauthz.revocation")


class ProcessRevoker:
    """Without a channel no other process learns of anything. `clock` gives Unix seconds, `new_id` random ids."""

    def __init__(
        self,
        revocations: Revocations,
        channel: RevocationChannel | None,
        *,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._revocations = revocations
        self._channel = channel
        self._clock = clock
        self._new_id = new_id

    def revoke(self, items: Sequence[Revocation]) -> Spread | Refused:
        """Put items in force: all or none."""
        now = self._clock()
        for item in items:
            fault = fault_in(item, now)
            if fault is not None:
                return Refused(RefusedCause.INVALID, fault.detail)
        merged = self._revocations.merged
        if not self._revocations.add(items, now):
            return _FULL
        if self._revocations.merged > merged:
            _log.warning(
                "too many revocations of one subject, source or in all: %d items stand for several others now, and "
                "refuse more than these did; see docs/howto/revoke.md",
                self._revocations.merged,
            )
        spread = self._spread(items)
        for item in items[:MAX_LOGGED]:
            what = f"taken back (revocation {item.undoes})" if item.undoes else f"in force until {item.until}"
            # Whom it means is personal: `extauthz revoke --list` tells those who may know.
            _log.info("revocation %s by %s from %s: %s; %s", item.id, item.by, item.source, what, spread)
        if len(items) > MAX_LOGGED:
            _log.info("and %d more revocations from %s; %s", len(items) - MAX_LOGGED, items[0].source, spread)
        return spread

    def undo(self, revocation_id: str, source: str) -> Spread | Refused:
        """Take one item back, for good."""
        for item in self.listed():
            if item.id == revocation_id and item.source == MERGED_SOURCE:
                return Refused(
                    RefusedCause.MERGED,
                    "this revocation stands for several others, which it has replaced, and cannot be taken back: "
                    "tokens issued after its `before` pass, so let the users sign in again",
                )
            if item.id == revocation_id:
                return self.revoke([undo_of(item, id=self._new_id(), source=source)])
        return Refused(
            RefusedCause.UNKNOWN,
            "no revocation in force has this id: see those that are with `extauthz revoke --list`",
        )

    def listed(self) -> tuple[Revocation, ...]:
        """What is in force."""
        return self._revocations.in_force(self._clock())

    def _spread(self, items: Sequence[Revocation]) -> Spread:
        if self._channel is None:
            return Spread.ALONE
        return Spread.SHARED if self._channel.share(items) else Spread.PENDING
