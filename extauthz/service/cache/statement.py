"""Statements that one process leaves for the others in the shared store.

A statement says something of one kind, for a bounded time, under a key that is a digest over everything that it depends
on. Kind and key are part of what is signed (`service.cache.signed_entry`): no statement of one kind is ever read as one
of another, nor one about this token or operation as one about that. What is not authentic, has expired or is of another
form is a miss.

    key      <kind>:<SHA-256 over the framed parts>
    payload  [form, what it says …, until]      JSON; `until` in Unix seconds
"""

import json
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from extauthz.service.asking import Asking, ask
from extauthz.service.cache.signed_entry import Part, Signer, framed_digest
from extauthz.service.call import Moment
from extauthz.service.needs import NeedStored, Write

FORM: Final = 2
"""Stands first in every statement. A process reads no other form than its own."""

Word: TypeAlias = str | int


class Statement(NamedTuple):
    """What an authentic statement says, and the end of its life (Unix seconds), which no reader may outlast."""

    words: tuple[object, ...]
    until: int


def store_key(kind: str, *parts: Part) -> str:
    """The store's key of what is said of these parts."""
    return f"{kind}:{framed_digest(*parts)}"


def find_statement(key: str, signer: Signer, moment: Moment) -> Asking[Statement | None]:
    """The statement in the store, or None. The kind is the one that the key names."""
    entry = yield from ask(NeedStored(key=key), moment)
    payload = signer.open(_kind_of(key), key, entry, moment.now) if isinstance(entry, bytes) else None
    return None if payload is None else unpack(payload)


def leave_statement(key: str, words: Sequence[Word], until: float, signer: Signer, now: float) -> tuple[Write, ...]:
    """What leaves a statement in the store; nothing when it would end within the second."""
    ends_at = int(until)
    ttl_s = int(ends_at - now)
    if ttl_s <= 0:
        return ()
    entry = signer.sign(_kind_of(key), key, pack(words, ends_at), ends_at)
    return (Write(key=key, value=entry, ttl_s=ttl_s),)


def pack(words: Sequence[Word], until: int) -> bytes:
    """The payload. Some 20 bytes, of 110 that an entry takes with key and signature: no binary form would save much."""
    return json.dumps((FORM, *words, until), separators=(",", ":")).encode()


def unpack(payload: bytes) -> Statement | None:
    """Read an authentic payload; None for that of a version which states something else."""
    try:
        form, *words, until = json.loads(payload)
    except (ValueError, TypeError):
        return None
    if type(form) is not int or form != FORM or type(until) is not int:
        return None
    return Statement(tuple(words), until)


def _kind_of(key: str) -> str:
    return key.partition(":")[0]
