"""What the admin port shows of a service."""

from extauthz.adapters.telemetry.pipeline import Telemetry
from extauthz.bootstrap.service import Service
from extauthz.runtime.process_status import ProcessStatus


def process_status(service: Service, telemetry: Telemetry) -> ProcessStatus:
    """The parts of a service, as its admin port looks at them."""
    return ProcessStatus(
        policy=lambda: service.policy,
        policy_faults=lambda: service.reloader.last_faults,
        serving=lambda: service.server.health.serving,
        key_health=service.key_health,
        key_states=service.key_states,
        caches=service.caches,
        store=service.store,
        revocations=service.revocation.known,
        revocation_state=lambda: service.revocation.state,
        recent=telemetry.recent,
    )
