"""What a check works with: the policy in force, the keys, and what the process remembers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from extauthz.pdp.answer.caller import Caller
from extauthz.pdp.decision.decision import Deny, Permit
from extauthz.pdp.decision.resource_index import ResourceIndex
from extauthz.pdp.policy import Policy
from extauthz.service.cache.bounded_cache import BoundedCache
from extauthz.service.cache.keyed_lock import KeyedLock
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.check.decisions import DecisionLookup
from extauthz.service.keys.keyring import KeyRing
from extauthz.service.revocation.revocations import Revocations
from extauthz.service.sessions.bindings import Bindings
from extauthz.service.sessions.lookups import Lookups
from extauthz.service.tokens.lookup import TokenLookup
from extauthz.service.tokens.negative_cache import NegativeCache

MAX_CALLERS: Final = 20_000
MAX_CALLERS_BYTES: Final = 40 * 1024 * 1024
"""Verified tokens remembered by one process: some 2 KB each, more with many roles and groups."""
MAX_DECISIONS: Final = 50_000
MAX_DECISIONS_BYTES: Final = 40 * 1024 * 1024
"""Decisions remembered by one process: some 0.6 KB each, more with many targets."""
MAX_BINDINGS: Final = 100_000
MAX_BINDINGS_BYTES: Final = 50 * 1024 * 1024
"""Session ids remembered by one process: 0.5 KB each."""
MAX_BINDINGS_OF_ONE: Final = 10_000
"""Of one user (issuer, subject): ten of them could fill the memory, one cannot."""
MAX_REFUSALS: Final = 10_000
MAX_REFUSALS_BYTES: Final = 8 * 1024 * 1024
"""Refused tokens remembered by one process: some 0.6 KB each, for seconds."""
EARLY: Final = 0.1
"""What is remembered is forgotten at a random moment in the last tenth of its life, never later: processes that learnt
of a token at the same moment must not all look for it again at the same moment."""


@dataclass(frozen=True, slots=True)
class ActivePolicy:
    """The policy in force and its index; replaced as one value on reload."""

    policy: Policy
    index: ResourceIndex

    @classmethod
    def of(cls, policy: Policy) -> "ActivePolicy":
        """Index a policy."""
        return cls(policy, ResourceIndex.of(policy))


@dataclass(frozen=True, slots=True)
class Caches:
    """What checks remember in this process. Keys hold everything that the remembered value depends on."""

    callers: BoundedCache[Caller]
    decisions: BoundedCache[Permit | Deny]
    bindings: Bindings
    refusals: NegativeCache

    @classmethod
    def bounded(cls, monotonic: Callable[[], float] | None = None) -> "Caches":
        """Empty caches of the usual sizes. `monotonic` gives seconds that nobody sets: a process that serves has it."""
        return cls(
            BoundedCache(MAX_CALLERS, MAX_CALLERS_BYTES, monotonic=monotonic),
            BoundedCache(MAX_DECISIONS, MAX_DECISIONS_BYTES, monotonic=monotonic),
            Bindings(MAX_BINDINGS, MAX_BINDINGS_BYTES, MAX_BINDINGS_OF_ONE, monotonic=monotonic),
            NegativeCache(MAX_REFUSALS, MAX_REFUSALS_BYTES, monotonic=monotonic),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedState:
    """Everything around a check that outlives it."""

    ring: KeyRing
    caches: Caches
    new_id: Callable[[], str]
    """Makes decision ids."""
    signer: Signer | None
    """With a signer, decisions and session bindings are shared through the store."""
    random: Callable[[], float]
    """Numbers in [0, 1) that no other process repeats."""
    locks: KeyedLock = field(default_factory=KeyedLock)
    session_lookups: Lookups = field(default_factory=Lookups)
    revocations: Revocations = field(default_factory=Revocations)

    @property
    def tokens(self) -> TokenLookup:
        """What finds out about tokens that are not cached as accepted."""
        caches = self.caches
        return TokenLookup(self.ring, caches.callers, caches.refusals, self.locks, self.signer, self.soon)

    @property
    def decisions(self) -> DecisionLookup:
        """What finds decisions that are not cached."""
        return DecisionLookup(self.caches.decisions, self.locks, self.signer, self.soon)

    def soon(self, until: float, now: float) -> float:
        """When to forget what may be remembered until then: at a moment of this process's own, a little earlier."""
        return now + (until - now) * (1 - EARLY * self.random())
