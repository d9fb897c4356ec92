"""What a decision can lack, and what it is resumed with.

The procedure (`service.procedure`) never waits: where something is not at hand it yields one of these values, and any
shell (threads, asyncio, a test with virtual time) obtains the answer and sends it back as `Resolved`.
"""

import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from extauthz.pdp.policy import Issuer
from extauthz.pdp.token.jwks import KeySet


class KeysCause(StrEnum):
    """Why keys are wanted."""

    NONE_HELD = "none_held"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedKeys:
    """The key set of an issuer, newer than the one held when `cause` is not `NONE_HELD`.

    Answered with a `KeySet` (possibly the one held, when no fetch is allowed yet or the fetch failed) or
    `KeysUnavailable`.
    """

    issuer: Issuer
    cause: KeysCause


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedStored:
    """A shared entry by its key. Answered with its bytes, None (nothing of ours is there), or `EntryUnavailable`."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedIntrospection:
    """The issuer's word on a token (RFC 7662). Answered with `Introspected`."""

    issuer: Issuer
    token: str = field(repr=False)
    caller: str = ""
    """Digest of issuer, organization and subject of the token, whose signature is good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedBinding:
    """Set `value` at `key` for `ttl_s` seconds unless something is there.

    Answered with what is stored there afterwards, or `EntryUnavailable`: only the store's own word tells whose a
    session is, so that not being able to ask is never "nobody's".
    """

    key: str
    value: bytes = field(repr=False)
    ttl_s: int


Need: TypeAlias = NeedKeys | NeedStored | NeedIntrospection | NeedBinding
"""What comes from outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedLock:
    """Another check of this process is finding out the same: wait until `ended` is set. Answered with None.

    A shell that cannot wait answers at once; the check then does the work itself.
    """

    ended: threading.Event = field(repr=False)


Awaited: TypeAlias = Need | NeedLock


@dataclass(frozen=True, slots=True)
class KeysUnavailable:
    """No usable key set can be had now. `detail` is for the operator."""

    detail: str


@dataclass(frozen=True, slots=True)
class EntryUnavailable:
    """What the shared store holds could not be found out: not asked, not answered in time, or an answer that is not
    ours. Never the same as "nothing there". `detail` is for the operator."""

    detail: str


class Introspected(StrEnum):
    """What introspection said. Anything that is not a clear yes or no is `UNAVAILABLE`."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    UNAVAILABLE = "unavailable"


Answer: TypeAlias = KeySet | KeysUnavailable | bytes | EntryUnavailable | Introspected | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The answer to a need, and the time (Unix seconds) at which the procedure goes on."""

    answer: Answer = field(repr=False)
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """An entry for the shared store, to be written after the answer was given. Losing it costs nothing but time."""

    key: str
    value: bytes = field(repr=False)
    ttl_s: int
