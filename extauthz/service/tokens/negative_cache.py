"""Tokens that were refused, remembered for a few seconds: a client that repeats a bad token costs little.

Kept apart from everything else that is remembered: tokens cost nothing to invent, and must not push good entries out.

A remembered refusal must never outlast what caused it. `LASTING` says of every reason whether it can:

* `ALWAYS`: the reason follows from nothing but the token's text and the policy (whose revision is part of the key), or
  from a date that has passed. No later moment makes such a token good.
* `WITH_KEYS`: another key set would change it. It counts while the very set that it was found with is held and no look
  for a newer one is due, which is exactly when the procedure would refuse again; and only where nobody else can vouch
  for the token meanwhile.
* `NEVER`: time, an issuer or an operator can end it, or it is none of a token's.
"""

from collections.abc import Callable, Hashable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from extauthz.pdp.decision.decision import Deny
from extauthz.pdp.policy import Issuer
from extauthz.pdp.reason import Reason
from extauthz.pdp.token.jwks import KeySet
from extauthz.service.cache.bounded_cache import ENTRY_BYTES, BoundedCache
from extauthz.service.keys.keyring import KeyRing

REFUSAL_TTL_S: Final = 5.0
"""Long enough for a client that repeats itself in a loop, short enough that nobody has to think of it."""


class Lasting(StrEnum):
    """How long a refusal can be relied upon."""

    ALWAYS = "always"
    WITH_KEYS = "with_keys"
    NEVER = "never"


LASTING: Final[Mapping[Reason, Lasting]] = MappingProxyType(
    {
        # The text of the token, and what the policy says of such tokens.
        Reason.TOKEN_MALFORMED: Lasting.ALWAYS,
        Reason.TOKEN_ALGORITHM: Lasting.ALWAYS,
        Reason.TOKEN_TYPE: Lasting.ALWAYS,
        Reason.TOKEN_ISSUER: Lasting.ALWAYS,
        Reason.TOKEN_ORGANIZATION: Lasting.ALWAYS,
        Reason.TOKEN_AUDIENCE: Lasting.ALWAYS,
        Reason.TOKEN_SUBJECT: Lasting.ALWAYS,
        # A date that has passed stays passed. (A clock that was set back is noticed: see `Refusals.get`.)
        Reason.TOKEN_EXPIRED: Lasting.ALWAYS,
        # A key may be replaced under its name, by the next look for keys or the next refresh.
        Reason.TOKEN_SIGNATURE: Lasting.WITH_KEYS,
        # A key may appear at any refresh; and finding that a key is unknown costs no signature check.
        Reason.TOKEN_KEY_UNKNOWN: Lasting.NEVER,
        # Ends by itself when the moment comes.
        Reason.TOKEN_NOT_YET_VALID: Lasting.NEVER,
        # An operator can undo a revocation, and an issuer can say something else a moment later.
        Reason.TOKEN_REVOKED: Lasting.NEVER,
        # Nothing was found out about the token.
        Reason.KEYS_UNAVAILABLE: Lasting.NEVER,
        Reason.INTROSPECTION_UNAVAILABLE: Lasting.NEVER,
        Reason.REVOCATIONS_UNAVAILABLE: Lasting.NEVER,
        Reason.DEADLINE_EXCEEDED: Lasting.NEVER,
        Reason.INTERNAL_ERROR: Lasting.NEVER,
        # About the request and not about its token.
        Reason.ALLOWED: Lasting.NEVER,
        Reason.PREFLIGHT: Lasting.NEVER,
        Reason.RESOURCE_UNKNOWN: Lasting.NEVER,
        Reason.HTTP_METHOD_REFUSED: Lasting.NEVER,
        Reason.ORIGIN_REFUSED: Lasting.NEVER,
        Reason.TOKEN_MISSING: Lasting.NEVER,
        Reason.CREDENTIALS_MALFORMED: Lasting.NEVER,
        Reason.BODY_MISSING: Lasting.NEVER,
        Reason.BODY_TRUNCATED: Lasting.NEVER,
        Reason.BODY_ENCODING: Lasting.NEVER,
        Reason.BODY_NOT_JSON: Lasting.NEVER,
        Reason.MESSAGE_INVALID: Lasting.NEVER,
        Reason.BATCH_REFUSED: Lasting.NEVER,
        Reason.KEY_AMBIGUOUS: Lasting.NEVER,
        Reason.HEADER_MISMATCH: Lasting.NEVER,
        # About caller and operation: the memory of decisions has these.
        Reason.METHOD_UNKNOWN: Lasting.NEVER,
        Reason.OPERATION_UNCOVERED: Lasting.NEVER,
        Reason.POLICY_DENIED: Lasting.NEVER,
        Reason.SCOPE_INSUFFICIENT: Lasting.NEVER,
        Reason.SESSION_UNKNOWN: Lasting.NEVER,
    }
)


class HeldKeys(NamedTuple):
    """The key set that was held of an issuer when a token was looked at."""

    issuer: Issuer
    keys: KeySet | None

    def still_decide(self, ring: KeyRing, now: float) -> bool:
        """Whether a look at the same token would go by this very set, and ask for no newer one."""
        keys, issuer = self.keys, self.issuer
        return keys is not None and ring.held(issuer, now) is keys and not ring.may_refetch(issuer, now)


class _Refusal(NamedTuple):
    deny: Deny
    at: float
    held: HeldKeys | None
    """For `WITH_KEYS`: what the refusal stands and falls with."""


class NegativeCache:
    """Refused tokens by policy revision, resource and digest. Thread-safe, bounded in entries and bytes."""

    __slots__ = ("_memory",)

    def __init__(self, max_entries: int, max_bytes: int, *, monotonic: Callable[[], float] | None = None) -> None:
        self._memory: BoundedCache[_Refusal] = BoundedCache(max_entries, max_bytes, monotonic=monotonic)

    def __len__(self) -> int:
        return len(self._memory)

    @property
    def size_bytes(self) -> int:
        """What the entries take."""
        return self._memory.size_bytes

    def get(self, key: Hashable, ring: KeyRing, now: float) -> Deny | None:
        """The refusal, where the token would be refused now as well."""
        refusal = self._memory.get(key, now)
        # A clock set back has taken us to before the refusal: what had passed may be still to come.
        if refusal is None or now < refusal.at:
            return None
        if refusal.held is not None and not refusal.held.still_decide(ring, now):
            return None
        return refusal.deny

    def put(self, key: Hashable, deny: Deny, now: float) -> None:
        """Remember a refusal if it is one that lasts whatever happens."""
        if LASTING[deny.reason] is Lasting.ALWAYS:
            self._put(key, _Refusal(deny, now, None))

    def put_with_keys(self, key: Hashable, deny: Deny, held: HeldKeys, ring: KeyRing, now: float) -> None:
        """Remember a refusal that lasts as long as `held`, taken before the token was looked at, still decides."""
        if LASTING[deny.reason] is Lasting.WITH_KEYS and held.still_decide(ring, now):
            self._put(key, _Refusal(deny, now, held))

    def _put(self, key: Hashable, refusal: _Refusal) -> None:
        size_bytes = ENTRY_BYTES + len(refusal.deny.detail)
        self._memory.put(key, refusal, refusal.at + REFUSAL_TTL_S, size_bytes, now=refusal.at)
