"""A session id belongs to the principal first seen with it (MCP security best practices, Session Hijacking).

Initialize-based servers hand out `Mcp-Session-Id`; behind a proxy that strips tokens they cannot tell whose it is, so
we do. Only digests are kept: in this process, and in the shared store keyed by its secret. Where the store cannot
tell, the process's own memory decides.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Final

from extauthz.pdp.operation import Era, Operation
from extauthz.pdp.policy import Resource
from extauthz.pdp.principal import Principal
from extauthz.service.authentication import Moment
from extauthz.service.live import ENTRY_BYTES
from extauthz.service.memory import Memory
from extauthz.service.needs import Need, NeedBinding, Supplied
from extauthz.service.sealed import Sealer, framed_digest

KIND: Final = "binding"
TTL_S: Final = 86_400
"""A binding lives for a day: longer than servers keep a session that nobody uses."""


@dataclass(frozen=True, slots=True)
class SessionUse:
    """One principal using one session id at one resource."""

    session: tuple[str, str] = field(repr=False)
    """Resource name and session id."""
    owner: tuple[str, str, str] = field(repr=False)
    """Issuer, subject and client: who must be the same for as long as the session lives."""

    @classmethod
    def of(cls, resource: Resource, operation: Operation, principal: Principal) -> "SessionUse | None":
        """The use that an operation makes of a session; None where nothing has to be bound."""
        if not resource.session_binding or operation.era is not Era.LEGACY or not operation.session_id:
            return None
        return cls((resource.name, operation.session_id), (principal.issuer, principal.subject, principal.client_id))


def owns_session(
    use: SessionUse, bindings: Memory[bytes], sealer: Sealer | None, moment: Moment
) -> Generator[Need, Supplied, bool]:
    """Whether the session is the principal's; the first to come with an id becomes its owner."""
    session = framed_digest(*use.session)
    owner = framed_digest(*use.owner).encode()
    known = bindings.get(session, moment.now)
    if known is None:
        if sealer is not None and not (yield from _shared_owner_is(use, sealer, moment)):
            return False
        known = bindings.put_if_absent(session, owner, moment.now + TTL_S, moment.now, ENTRY_BYTES)
    return known == owner


def _shared_owner_is(use: SessionUse, sealer: Sealer, moment: Moment) -> Generator[Need, Supplied, bool]:
    """Whether the store says that the session is the principal's, or cannot tell."""
    key = "binding:" + sealer.pseudonym("session", *use.session).hex()
    name = sealer.pseudonym("owner", *use.owner)
    value = sealer.seal(KIND, key, name, int(moment.now) + TTL_S)
    supplied = yield NeedBinding(key=key, value=value, ttl_s=TTL_S)
    moment.resumed(supplied)
    if not isinstance(supplied.answer, bytes):
        return True
    found = sealer.open(KIND, key, supplied.answer, moment.now)
    return found is None or found in sealer.pseudonyms("owner", *use.owner)
