"""Members of objects that the caller sent, and names that some server takes for another.

`{"amount": 100, "Amount": 1000}` is one object and two readings: Go's `encoding/json` and .NET's web defaults compare
names without case, models are filled by field name as well as by alias (`dry_run`, `dryRun`), and Unicode has several
spellings of one letter. Where a condition reads a member and a look-alike stands on the same level, or only a
look-alike does, which value a server acts on cannot be known.
"""

from typing import Any, Final
from unicodedata import category, normalize

from extauthz.adapters.cel.steps import Frame, UnknownError

# Characters of a name that is folded by Unicode's rules, which are not linear in the worst case.
MAX_FOLDED_CHARS: Final = 256
# Signs that a reader ignores: `_`, `-`, blanks, controls (a trailing NUL: GO-2026-4770).
_ASCII_IGNORED: Final = dict.fromkeys([*range(0x21), 0x7F, ord("_"), ord("-")])
_IGNORED_CATEGORIES: Final = frozenset({"Cc", "Cf", "Pc", "Pd", "Zs"})


class MemberName(str):
    """A name that came from looping over a caller's object: text, but compared as names are."""

    __slots__ = ()


def fold(name: str) -> str:
    """What names have in common that some server takes for one. Raises `UnknownError` for a name that is too long."""
    if name.isascii():
        return name.lower().translate(_ASCII_IGNORED)
    if len(name) > MAX_FOLDED_CHARS:
        raise UnknownError("a member name that is not ASCII is longer than {} characters", str(MAX_FOLDED_CHARS))
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UnknownError("a member name has half of a surrogate pair") from None
    # Both ways of case folding: U+017F and U+0131 are only capital letters' small forms.
    folded = normalize("NFKC", normalize("NFKC", name).upper().casefold())
    return "".join(char for char in folded if category(char) not in _IGNORED_CATEGORIES)


def by_folded_name(frame: Frame, members: dict[str, Any]) -> dict[str, str | None]:
    """The names of an object by their folded form; None where several have it. Found out once for each evaluation."""
    found = frame.names.get(id(members))
    if found is not None:
        return found[1]
    index: dict[str, str | None] = {}
    frame.spend(6 * len(members))
    for name in members:
        if type(name) is not str:
            raise UnknownError("a member name is not text")
        if len(name) > 32:
            frame.spend(len(name) >> 3)
        # Most names are lower case with nothing in them to ignore.
        folded = name if name.isalnum() and name.islower() and name.isascii() else fold(name)
        index[folded] = None if folded in index else name
    # The map is kept beside its index: an identity belongs to nothing else for as long as the map is there.
    frame.names[id(members)] = (members, index)
    return index


def has_member(frame: Frame, members: dict[str, Any], name: str, folded: str, path: str) -> bool:
    """Whether an object has a member that every server sees. Raises `UnknownError` where a look-alike stands."""
    if len(members) == 1 and name in members:
        return True
    index = by_folded_name(frame, members)
    if folded not in index:
        return False
    if index[folded] != name:
        raise UnknownError("{} has a member that looks like {}", path, name)
    return True


def member(frame: Frame, members: dict[str, Any], name: str, folded: str, path: str) -> Any:
    """The value of a member. Raises `UnknownError` where there is none, or a look-alike."""
    if not has_member(frame, members, name, folded, path):
        raise UnknownError("{} has no member {}", path, name)
    return members[name]


def without_look_alikes(frame: Frame, members: dict[str, Any], path: str) -> None:
    """Raise `UnknownError` where two names of an object are look-alikes."""
    frame.spend(len(members) >> 2)
    if members and None in by_folded_name(frame, members).values():
        raise UnknownError("{} has members that look alike", path)


def not_an_array(frame: Frame, members: dict[str, Any], path: str) -> None:
    """Raise `UnknownError` for `{"0": …, "1": …}`, which loosely typed servers read as an array."""
    frame.spend(len(members))
    if members and all(name.isdigit() for name in members):
        raise UnknownError("{} is an object that some servers read as a list", path)
