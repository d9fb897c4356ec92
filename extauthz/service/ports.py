"""What the service wants from outside. Each port states its failure contract; adapters keep it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from extauthz.pdp.policy import Issuer
from extauthz.service.details import CheckDetails
from extauthz.service.needs import Introspected


class StoreUnavailable(Exception):
    """The shared store did not answer in time, or answered with an error. Never an authority: treat it as a miss."""


class Store(Protocol):
    """A shared key-value store with an end of life on every entry. Any call may raise `StoreUnavailable`."""

    async def get(self, key: str) -> bytes | None:
        """The entry, or None."""
        ...

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Write the entry for `ttl_s` seconds."""
        ...

    async def put_if_absent(self, key: str, value: bytes, ttl_s: float) -> bytes:
        """Write the entry unless one is there; return what stands there afterwards."""
        ...

    async def delete_if_equal(self, key: str, value: bytes) -> None:
        """Remove the entry if it still is `value` (giving back a lease)."""
        ...


class KeySetUnavailable(Exception):
    """The key set could not be fetched or is not a key set; the message says why, without secrets."""


class KeySetFetcher(Protocol):
    """Fetches key sets over HTTP, bounded in bytes, time and redirects, without credentials."""

    async def fetch(self, issuer: Issuer) -> bytes:
        """The document as it came. Raises `KeySetUnavailable`."""
        ...


class Introspector(Protocol):
    """Asks an issuer about a token (RFC 7662). Never raises for failures of the issuer: says UNAVAILABLE."""

    async def introspect(self, issuer: Issuer, token: str, caller: str) -> Introspected:
        """The issuer's word. `caller` stands for whom the token speaks for, so that failures can be told apart."""
        ...


class Tier(StrEnum):
    """Where something was looked up."""

    MEMORY = "memory"
    REDIS = "redis"


class CacheKind(StrEnum):
    """What was looked up."""

    DECISION = "decision"
    TOKEN = "token"  # noqa: S105 - a kind of cache entry, not a secret
    JWKS = "jwks"
    SESSION = "session"
    REVOCATION = "revocation"


class CacheResult(StrEnum):
    """How a look-up went. `INVALID`: an entry was there but its signature, age or form was wrong (a miss)."""

    HIT = "hit"
    MISS = "miss"
    INVALID = "invalid"
    UNAVAILABLE = "unavailable"


class FetchResult(StrEnum):
    """How a fetch of a key set went."""

    OK = "ok"
    SHARED = "shared"
    """Another process had fetched it."""
    FAILED = "failed"


class ReloadResult(StrEnum):
    """How a reload of the policy file went."""

    OK = "ok"
    UNCHANGED = "unchanged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySetState:
    """How the keys of one issuer stand, for metrics and the status page."""

    issuer: str
    """Name in the policy file."""
    age_s: float | None
    """Seconds since the held set was fetched; None when none is held."""
    keys: int
    last_fault: str


class Observer(Protocol):
    """Told what happened; never raises, never blocks, costs microseconds."""

    def checked(self, details: CheckDetails) -> None:
        """One decision was made."""
        ...

    def looked_up(self, tier: Tier, kind: CacheKind, result: CacheResult) -> None:
        """One cache was asked."""
        ...

    def fetched(self, issuer: str, result: FetchResult) -> None:
        """One key set was fetched, or not."""
        ...

    def reloaded(self, result: ReloadResult) -> None:
        """The policy file was read again."""
        ...
