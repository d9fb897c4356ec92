"""What the admin port shows of the process: plain values, and the protocol of whoever supplies them."""

from dataclasses import dataclass
from typing import Protocol

from extauthz.service.details import CheckDetails
from extauthz.service.ports import KeySetState


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One thing that the process needs before it is ready. `detail` says why it is not, and how to mend it."""

    name: str
    ready: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheState:
    """One cache, in numbers. `detail` is a sentence about its health, empty when there is nothing to say."""

    name: str
    tier: str
    entries: int | None = None
    """None where nobody counts them."""
    capacity: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything on the status page. Times are Unix seconds."""

    version: str
    started_at: float
    policy_source: str
    policy_revision: str
    policy_faults: str = ""
    """Why the policy file on disk is not the policy in force; empty when it is."""
    components: tuple[Component, ...] = ()
    key_sets: tuple[KeySetState, ...] = ()
    caches: tuple[CacheState, ...] = ()
    decisions: tuple[CheckDetails, ...] = ()
    """The newest first."""


class StatusSource(Protocol):
    """Asked by requests to the admin port, in their threads. Never blocks for longer than a lookup in memory."""

    def components(self) -> tuple[Component, ...]:
        """What readiness depends on. The process is ready when each of them is; none at all is not ready."""
        ...

    def status(self) -> Status:
        """The whole picture."""
        ...
