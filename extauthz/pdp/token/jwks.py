"""A key set as data: which published keys can verify access tokens, chosen by `kid` and algorithm (RFC 7517 §5).

Where the document comes from, when it is fetched and how long it counts is not decided here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from extauthz.pdp.strict_json import JsonFault, read_json
from extauthz.pdp.token.jwk import IgnoredKey, Key, UnusableKey, read_key
from extauthz.pdp.token.signature import ALGORITHMS

# A Casdoor key with its certificate takes 1.4 KB (2.5 KB for RSA-4096), and its global set holds the keys of all
# tenants (casdoor.md §4): room for some 250 of them.
MAX_KEY_SET_BYTES: Final = 512 * 1024
MAX_KEYS: Final = 256
# Every key under a token's `kid` is tried, and whoever may add keys to a shared set may add some under a foreign name
# (casdoor.md §3.3): this bounds what one bad token costs, 16 verifications.
MAX_KEYS_PER_KEY_ID: Final = 16
# A set is a list of flat objects with one list of certificates.
MAX_KEY_SET_DEPTH: Final = 8
# Characters of the reasons listed when no key of a set can be used.
MAX_REASONS_CHARS: Final = 500


class KeySetFaultKind(StrEnum):
    """Why a document is no key set to go by."""

    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    NO_KEYS_MEMBER = "no_keys_member"
    TOO_MANY_KEYS = "too_many_keys"
    NO_USABLE_KEY = "no_usable_key"


@dataclass(frozen=True, slots=True)
class KeySetFault:
    """A document that must not replace the keys held. `detail` says why and how to mend it."""

    kind: KeySetFaultKind
    detail: str
    ignored: tuple[IgnoredKey, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """The usable keys of one issuer, at least one. Sets are equal when they hold the same keys in the same order.

    `document` is a JWK Set of exactly these keys, without certificates or whatever else stood in the original: this is
    what replicas share, and reading it gives an equal set. `ignored` tells what was left out.
    """

    keys: tuple[Key, ...]
    ignored: tuple[IgnoredKey, ...] = field(compare=False)
    document: bytes = field(repr=False, compare=False)
    by_key_id: Mapping[str, tuple[Key, ...]] = field(repr=False, compare=False)

    def candidates(self, key_id: str, algorithm: str) -> tuple[Key, ...]:
        """The keys to try for a token with this `kid` and `alg`, in the order of the set; empty when there is none.

        More than one key can have the same `kid` (casdoor.md §3.2). A key never serves an algorithm that is not for
        its type and curve; the `alg` member of the published key is not looked at.
        """
        chosen = ALGORITHMS.get(algorithm)
        if chosen is None:
            return ()
        return tuple([key for key in self.by_key_id.get(key_id, ()) if key.takes(chosen)])

    def knows(self, key_id: str) -> bool:
        """Whether any usable key has this `kid`, whatever its type."""
        return key_id in self.by_key_id


def parse_key_set(document: bytes) -> KeySet | KeySetFault:
    """Read a JWK Set. Never raises.

    Keys that cannot be used are left out and reported, as RFC 7517 §5 asks. A document without a single usable key is
    a fault: an error body sent with status 200, an HTML page or an empty set must not replace keys that work.
    """
    if len(document) > MAX_KEY_SET_BYTES:
        return KeySetFault(
            KeySetFaultKind.TOO_LARGE, f"larger than {MAX_KEY_SET_BYTES} bytes: use the key set of one application"
        )
    value = read_json(document, max_depth=MAX_KEY_SET_DEPTH)
    if isinstance(value, JsonFault):
        return KeySetFault(
            KeySetFaultKind.NOT_JSON, f"not strict JSON ({value.kind}): check what answers at `jwks_uri`"
        )
    entries = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        return KeySetFault(
            KeySetFaultKind.NO_KEYS_MEMBER,
            "JSON without a list `keys` (Casdoor sends errors with status 200): check what answers at `jwks_uri`",
        )
    if len(entries) > MAX_KEYS:
        return KeySetFault(
            KeySetFaultKind.TOO_MANY_KEYS, f"more than {MAX_KEYS} keys: use the key set of one application"
        )
    by_key_id: dict[str, tuple[Key, ...]] = {}
    ignored: list[IgnoredKey] = []
    for entry in entries:
        key = read_key(entry)
        if isinstance(key, IgnoredKey):
            ignored.append(key)
            continue
        same_id = by_key_id.get(key.key_id, ())
        if key in same_id:
            continue
        if len(same_id) == MAX_KEYS_PER_KEY_ID:
            detail = f"{MAX_KEYS_PER_KEY_ID} keys have this kid already: give each key a name of its own"
            ignored.append(IgnoredKey(key.key_id, UnusableKey.TOO_MANY_UNDER_ONE_ID, detail))
            continue
        by_key_id[key.key_id] = (*same_id, key)
    if not by_key_id:  # guard: empty-key-set
        reasons = "; ".join(dict.fromkeys(key.detail for key in ignored))[:MAX_REASONS_CHARS] or "the set is empty"
        return KeySetFault(KeySetFaultKind.NO_USABLE_KEY, f"no key of the set can be used: {reasons}", tuple(ignored))
    keys = tuple(key for same_id in by_key_id.values() for key in same_id)
    shared = {"keys": [{"kid": key.key_id, **key.members} for key in keys]}
    return KeySet(
        keys=keys,
        ignored=tuple(ignored),
        document=json.dumps(shared).encode(),
        by_key_id=MappingProxyType(by_key_id),
    )
