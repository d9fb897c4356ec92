"""What becomes of the revocations of events when there are too many: fewer and wider ones, never none.

    more than `MAX_OF_SUBJECT` about one subject, user, …       one for all of these
    more than `MAX_OF_SOURCE` from one source, or               the largest families of what it told of, one item each:
    more than `MAX_OF_EVENTS` from all                          an organization, a client, and when that is not enough
                                                                an issuer

A merged item refuses everything that those refused which it stands for, for as long, and they are gone. So it cannot
be taken back. What operators have ordered or taken back is never merged, and has room of its own.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from extauthz.pdp.revocation.revocation import (
    OPERATOR_SOURCE,
    Key,
    Revocation,
    RevokedBy,
    covering_keys,
    is_one_token,
    merged,
)

MAX_REVOCATIONS: Final = 50_000
"""Items of one process, those that take others back included: some 40 MB at the most common lengths."""
OPERATOR_ROOM: Final = 10_000
"""Of these, what no event can take."""
MAX_OF_EVENTS: Final = MAX_REVOCATIONS - OPERATOR_ROOM
MAX_OF_SOURCE: Final = 20_000
"""From one kind of event: a flood of one leaves the others their items as they are."""
MAX_OF_TOKENS: Final = 10_000
"""Single tokens that events name. Nothing is wider than these, so more are revoked by user and subject from the start.
"""
MAX_OF_SUBJECT: Final = 16
"""About one subject or user: two clients, three sources, and some days of logging in and out."""
DOWN_TO: Final = 0.75
"""How much of a bound is left over when it was passed, so that it is not passed again by the next item."""


def mergeable(item: Revocation) -> bool:
    """Whether an item may be replaced by a wider one."""
    return item.source != OPERATOR_SOURCE and not item.undoes and not is_one_token(item)


def form_of(item: Revocation) -> Revocation:
    """The form that items about the same subject, user or group merge into."""
    return replace(item, client="") if item.client else item


def narrowed(items: Iterable[Revocation], *, down_to: int) -> Iterator[Revocation]:
    """Merged items, the largest families first, until no more than `down_to` of the mergeable `items` would be left."""
    left = {item.id: item for item in items if mergeable(item)}
    for kinds in (frozenset({RevokedBy.TENANT, RevokedBy.CLIENT}), frozenset({RevokedBy.ISSUER})):
        members: defaultdict[Key, list[Revocation]] = defaultdict(list)
        for item in left.values():
            key = next((each for each in covering_keys(item) if each[0] in kinds), None)
            if key is not None:
                members[key].append(item)
        for key in sorted(members, key=lambda each: (-len(members[each]), each)):
            if len(left) <= down_to or len(members[key]) < 2:
                break
            kind, _, value = key
            form = replace(members[key][0], by=RevokedBy(kind), value=value, client="", organization="")
            wide = merged(members[key], form)
            for item in members[key]:
                del left[item.id]
            left[wide.id] = wide
            yield wide
