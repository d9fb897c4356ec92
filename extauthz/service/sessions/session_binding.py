"""A session id belongs to the principal first seen with it (MCP security best practices, Session Hijacking).

Initialize-based servers hand out `Mcp-Session-Id`; behind a proxy that strips tokens they cannot tell whose it is, so
we do. A binding

* begins when a principal with a valid token comes with an id that nobody has (`since`), whatever becomes of its
  request;
* lives for `TTL_S` after its owner's last use, in memory and in the shared store;
* is *ended* by its owner's DELETE, and stays so for `TTL_S`: whatever is not a DELETE of the owner is refused, also to
  the owner. A server may refuse the DELETE and keep its session, which must not become free for whoever has the id.

This process's memory answers, and `CONFIRM_S` after it last looked the store is asked again: one round trip, which
also puts there what a flush has taken away, and learns what ended elsewhere. Where the store cannot be asked, memory
decides about the sessions that it knows, and all others are refused (503): "could not ask" is never "nobody's".
Where two processes know different owners of one session, the store having forgotten, the earlier binding counts.

Of a session id only a digest is kept, and in the store neither id nor owner but under its secret
(`service.cache.signed_entry`).
"""

from dataclasses import replace
from typing import Final, NamedTuple

from extauthz.pdp.decision.decision import Deny, Indeterminate
from extauthz.pdp.reason import Reason
from extauthz.service.asking import Asking, ask
from extauthz.service.cache.bounded_cache import ENTRY_BYTES
from extauthz.service.cache.signed_entry import Signer, framed_digest
from extauthz.service.call import Moment
from extauthz.service.needs import EntryUnavailable, NeedBinding, NeedStored, Write
from extauthz.service.sessions.binding import KIND, TTL_S, Binding
from extauthz.service.sessions.bindings import Bindings
from extauthz.service.sessions.lookups import Lookups
from extauthz.service.sessions.session_use import SessionUse

CONFIRM_S: Final = 30.0
"""How long memory answers for itself: what ends on one replica is ended on all within this time."""

_PROLONG_S: Final = TTL_S - CONFIRM_S
"""A binding that has no more than this to live is prolonged by its owner's use."""


class SessionRuling(NamedTuple):
    """Why the use is refused, None where it is the owner's; and what to tell the store."""

    refusal: Deny | Indeterminate | None
    writes: tuple[Write, ...] = ()


_OWNED: Final = SessionRuling(None)
_FOREIGN: Final = SessionRuling(Deny(reason=Reason.SESSION_UNKNOWN, detail="the session belongs to another principal"))
_ENDED: Final = SessionRuling(Deny(reason=Reason.SESSION_UNKNOWN, detail="the session was ended by its owner's DELETE"))
_NO_ROOM: Final = SessionRuling(
    Deny(
        reason=Reason.SESSION_UNKNOWN,
        detail="a session id that is new here, and no room for it: its user has as many sessions as one may have, or "
        "all room is taken, which cannot happen with Redis",
        told="no room for another session: end the sessions that you do not use, or try again later",
    )
)
_ASK_AGAIN: Final = "whose the session is cannot be told at the moment: try again"


def use_session(
    use: SessionUse, bindings: Bindings, lookups: Lookups, signer: Signer | None, moment: Moment
) -> Asking[SessionRuling]:
    """Rule on one use; the first to come with an id becomes its owner."""
    name = framed_digest(*use.session)
    known = bindings.get(name, moment.now)
    # Further off than it was ever set: the clock was set back.
    if known is not None and moment.now < known.confirm_at <= moment.now + CONFIRM_S:
        ruling = _ruling(known, use, signer)
        # The attempts of others ask the store as well, and must not keep the owner's use from prolonging the session.
        if ruling.refusal or known.ended or (not use.ends and moment.now < known.until - _PROLONG_S):
            return ruling
    if known is None and not bindings.make_room(use.account, moment.now, stored=signer is not None):
        return _NO_ROOM
    writes: tuple[Write, ...] = ()
    if signer is None:
        binding = known or Binding(b"", ended=False, since=moment.now, until=moment.now + TTL_S, local=use.owner)
    else:
        confirmed = yield from _looked_up(use, known, lookups, signer, moment)
        if not isinstance(confirmed, EntryUnavailable):
            binding, writes = confirmed
        elif known is not None:
            binding = known
        else:
            detail = f"whose the session is cannot be told: {confirmed.detail}"
            return SessionRuling(Indeterminate(reason=Reason.DEADLINE_EXCEEDED, detail=detail, told=_ASK_AGAIN))
    now = moment.now
    owned = binding.is_of(use, signer)
    if owned:
        binding = replace(binding, local=use.owner)
    if owned and not binding.ended:
        binding = replace(binding, ended=use.ends, until=now + TTL_S)
        if use.ends and signer is not None:
            writes = (binding.write(signer, now),)
    binding = replace(binding, confirm_at=now + CONFIRM_S)
    if not _kept(use, known, binding, bindings, now):
        # Another check was quicker: what it found counts, which may be that the session has ended or is another's.
        binding = bindings.get(name, now) or binding
    return _ruling(binding, use, signer)._replace(writes=writes)


def _kept(use: SessionUse, known: Binding | None, binding: Binding, bindings: Bindings, now: float) -> bool:
    name = framed_digest(*use.session)
    if known is None and bindings.add(name, binding, use.account, now):
        return True
    if binding.ended and binding.local == use.owner:
        # Whatever another check has found meanwhile: ended is ended.
        bindings.put(name, binding, binding.until, ENTRY_BYTES, now=now)
        return True
    return known is not None and bindings.put_if_same(
        name, known, binding, until=binding.until, now=now, size_bytes=ENTRY_BYTES
    )


def _ruling(binding: Binding, use: SessionUse, signer: Signer | None) -> SessionRuling:
    if not binding.is_of(use, signer):
        return _FOREIGN
    return _ENDED if binding.ended and not use.ends else _OWNED


def _looked_up(
    use: SessionUse, known: Binding | None, lookups: Lookups, signer: Signer, moment: Moment
) -> Asking[tuple[Binding, tuple[Write, ...]] | EntryUnavailable]:
    """The binding by memory and store together, and what the store has to be told."""
    if not lookups.take(use.account):
        return EntryUnavailable("the user has as many look-ups of sessions under way as one may have")
    try:
        return (yield from _confirmed(use, known, signer, moment))
    finally:
        lookups.leave(use.account)


def _confirmed(
    use: SessionUse, known: Binding | None, signer: Signer, moment: Moment
) -> Asking[tuple[Binding, tuple[Write, ...]] | EntryUnavailable]:
    """Ask the store under the name that the session has by each secret.

    While secrets are being rotated, processes have different first secrets, and during the first and the last of the
    three steps some have one only. So that no two of them bind a session to two principals, all ask in the same order,
    that of the names, and the last name counts where two disagree: who has two secrets comes to the name that all have
    either last, or with what it found under the other.
    """
    names = signer.pseudonyms("owner", *use.owner)
    keys = [f"{KIND}:{pseudonym.hex()}" for pseudonym in signer.pseudonyms("session", *use.session)]

    def at(secret: int) -> Binding:
        """The binding as it is to be stored under a secret's name: with the user's own name by the same secret."""
        return replace(binding, key=keys[secret], owner=names[secret] if binding.owner in names else binding.owner)

    binding = known or Binding(names[0], ended=False, since=moment.now, until=moment.now + TTL_S, key=keys[0])
    if binding.owner in names and not binding.ended:
        binding = replace(binding, owner=names[0], until=moment.now + TTL_S)
    stored: dict[int, Binding] = {}
    for secret in sorted(range(len(keys)), key=keys.__getitem__):
        mine, key = at(secret), keys[secret]
        # What is another's is not spread: under which secret its owner's name is cannot be told.
        puts = mine.owner in names or (known is not None and secret == 0)
        ttl_s = max(1, int(mine.until - moment.now))
        value = mine.signed(signer, secret)
        need = NeedBinding(key=key, value=value, ttl_s=ttl_s) if puts else NeedStored(key=key)
        answer = yield from ask(need, moment)
        if answer is None and not puts:
            continue
        found = Binding.opened(signer, key, answer)
        if found is None:
            unread = EntryUnavailable("the shared store's answer is not ours")
            return answer if isinstance(answer, EntryUnavailable) else unread
        stored[secret] = found
        one_owner = found.owner == mine.owner or (found.owner in names and mine.owner in names)
        # Who was there first, by the store's own order: clocks of two processes may differ.
        binding = found if known is None and not one_owner else binding.joined(found, one_owner=one_owner)
    binding = at(0)
    writes = tuple(
        at(secret).write(signer, moment.now, secret)
        for secret, found in stored.items()
        if at(secret).outdates(found) and (binding.owner in names or secret == 0)
    )
    return binding, writes
