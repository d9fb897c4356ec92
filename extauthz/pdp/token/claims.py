"""Claims read by type: each function takes what stands in a token and gives a value that cannot be wrong, or a fault.

Issuers let administrators put anything under any name (casdoor.md §2.5), so no type is taken for granted. What is kept
is bounded in number and size, and free of characters that could break out of a header or a log line.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from extauthz.pdp.quoting import quoted
from extauthz.pdp.reason import Reason
from extauthz.pdp.strict_json import JsonValue
from extauthz.pdp.token.profile import ClaimPath, NamedObject
from extauthz.pdp.token.token_fault import TokenFault

Claims: TypeAlias = Mapping[str, JsonValue]

# `sub`, organization and client id go upstream as headers, where one character can take twelve bytes (percent-encoded
# UTF-8). CIMD client ids are URLs; identifiers of real issuers stay below 300 bytes.
MAX_IDENTITY_BYTES: Final = 8 * 1024
# Roles, groups or scopes of one token. A token of `MAX_TOKEN_BYTES` has room for about 200 role objects of Casdoor,
# or 1,500 names of 30 characters.
MAX_NAMES: Final = 2048
# Names of one kind that a message lists: a message is one line.
MAX_LISTED: Final = 5
# 9999-12-31T23:59:59Z: larger dates are no dates.
MAX_DATE: Final = 253_402_300_799
# C0, DEL, C1 and the two line separators: whatever ends a line or steers a terminal somewhere.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ). A comma is one of its characters, not a separator.
_SCOPE_TOKEN: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


def claim_at(claims: Claims, path: ClaimPath) -> JsonValue:
    """What stands at `path`; None where nothing does."""
    if not path:
        return None
    value = claims.get(path[0])
    for name in path[1:]:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def read_date(claims: Claims, name: str) -> float | TokenFault | None:
    """A NumericDate in seconds, which may have a fraction (RFC 7519 §2); None when absent.

    Booleans and strings are refused rather than guessed at.
    """
    if name not in claims:
        return None
    value = claims[name]
    # `bool` is an `int` in Python. A comparison with NaN is false, so that it is refused too.
    if type(value) not in (int, float) or not isinstance(value, int | float) or not abs(value) <= MAX_DATE:
        return TokenFault(
            Reason.TOKEN_MALFORMED,
            f"claim `{name}` is {shown(value)}, a date is a number of seconds since 1970: set it at the issuer",
        )
    return value


def read_identity(value: JsonValue, claim: str) -> str | TokenFault:
    """Who or what a token is for: `sub`, organization or client id, compared exactly and kept as it is.

    Empty when the claim is absent, null or empty.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        return TokenFault(
            Reason.TOKEN_SUBJECT, f"claim `{claim}` is {shown(value)}, expected a string: set it at the issuer"
        )
    if len(value) > MAX_IDENTITY_BYTES or (not value.isascii() and len(value.encode()) > MAX_IDENTITY_BYTES):
        return TokenFault(Reason.TOKEN_SUBJECT, f"claim `{claim}` is longer than {MAX_IDENTITY_BYTES} bytes")
    if has_control(value):
        return TokenFault(Reason.TOKEN_SUBJECT, f"claim `{claim}` has a control character: rename it at the issuer")
    return value


def read_token_id(value: JsonValue) -> str | TokenFault:
    """`jti` (RFC 7519 §4.1.7); empty when absent or null. Only ever compared, never shown or sent on."""
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_IDENTITY_BYTES:
        return TokenFault(
            Reason.TOKEN_MALFORMED, f"claim `jti` is not a string of at most {MAX_IDENTITY_BYTES} characters"
        )
    return value


def read_label(values: Iterable[JsonValue]) -> str:
    """The first of `values` that is fit to be shown as a name; empty when none is."""
    for value in values:
        if isinstance(value, str) and value and len(value) <= MAX_IDENTITY_BYTES and not has_control(value):
            return value
    return ""


def read_audiences(value: JsonValue) -> list[str] | TokenFault:
    """`aud`: one string or a list of strings (RFC 7519 §4.1.3)."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        audiences = [entry for entry in value if isinstance(entry, str)]
        if len(audiences) == len(value):
            return audiences
    return TokenFault(Reason.TOKEN_AUDIENCE, "claim `aud` is neither a string nor a list of strings")


def read_scopes(value: JsonValue) -> frozenset[str] | TokenFault:
    """Scopes: a string with single spaces between them, or a list; none when absent, null or empty.

    Only the space divides: a comma can be part of a scope, and Casdoor copies whatever the client sent (casdoor.md
    §2.2). What is no scope by RFC 6749 §3.3 (a tab, a quote, a letter outside ASCII) grants nothing and is dropped.
    """
    if value is None:
        return frozenset()
    if isinstance(value, str):
        texts = value.split(" ")
    elif isinstance(value, list):
        texts = [entry for entry in value if isinstance(entry, str)]
    else:
        return TokenFault(Reason.TOKEN_MALFORMED, "the claim with the scopes is neither a string nor a list")
    if len(texts) > MAX_NAMES:
        return TokenFault(Reason.TOKEN_MALFORMED, f"more than {MAX_NAMES} scopes")
    return frozenset([text for text in texts if _SCOPE_TOKEN.fullmatch(text)])


def read_names(value: JsonValue, claim: str, form: NamedObject | None) -> frozenset[str] | TokenFault:
    """Roles or groups: a list of names, or of objects read by `form`. Anything else in it or instead of it is none.

    An object whose `must_be_true` member is not true does not count (casdoor.md §2.3: roles that are switched off stay
    in the token). In a plain list of names the issuer has left no way to see that.
    """
    if not isinstance(value, list):
        return frozenset()
    if len(value) > MAX_NAMES:
        return TokenFault(Reason.TOKEN_MALFORMED, f"claim `{claim}` has more than {MAX_NAMES} entries")
    names = []
    for entry in value:
        name = entry
        if isinstance(entry, dict) and form is not None:
            switched_on = not form.must_be_true or entry.get(form.must_be_true) is True
            name = entry.get(form.name) if switched_on else None
        if isinstance(name, str) and name and not has_control(name):
            names.append(name)
    return frozenset(names)


def only_name(value: JsonValue) -> JsonValue:
    """The one name in a list of names or in an object with names as members; None where there are more, or none."""
    if isinstance(value, list | dict):
        names = list(value)
        return names[0] if len(names) == 1 else None
    return value


def has_control(text: str) -> bool:
    """Whether any character is a control or a line separator."""
    return not (text.isascii() and text.isprintable()) and _CONTROL.search(text) is not None


def shown(value: JsonValue) -> str:
    """A claim as an operator may see it: strings quoted, escaped and cut; of anything else its JSON type."""
    match value:
        case str():
            return quoted(value)
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case _:
            return "an object"


def listed(values: Iterable[str]) -> str:
    """Names in a message: quoted, in order of the alphabet, a few of them."""
    names = sorted(values)
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(quoted(name) for name in names[:MAX_LISTED]) + more
