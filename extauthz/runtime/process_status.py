"""What the admin port shows: readiness, and the whole picture of the process."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from extauthz import __version__
from extauthz.adapters.admin.status import CacheState, Component, Status
from extauthz.adapters.redis.store import RedisStore
from extauthz.pdp.policy import Policy, WhenStale
from extauthz.runtime.key_health import KeyHealth
from extauthz.service.check.active_policy import MAX_BINDINGS, MAX_CALLERS, MAX_DECISIONS, MAX_REFUSALS, Caches
from extauthz.service.details import CheckDetails
from extauthz.service.ports import KeySetState
from extauthz.service.revocation.revocations import MAX_REVOCATIONS, Revocations


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStatus:
    """`adapters.admin.status.StatusSource` over the parts of a serving process."""

    policy: Callable[[], Policy]
    policy_faults: Callable[[], str]
    serving: Callable[[], bool]
    key_health: KeyHealth
    key_states: Callable[[], tuple[KeySetState, ...]]
    caches: Caches
    store: RedisStore | None
    revocations: Revocations
    revocation_state: Callable[[], str]
    """One sentence for the operator; empty when all is well."""
    recent: Callable[[], tuple[CheckDetails, ...]]
    """The latest decisions, the newest first."""
    started_at: float = field(default_factory=time.time)

    def components(self) -> tuple[Component, ...]:
        """What readiness depends on.

        A replica is ready once it has held keys of at least one issuer: a new one that cannot fetch any never takes the
        place of those that can. An issuer that fails later does not make the process unready: all replicas would be at
        once.
        """
        serving = self.serving()
        return (
            Component(
                name="service",
                ready=serving,
                detail="" if serving else "draining, or not started yet: ask another replica",
            ),
            Component(
                name="keys",
                ready=self.key_health.ready,
                detail=self.key_health.detail,
            ),
            self._revocations(),
        )

    def status(self) -> Status:
        """The whole picture."""
        policy = self.policy()
        return Status(
            version=__version__,
            started_at=self.started_at,
            policy_source=policy.source,
            policy_revision=policy.revision,
            policy_faults=self.policy_faults(),
            components=self.components(),
            key_sets=self.key_states(),
            caches=self._cache_states(),
            decisions=self.recent(),
        )

    def _revocations(self) -> Component:
        """Where nobody may be answered while revocations cannot be learnt, let others answer who can learn them."""
        refuses = self.policy().when_stale is WhenStale.DENY and self.revocations.stale(time.time())
        detail = f"every token is refused, since `when_stale` is deny: {self.revocation_state()}" if refuses else ""
        if not refuses and self.revocations.merged:
            # Nobody else could answer better: replicas agree on these.
            detail = f"more is refused than was asked for: {self.revocation_state()}"
        return Component(name="revocations", ready=not refuses, detail=detail)

    def _cache_states(self) -> tuple[CacheState, ...]:
        bounded, store = self.caches, self.store
        sizes = (
            ("token", bounded.callers, MAX_CALLERS),
            ("decision", bounded.decisions, MAX_DECISIONS),
            ("refused token", bounded.refusals, MAX_REFUSALS),
            ("session", bounded.bindings, MAX_BINDINGS),
        )
        caches = [
            CacheState(name=name, tier="memory", entries=len(memory), capacity=capacity)
            for name, memory, capacity in sizes
        ]
        caches.append(
            CacheState(
                name="revocation",
                tier="memory",
                entries=len(self.revocations),
                capacity=MAX_REVOCATIONS,
                detail=self.revocation_state(),
            )
        )
        if store is not None:
            caches.append(CacheState(name="shared", tier="redis", detail=store.trouble))
        return tuple(caches)
