"""The key sets that this process holds, and when each may or must be fetched again. No I/O, no clock.

Rules, in the order in which they matter:

1. A set belongs to an issuer *and* the URL it came from, never to a `kid` alone: no issuer's key can check another's
   token (CVE-2026-49998).
2. Only a proper, non-empty set replaces a set. A failed fetch, an error body, a web page or an empty set changes
   nothing (casdoor.md §4). A proper set with fewer keys does replace it: that is how keys are withdrawn.
3. A set that cannot be refreshed counts up to `jwks_max_stale_s` after it was fetched, then no more. There is no
   built-in key (CVE-2026-31837).
4. Tokens can cause at most one refetch per issuer per `REFETCH_INTERVAL_S`, whatever they say and whether it succeeds.
5. Refreshing happens ahead of expiry, at a moment that differs between processes.

Threads may read while another writes: what is held is one immutable value per issuer, replaced as a whole.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from extauthz.pdp.policy import CacheTerms, Issuer
from extauthz.pdp.token.jwks import KeySet
from extauthz.service.ports import KeySetState

REFETCH_INTERVAL_S: Final = 30.0
"""Least time between two fetches that tokens caused."""
REFRESH_EARLY: Final = 0.2
"""A set is refreshed in the last fifth of its life, at a random moment, so that replicas do not all come at once."""
FIRST_RETRY_S: Final = 1.0
MAX_RETRY_S: Final = 30.0
"""Failed fetches are repeated after 1 s, 2 s, 4 s … up to this: how long an issuer may be back before we notice."""
CLOCK_STEP_S: Final = 60.0
"""A set fetched more than this far in the future means that the clock was set back: fetch anew."""

RingKey: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One issuer's key set as this process knows it, and its timetable (all times in Unix seconds)."""

    key_set: KeySet | None = None
    fetched_at: float = 0.0
    """When the fetch of `key_set` began: it says nothing about keys changed later."""
    refresh_at: float = 0.0
    refetch_at: float = 0.0
    """Before this, tokens cause no fetch."""
    retry_at: float = 0.0
    """Before this, nothing causes a fetch: the last one failed."""
    failures: int = 0
    last_fault: str = ""


_NOTHING: Final = Held()


def ring_key(issuer: Issuer) -> RingKey:
    """What a key set is filed under."""
    return (issuer.issuer, issuer.jwks_uri)


class KeyRing:
    """Key sets by issuer. `random` gives numbers in [0, 1)."""

    def __init__(self, issuers: Iterable[Issuer], terms: CacheTerms, random: Callable[[], float]) -> None:
        self._random = random
        self._lock = threading.Lock()
        self._held: dict[RingKey, Held] = {}
        self._issuers: tuple[Issuer, ...] = tuple(issuers)
        self._terms = terms

    @property
    def issuers(self) -> tuple[Issuer, ...]:
        """The issuers of the policy in force."""
        return self._issuers

    @property
    def terms(self) -> CacheTerms:
        """How long key sets count."""
        return self._terms

    def retain(self, issuers: Iterable[Issuer], terms: CacheTerms) -> None:
        """Follow a new policy: forget the sets of issuers that are gone, keep the others."""
        with self._lock:
            self._issuers, self._terms = tuple(issuers), terms
            wanted = {ring_key(issuer) for issuer in self._issuers}
            self._held = {key: held for key, held in self._held.items() if key in wanted}

    def held(self, issuer: Issuer, now: float) -> KeySet | None:
        """The set to check tokens with; None when there is none or it is older than the stale ceiling."""
        held = self._held.get((issuer.issuer, issuer.jwks_uri), _NOTHING)  # guard: keys-of-the-issuer
        if held.key_set is None or now - held.fetched_at > self._terms.jwks_max_stale_s:  # guard: stale-ceiling
            return None
        return held.key_set

    def entry(self, issuer: Issuer) -> Held:
        """Everything known of the issuer's set."""
        return self._held.get(ring_key(issuer), _NOTHING)

    def may_refetch(self, issuer: Issuer, now: float) -> bool:
        """Whether an unknown `kid` or a bad signature may cause a fetch now."""
        return not _ahead(self.entry(issuer).refetch_at, now, REFETCH_INTERVAL_S)

    def may_fetch(self, issuer: Issuer, now: float) -> bool:
        """Whether a fetch is worth trying: false for a while after one failed."""
        return not _ahead(self.entry(issuer).retry_at, now, MAX_RETRY_S)

    def due(self, issuer: Issuer, now: float) -> bool:
        """Whether the set wants refreshing (or a first fetch), and one may be tried."""
        held = self.entry(issuer)
        wanted = held.key_set is None or now >= held.refresh_at or held.fetched_at > now + CLOCK_STEP_S
        return wanted and self.may_fetch(issuer, now)

    def fresh(self, fetched_at: float, now: float) -> bool:
        """Whether a set fetched then, by whichever process, can stand in for a fetch of our own."""
        return -CLOCK_STEP_S <= now - fetched_at < self._terms.jwks_ttl_s

    def adopt(self, issuer: Issuer, key_set: KeySet, fetched_at: float) -> None:
        """Hold this set from now on. The caller has seen to it that it is a proper one."""
        life_s = self._terms.jwks_ttl_s * (1 - REFRESH_EARLY * self._random())
        self._change(
            issuer,
            lambda held: Held(
                key_set=key_set,
                fetched_at=fetched_at,
                refresh_at=fetched_at + life_s,
                refetch_at=held.refetch_at,
            ),
        )

    def failed(self, issuer: Issuer, now: float, detail: str) -> None:
        """Note that a fetch failed: what is held stays, the next try waits."""
        spread = 1 - self._random() / 2
        self._change(
            issuer,
            lambda held: replace(
                held,
                failures=held.failures + 1,
                # guard: retry-later - an issuer that fails is asked less and less often
                retry_at=now + min(MAX_RETRY_S, FIRST_RETRY_S * 2.0 ** min(held.failures, 10)) * spread,
                last_fault=detail,
            ),
        )

    def hold_off(self, issuer: Issuer, until: float) -> None:
        """Let tokens cause no fetch before `until`."""
        self._change(issuer, lambda held: replace(held, refetch_at=until))

    def states(self, now: float) -> tuple[KeySetState, ...]:
        """One line per issuer of the policy, for metrics and the status page."""
        return tuple(self._state(issuer, now) for issuer in self._issuers)

    def _state(self, issuer: Issuer, now: float) -> KeySetState:
        held = self.entry(issuer)
        return KeySetState(
            issuer=issuer.name,
            age_s=None if held.key_set is None else max(0.0, now - held.fetched_at),
            keys=0 if held.key_set is None else len(held.key_set.keys),
            last_fault=held.last_fault,
        )

    def _change(self, issuer: Issuer, change: Callable[[Held], Held]) -> None:
        key = ring_key(issuer)
        with self._lock:
            self._held[key] = change(self._held.get(key, _NOTHING))


def _ahead(moment: float, now: float, longest_s: float) -> bool:
    """Whether `moment` is still to come. Much further off than it was ever set means that the clock was set back."""
    return 0 < moment - now <= 2 * longest_s
