"""The revision of a policy: a digest of what checks read, equal for files that decide and answer alike.

It is made of the compiled policy, which is all that a check sees, so that what is added there is part of it unless
`NOT_READ` says why it is not.
"""

import json
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from hashlib import sha256
from typing import Any, Final

from extauthz.adapters.cel.condition import CelCondition
from extauthz.pdp.policy import CacheTerms, Introspection, Issuer, Policy, Resource, Rule, Scope

# Hex digits. 64 bits tell the revisions of one fleet apart; nobody gains by a collision that only a policy author
# could make.
REVISION_DIGITS: Final = 16

# Goes into the digest, so that a release that reads the same policy in another way has revisions of its own.
_MEANING: Final = "extauthz-policy-2"

NOT_READ: Final[Mapping[tuple[type[Any], str], str]] = {
    (Policy, "revision"): "it is what is made here",
    (Policy, "source"): "the file's name, for messages",
    (Issuer, "line"): "a place in the file, for messages",
    (Rule, "line"): "a place in the file, for messages",
    (Resource, "line"): "a place in the file, for messages",
    (Issuer, "shared_keys"): "silences a warning; which keys count is `jwks_uri`",
    (Introspection, "client_secret"): "a secret, which is rotated without deciding otherwise",
    (Scope, "description"): "for people",
    (CacheTerms, "jwks_ttl_s"): "when a key set is fetched again; which set counts is asked in every check",
    (CacheTerms, "shared"): "where decisions are kept, which never changes one",
}
"""Fields of the compiled policy that make no difference to any check, and why."""


def revision_of(policy: Policy) -> str:
    """Digest of all that a check reads of the policy. Its own `revision` may be anything.

    Comments, layout and the order of keys make no difference; the order of lists does, because challenges and ties
    follow it.
    """
    text = json.dumps([_MEANING, _plain(policy)], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()[:REVISION_DIGITS]


def _plain(value: Any) -> Any:
    """The value as JSON; raises TypeError for what has no such form, so that nothing is left out unseen."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, CelCondition):
        return ["when", value.text]
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        read = (one.name for one in fields(value) if (kind, one.name) not in NOT_READ)
        return {name: _plain(getattr(value, name)) for name in read}
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(member) for key, member in value.items()}
    if isinstance(value, Set):
        return sorted(_plain(member) for member in value)
    if isinstance(value, tuple):
        return [_plain(member) for member in value]
    raise TypeError(f"a policy has a {type(value).__name__}: say here how it goes into the revision")
