"""What the admin port shows: readiness, and the whole picture of the process."""

import time

from extauthz import __version__
from extauthz.adapters.admin.status import CacheState, Component, Status
from extauthz.adapters.telemetry.pipeline import Telemetry
from extauthz.bootstrap.service import Service
from extauthz.pdp.policy import WhenStale
from extauthz.service.check.active_policy import MAX_BINDINGS, MAX_CALLERS, MAX_DECISIONS, MAX_REFUSALS
from extauthz.service.revocation.revocations import MAX_REVOCATIONS


class ServiceStatus:
    """`adapters.admin_status.StatusSource` over a service and its telemetry."""

    def __init__(self, service: Service, telemetry: Telemetry) -> None:
        self._service = service
        self._telemetry = telemetry
        self._started_at = time.time()

    def components(self) -> tuple[Component, ...]:
        """What readiness depends on.

        A replica is ready once it has held keys of at least one issuer: a new one that cannot fetch any never takes the
        place of those that can. An issuer that fails later does not make the process unready: all replicas would be at
        once.
        """
        service = self._service
        return (
            Component(
                name="service",
                ready=service.server.health.serving,
                detail="" if service.server.health.serving else "draining, or not started yet: ask another replica",
            ),
            Component(
                name="keys",
                ready=service.key_health.ready,
                detail=service.key_health.detail,
            ),
            self._revocations(),
        )

    def status(self) -> Status:
        """The whole picture."""
        service = self._service
        return Status(
            version=__version__,
            started_at=self._started_at,
            policy_source=service.policy.source,
            policy_revision=service.policy.revision,
            policy_faults=service.reloader.last_faults,
            components=self.components(),
            key_sets=service.key_states(),
            caches=self._caches(),
            decisions=self._telemetry.recent(),
        )

    def _revocations(self) -> Component:
        """Where nobody may be answered while revocations cannot be learnt, let others answer who can learn them."""
        service = self._service
        refuses = service.policy.when_stale is WhenStale.DENY and service.revocation.known.stale(time.time())
        detail = f"every token is refused, since `when_stale` is deny: {service.revocation.state}" if refuses else ""
        if not refuses and service.revocation.known.merged:
            # Nobody else could answer better: replicas agree on these.
            detail = f"more is refused than was asked for: {service.revocation.state}"
        return Component(name="revocations", ready=not refuses, detail=detail)

    def _caches(self) -> tuple[CacheState, ...]:
        bounded, store = self._service.caches, self._service.store
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
                entries=len(self._service.revocation.known),
                capacity=MAX_REVOCATIONS,
                detail=self._service.revocation.state,
            )
        )
        if store is not None:
            caches.append(CacheState(name="shared", tier="redis", detail=store.trouble))
        return tuple(caches)
