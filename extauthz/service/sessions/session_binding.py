"""A session id belongs to the principal first seen with it (MCP security best practices, Session Hijacking).

Initialize-based servers hand out `Mcp-Session-Id`; behind a proxy that strips tokens they cannot tell whose it is, so
we do. A binding

* begins when a principal that may do what it asks for comes with an id that nobody has (`since`);
* lives for `TTL_S` after its owner's last use, in memory and in the shared store;
* is *ended* by its owner's DELETE, and stands as such for `TTL_S`: whatever is not a DELETE of the owner is refused,
  also to the owner. A server may refuse the DELETE and keep its session, which must not become free for whoever has
  the id.

This process's memory answers, and `CONFIRM_S` after it last looked the store is asked again: one round trip, which
also puts there what a flush has taken away, and learns what ended elsewhere. Where the store cannot tell, memory
decides. Where two processes bound an id to different principals, the store being away, the earlier binding counts.

Of a session id only a digest is kept, and in the store neither id nor owner but under its secret (`service.sealed`).
"""

import math
import struct
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from extauthz.pdp.operation import MessageKind, Operation
from extauthz.pdp.policy import Resource
from extauthz.pdp.principal import Principal
from extauthz.service.cache.bounded_cache import ENTRY_BYTES, BoundedCache
from extauthz.service.cache.signed_entry import Signer, framed_digest
from extauthz.service.needs import Need, NeedBinding, NeedStored, Resolved, Write
from extauthz.service.tokens.authentication import Moment

KIND: Final = "binding"
TTL_S: Final = 86_400
"""A day after the last use: longer than servers keep a session that nobody uses."""
CONFIRM_S: Final = 30.0
"""How long memory answers for itself: what ends on one replica is ended on all within this time."""
RENEW_S: Final = 3_600
"""An entry in the store that would end this much earlier than the binding is written again: one write an hour."""

_PROLONG_S: Final = TTL_S - CONFIRM_S
"""A binding that has no more than this to live is prolonged by its owner's use."""
_PAYLOAD: Final = struct.Struct(">?dd32s")


@dataclass(frozen=True, slots=True)
class SessionUse:
    """One principal using one session id at one resource."""

    session: tuple[str, str] = field(repr=False)
    """Resource name and session id."""
    owner: tuple[str, str, str] = field(repr=False)
    """Issuer, subject and client: who must be the same for as long as the session lives."""
    ends: bool
    """Whether this use is the DELETE that ends the session."""

    @classmethod
    def of(cls, resource: Resource, operation: Operation, principal: Principal) -> "SessionUse | None":
        """The use that an operation makes of a session; None where nothing has to be bound.

        The era that a request claims does not matter: the Go SDK 1.8.0 opens the stream of a session, and ends it, also
        for a GET or DELETE that names 2026-07-28, and the Python SDK 1.x takes such an `initialize` into the session.
        """
        if not resource.session_binding or not operation.session_id:
            return None
        return cls(
            (resource.name, operation.session_id),
            (principal.issuer, principal.subject, principal.client_id),
            operation.kind is MessageKind.END,
        )


@dataclass(frozen=True, slots=True)
class Binding:
    """Whose a session is. Times are Unix seconds."""

    owner: bytes = field(repr=False)
    """The owner's name in the store; empty without one."""
    ended: bool
    since: float
    """When it was bound."""
    until: float
    """When it ends by itself."""
    confirm_at: float = 0.0
    """From then on the store is asked again."""
    local: tuple[str, str, str] | None = field(default=None, repr=False)
    """The owner, where this process has seen it; None where only the store has named it."""
    key: str = ""
    """The store's key; empty without a store."""

    def is_of(self, use: SessionUse, signer: Signer | None) -> bool:
        """Whether the user is the owner."""
        if self.local is not None:
            return self.local == use.owner
        return signer is not None and self.owner in signer.pseudonyms("owner", *use.owner)

    def payload(self) -> bytes:
        """The binding as it stands in the store, before it is sealed."""
        return _PAYLOAD.pack(self.ended, self.since, self.until, self.owner)

    @classmethod
    def opened(cls, signer: Signer, key: str, blob: object) -> "Binding | None":
        """The binding that stands in the store; None for what is none of ours.

        The store ends entries by its own clock. Whether ours says that one has ended decides nothing: it may have been
        set ahead, and the session must not go to whoever comes next.
        """
        payload = signer.open(KIND, key, blob, -math.inf) if isinstance(blob, bytes) else None
        if payload is None or len(payload) != _PAYLOAD.size:
            return None
        ended, since, until, owner = _PAYLOAD.unpack(payload)
        return cls(owner, ended, since, until, key=key)

    def write(self, signer: Signer, now: float) -> Write:
        """What puts the binding into the store."""
        return Write(key=self.key, value=self.sealed(signer), ttl_s=max(1, int(self.until - now)))

    def sealed(self, signer: Signer) -> bytes:
        """The store's entry."""
        return signer.sign(KIND, self.key, self.payload(), int(self.until))

    def outdates(self, standing: "Binding") -> bool:
        """Whether what stands in the store has to be replaced by this."""
        differs = (standing.owner, standing.ended) != (self.owner, self.ended)
        return differs or standing.until < self.until - RENEW_S

    def joined(self, other: "Binding", *, one_owner: bool) -> "Binding":
        """What counts where a process knows this binding and finds the other one in the store."""
        if one_owner:
            return replace(
                self,
                ended=self.ended or other.ended,
                since=min(self.since, other.since),
                until=max(self.until, other.until),
            )
        earlier = min(self, other, key=lambda each: (each.since, each.owner))
        return replace(earlier, key=self.key)


class SessionRuling(NamedTuple):
    """Whether the use is the owner's (`fault` is empty), else why not, for the operator; and what to tell the store."""

    fault: str
    writes: tuple[Write, ...] = ()


_OWNED: Final = SessionRuling("")
_FOREIGN: Final = SessionRuling("the session belongs to another principal")
_ENDED: Final = SessionRuling("the session was ended by its owner's DELETE")


def use_session(
    use: SessionUse, bindings: BoundedCache[Binding], signer: Signer | None, moment: Moment
) -> Generator[Need, Resolved, SessionRuling]:
    """Rule on one use; the first to come with an id becomes its owner."""
    name = framed_digest(*use.session)
    known = bindings.get(name, moment.now)
    # Further off than it was ever set: the clock was set back.
    if known is not None and moment.now < known.confirm_at <= moment.now + CONFIRM_S:
        ruling = _ruling(known, use, signer)
        # The attempts of others ask the store as well, and must not keep the owner's use from prolonging the session.
        if ruling.fault or known.ended or (not use.ends and moment.now < known.until - _PROLONG_S):
            return ruling
    seen = known
    writes: tuple[Write, ...] = ()
    if signer is None:
        binding = known or Binding(b"", ended=False, since=moment.now, until=moment.now + TTL_S)
        owned = known is None or known.local == use.owner
    else:
        binding, writes = yield from _confirmed(use, known, signer, moment)
        owned = binding.is_of(use, signer)
    now = moment.now
    if owned:
        binding = replace(binding, local=use.owner)
    if owned and not binding.ended:
        binding = replace(binding, ended=use.ends, until=now + TTL_S)
        if use.ends and signer is not None:
            writes = (binding.write(signer, now),)
    binding = replace(binding, confirm_at=now + CONFIRM_S)
    if owned and binding.ended:
        # Whatever another check has found meanwhile: ended is ended.
        bindings.put(name, binding, binding.until, ENTRY_BYTES, now=now)
    elif not bindings.put_if_same(name, seen, binding, until=binding.until, now=now, size_bytes=ENTRY_BYTES):
        # Another check was quicker: what it found counts, which may be that the session has ended or is another's.
        binding = bindings.get(name, now) or binding
    return _ruling(binding, use, signer)._replace(writes=writes)


def _store_key(pseudonym: bytes) -> str:
    return f"{KIND}:{pseudonym.hex()}"


def _ruling(binding: Binding, use: SessionUse, signer: Signer | None) -> SessionRuling:
    if not binding.is_of(use, signer):
        return _FOREIGN
    return _ENDED if binding.ended and not use.ends else _OWNED


def _confirmed(
    use: SessionUse, known: Binding | None, signer: Signer, moment: Moment
) -> Generator[Need, Resolved, tuple[Binding, tuple[Write, ...]]]:
    """The binding by memory and store together, and what the store has to be told."""
    key, *other_keys = map(_store_key, signer.pseudonyms("session", *use.session))
    names = signer.pseudonyms("owner", *use.owner)
    for other_key in other_keys:
        # While secrets are being rotated, processes whose first secret is another one keep the session under its name.
        resolved = yield NeedStored(key=other_key)
        moment.resumed(resolved)
        elsewhere = Binding.opened(signer, other_key, resolved.answer)
        if elsewhere is not None:
            elsewhere = replace(elsewhere, key=key)
            one_owner = known is not None and _one_owner(known, elsewhere, names)
            known = elsewhere if known is None else known.joined(elsewhere, one_owner=one_owner)
    mine = known or Binding(names[0], ended=False, since=moment.now, until=moment.now + TTL_S, key=key)
    if mine.owner in names and not mine.ended:
        # Also under the first secret's name, now that it can be told: the other secret will be dropped.
        mine = replace(mine, owner=names[0], until=moment.now + TTL_S)
    ttl_s = max(1, int(mine.until - moment.now))
    resolved = yield NeedBinding(key=key, value=mine.sealed(signer), ttl_s=ttl_s)
    moment.resumed(resolved)
    standing = Binding.opened(signer, key, resolved.answer)
    if standing is None:
        return mine, ()
    one_owner = _one_owner(mine, standing, names)
    # Whoever was there first, by the store's own order: clocks of two processes may differ.
    binding = standing if known is None and not one_owner else mine.joined(standing, one_owner=one_owner)
    return binding, ((binding.write(signer, moment.now),) if binding.outdates(standing) else ())


def _one_owner(one: Binding, other: Binding, names: tuple[bytes, ...]) -> bool:
    """Whether two bindings name the same owner, under whichever secret, as far as can be told from here."""
    return one.owner == other.owner or (one.owner in names and other.owner in names)
