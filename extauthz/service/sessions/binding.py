"""Whose a session is, in memory and in the shared store."""

import math
import struct
from dataclasses import dataclass, field, replace
from typing import Final

from extauthz.service.cache.signed_entry import Signer
from extauthz.service.needs import Write
from extauthz.service.sessions.session_use import SessionUse

KIND: Final = "binding"
TTL_S: Final = 86_400
"""A day after the last use: longer than servers keep a session that nobody uses."""
RENEW_S: Final = 3_600
"""An entry in the store that would end this much earlier than the binding is written again: one write an hour."""

_PAYLOAD: Final = struct.Struct(">?dd32s")


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
        """The binding as it stands in the store, before it is signed."""
        return _PAYLOAD.pack(self.ended, self.since, self.until, self.owner)

    @classmethod
    def opened(cls, signer: Signer, key: str, blob: object) -> "Binding | None":
        """The binding that the store has; None for what is not ours.

        The store ends entries by its own clock. Whether ours says that one has ended decides nothing: it may have been
        set ahead, and the session must not go to the next caller.
        """
        payload = signer.open(KIND, key, blob, -math.inf) if isinstance(blob, bytes) else None
        if payload is None or len(payload) != _PAYLOAD.size:
            return None
        ended, since, until, owner = _PAYLOAD.unpack(payload)
        return cls(owner, ended, since, until, key=key)

    def write(self, signer: Signer, now: float, secret: int = 0) -> Write:
        """What puts the binding into the store; `secret` is the one that the key is made with."""
        return Write(key=self.key, value=self.signed(signer, secret), ttl_s=max(1, int(self.until - now)))

    def signed(self, signer: Signer, secret: int = 0) -> bytes:
        """The store's entry."""
        return signer.sign(KIND, self.key, self.payload(), int(self.until), secret=secret)

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
