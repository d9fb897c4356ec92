"""What a check works with: the policy in force, the keys, and what the process remembers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from extauthz.pdp.caller import Caller
from extauthz.pdp.decision import Deny, Permit
from extauthz.pdp.policy import Policy
from extauthz.pdp.resource_index import ResourceIndex
from extauthz.service.keyring import KeyRing
from extauthz.service.memory import Memory
from extauthz.service.sealed import Sealer

MAX_CALLERS: Final = 20_000
"""Verified tokens remembered by one process: about 2 KB each."""
MAX_DECISIONS: Final = 50_000
"""Decisions remembered by one process: about 0.5 KB each."""
MAX_BINDINGS: Final = 100_000
"""Session ids remembered by one process: about 0.2 KB each."""


@dataclass(frozen=True, slots=True)
class Live:
    """The policy in force and its index; replaced as one value on reload."""

    policy: Policy
    index: ResourceIndex

    @classmethod
    def of(cls, policy: Policy) -> "Live":
        """Index a policy."""
        return cls(policy, ResourceIndex.of(policy))


@dataclass(frozen=True, slots=True)
class Memories:
    """What checks remember in this process. Keys hold everything that the remembered value depends on."""

    callers: Memory[Caller]
    decisions: Memory[Permit | Deny]
    bindings: Memory[bytes]

    @classmethod
    def bounded(cls) -> "Memories":
        """Empty memories of the usual sizes."""
        return cls(Memory(MAX_CALLERS), Memory(MAX_DECISIONS), Memory(MAX_BINDINGS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Everything around a check that outlives it."""

    ring: KeyRing
    memories: Memories
    new_id: Callable[[], str]
    """Makes decision ids."""
    sealer: Sealer | None
    """With a sealer, decisions and session bindings are shared through the store."""
