"""What is needed of a JSON object that somebody else's program has read already: a bounded, tolerant scan.

`pdp.strict_json` refuses whatever two readers could take differently. Here a refusal would help the wrong one: Casdoor
has acted on the object, and a user who puts 2**53, 300 KB of text or a thousand levels into her own record must not
become unreadable by that. So only the members that were asked for are looked at, and the rest is passed over by its
brackets and quotes.

Go's decoder takes `Owner` and `OWNER` for `owner`, and the last of several (encoding/json, "case-insensitive match").
What Casdoor acted on is then not what stands under the name asked for, so such members are told apart (`ambiguous`).
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

MAX_TOKENS: Final = 200_000
"""Members, brackets and texts of one object: some 60 ms. What comes after them is not read."""
MAX_NAME_CHARS: Final = 200
"""Of a member's name as written, escapes included: those asked for have a tenth of it."""
MAX_NUMERAL_CHARS: Final = 18
"""Of a whole number: all of that length are exact."""


@dataclass(frozen=True, slots=True)
class Nested:
    """An object or a list, as written."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unread:
    """A value that is none of the others: a number with a fraction or too many digits, a text that is none."""


Value: TypeAlias = str | int | bool | Nested | Unread | None


@dataclass(frozen=True, slots=True)
class Scanned:
    """What was found. `whole`: the object was read to its end, and nothing follows it."""

    members: Mapping[str, Value] = field(repr=False)
    ambiguous: frozenset[str]
    """Names asked for that are there in another spelling, or more than once."""
    whole: bool


_SPACE: Final = re.compile(r"[ \t\r\n]*+")
_TEXT: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_PLAIN: Final = re.compile(r"[^\s,\[\]{}\":]++")
_NESTED: Final = re.compile(r'[^"\[\]{}]*+("[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{]|[\]}])', re.DOTALL)
_WHOLE_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")
_LITERALS: Final[Mapping[str, Value]] = {"true": True, "false": False, "null": None}


def scan(text: str, wanted: Collection[str]) -> Scanned | None:
    """The wanted members (names in ASCII) of the object that `text` is; None where it does not begin as one.

    Never raises.
    """
    spellings = {name.casefold(): name for name in wanted}
    at = _skip(text, 0)
    if not text.startswith("{", at):
        return None
    members: dict[str, Value] = {}
    ambiguous: set[str] = set()
    left = MAX_TOKENS
    at = _skip(text, at + 1)
    if text.startswith("}", at):
        return Scanned(members, frozenset(), whole=_skip(text, at + 1) == len(text))
    while left > 0:
        named = _TEXT.match(text, at)
        if named is None:
            break
        at = _skip(text, named.end())
        if not text.startswith(":", at):
            break
        at = _skip(text, at + 1)
        end, tokens = _end_of_value(text, at, left)
        left -= tokens + 1
        name = _decoded(named[0]) if named.end() - named.start() <= MAX_NAME_CHARS else None
        wanted_name = None if name is None else spellings.get(name.casefold())
        if wanted_name is not None:
            if name != wanted_name or wanted_name in members:
                ambiguous.add(wanted_name)
            members.setdefault(wanted_name, Unread() if end is None else _value(text[at:end]))
        if end is None:
            break
        at = _skip(text, end)
        if text.startswith("}", at):
            return Scanned(members, frozenset(ambiguous), whole=_skip(text, at + 1) == len(text))
        if not text.startswith(",", at):
            break
        at = _skip(text, at + 1)
    return Scanned(members, frozenset(ambiguous), whole=False)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _end_of_value(text: str, at: int, left: int) -> tuple[int | None, int]:
    """Where the value ends (None: nowhere, or too far), and how many tokens it took to find out."""
    if text.startswith('"', at):
        found = _TEXT.match(text, at)
        return (None if found is None else found.end()), 1
    if not text.startswith(("{", "["), at):
        found = _PLAIN.match(text, at)
        return (None if found is None else found.end()), 1
    depth = tokens = 0
    while tokens < left:
        found = _NESTED.match(text, at)
        if found is None:
            break
        at, tokens = found.end(), tokens + 1
        token = found[1]
        if token in ("{", "["):
            depth += 1
        elif token in ("}", "]"):
            depth -= 1
            if not depth:
                return at, tokens
    return None, tokens


def _value(written: str) -> Value:
    if written.startswith('"'):
        decoded = _decoded(written)
        return Unread() if decoded is None else decoded
    if written.startswith(("{", "[")):
        return Nested(written)
    if written in _LITERALS:
        return _LITERALS[written]
    if len(written) <= MAX_NUMERAL_CHARS and _WHOLE_NUMBER.fullmatch(written):
        return int(written)
    return Unread()


def _decoded(written: str) -> str | None:
    """The text, with half a pair of surrogates replaced, as Go does; None for what is no text of JSON."""
    try:
        # Not strict: control characters in it are for the caller to refuse.
        text = json.loads(written, strict=False)
    except ValueError:
        return None
    return str(text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
