"""What cached values take in memory, roughly: what caches are bounded by. Bytes."""

from sys import getsizeof
from typing import Final

from extauthz.pdp.answer.caller import Caller, Headers
from extauthz.pdp.operation import Target
from extauthz.pdp.principal import Principal
from extauthz.pdp.revocation.revocation import Key

TARGET_BYTES: Final = 72
"""Of one target in a key, beside its name: a pair and a place in a tuple."""
TEXT_BYTES: Final = 80
"""Of a text or of a place in a set, beside the characters themselves."""
TUPLE_BYTES: Final = 56
PLACE_BYTES: Final = 8
"""Of a tuple and of a place in it. What stands in the tuples is counted elsewhere, but for the digest."""


def targets_bytes(targets: tuple[Target, ...]) -> int:
    """What the targets of an operation take in a key, names outside ASCII included (up to four bytes a character)."""
    return sum([TARGET_BYTES + getsizeof(target.name) for target in targets])


def caller_bytes(caller: Caller) -> int:
    """What a caller takes, beside the smallest one."""
    return (
        _identity_bytes(caller.headers, caller.principal)
        + _keys_bytes(caller.revocation_keys)
        + len(caller.token.token_id)
    )


def _identity_bytes(headers: Headers, principal: Principal) -> int:
    texts = (
        *(text for header in headers for text in header),
        *principal.scopes,
        *principal.roles,
        *principal.groups,
        principal.name,
    )
    # Identity and header are two texts of the same characters.
    return sum(TEXT_BYTES + 2 * len(text) for text in texts)


def _keys_bytes(keys: tuple[Key, ...]) -> int:
    return TUPLE_BYTES + 2 * TEXT_BYTES + sum(TUPLE_BYTES + PLACE_BYTES * (len(key) + 1) for key in keys)
