"""Whether the keys of issuers can be fetched: one line when that begins to fail, one when it has recovered.

Also the readiness that rests on it (product contract: a process is ready once it has held keys of at least one issuer,
and stays ready). An issuer that fails later makes no replica unready: all would be at once.
"""

import logging
from collections.abc import Iterable

from extauthz.service.ports import KeySetState

_log = logging.getLogger("extauthz.keys")


class KeyHealth:
    """Told of the key sets about once a second. One thread writes, any may read."""

    def __init__(self) -> None:
        self._failing: dict[str, str] = {}
        self._held = False

    @property
    def ready(self) -> bool:
        """Whether keys of at least one issuer have been held since the start."""
        return self._held

    @property
    def detail(self) -> str:
        """Why it is not ready, for operators; empty when it is."""
        if self._held:
            return ""
        faults = "; ".join(f"{issuer}: {fault}" for issuer, fault in sorted(self._failing.items()))
        return faults or "key sets are being fetched for the first time: wait"

    def look(self, states: Iterable[KeySetState]) -> None:
        """Follow how key sets stand now."""
        known: set[str] = set()
        for state in states:
            known.add(state.issuer)
            self._held = self._held or state.keys > 0
            if state.last_fault and state.issuer not in self._failing:
                held = "the keys held are used meanwhile" if state.keys else "its tokens are refused (503) until then"
                _log.error("keys of issuer %s cannot be fetched: %s; %s", state.issuer, state.last_fault, held)
            if state.last_fault:
                self._failing[state.issuer] = state.last_fault
            elif self._failing.pop(state.issuer, ""):
                _log.warning("keys of issuer %s can be fetched again: %d keys", state.issuer, state.keys)
        for issuer in self._failing.keys() - known:
            del self._failing[issuer]
