"""Patterns of the policy file for resource URIs: compared with everything that a server can take a URI for.

An author writes a URI as clients send it (`note://%C3%A9t%C3%A9`), as people read it (`note://été`), or in between; a
pattern is brought into the forms of `uri_forms` just as the URI is that it is compared with. A deny pattern matches
when any form does, an allow pattern when all do.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations
from re import compile as compile_pattern
from typing import Final
from urllib.parse import quote

from extauthz.pdp.pattern import Patterns
from extauthz.pdp.uri.uri_forms import (
    UriForms,
    UriParts,
    decoded_to_the_end,
    divided,
    joined,
    meant_form,
    parameters_of,
    plain_form,
)
from extauthz.pdp.uri.uris import DEFAULT_PORTS, escape_fault, segment_fault, uri_fault

# Parameters of one deny pattern that are found in any order: each order is a pattern of its own, 24 for four.
MAX_ORDERED_PARAMETERS: Final = 4

_STAR: Final = "\x00"
"""Stands for `*` while a pattern is decoded, so that a star that comes out of an escape is none."""
# Besides the unreserved characters, which `quote` leaves: RFC 3986 §2.2, RFC 6570 §2, and what is an escape already.
_KEPT: Final = ":/?#[]@!$&'()*+,;=%{}"
_SCHEME: Final = compile_pattern(r"[A-Za-z][A-Za-z0-9+.\-]*(?=:)")
_KNOWN_AUTHORITY: Final = compile_pattern(r"(https?|wss?|ftp|file)://([^/?#]*)")
_USER, _QUERY, _FRAGMENT = "@", "?", "#"


@dataclass(frozen=True, slots=True)
class _Permission:
    """One pattern of an allow rule."""

    plain: Patterns
    meant: Patterns
    silent_about: frozenset[str]
    """Which of user, query and fragment (by their signs) the pattern says nothing about. Its `*` may take them up, but
    what is left without them must fit as well: `docs://*.txt` is not about `docs://secret?.txt`."""

    def covers(self, forms: UriForms) -> bool:
        return self.plain.matches(forms.plain) and all(
            self.meant.matches(meant_form(text)) for text in _with_and_without(forms.parts, self.silent_about)
        )


@dataclass(frozen=True, slots=True)
class UriPatterns:
    """A set of patterns for URIs, each compiled for allow rules and for deny rules."""

    plain: Patterns
    denying: Patterns
    permissions: tuple[_Permission, ...]

    @classmethod
    def of(cls, patterns: Iterable[str]) -> "UriPatterns":
        """Compile the texts of a policy file."""
        texts = tuple(map(plain_pattern, patterns))
        forms = [pieces for text in texts for pieces in (_pieces(text), _meant(text), *_in_any_order(text))]
        return cls(
            plain=Patterns.of(texts),
            denying=Patterns.of_pieces(dict.fromkeys(forms)),
            permissions=tuple(
                _Permission(
                    plain=Patterns.of((text,)),
                    meant=Patterns.of_pieces((_meant(text),)),
                    silent_about=frozenset((_USER, _QUERY, _FRAGMENT)).difference(text),
                )
                for text in texts
            ),
        )

    @property
    def exact(self) -> frozenset[str]:
        """The patterns without a star."""
        return self.plain.exact

    def matches(self, name: str) -> bool:
        """Whether any of the patterns fits the whole text, compared as texts."""
        return self.plain.matches(name)

    def denies(self, forms: UriForms) -> bool:
        """Whether any of the patterns fits anything that a server can take the URI for."""
        return any(map(self.denying.matches, forms.names))

    def permits(self, forms: UriForms) -> bool:
        """Whether one of the patterns fits everything that a server can take the URI for."""
        if not self.plain.matches(forms.plain):
            return False
        return len(forms.names) == 1 or any(permission.covers(forms) for permission in self.permissions)


def plain_pattern(text: str) -> str:
    """A pattern in the form in which URIs are let through: encoded, and with what is known of its scheme canonical.

    `*` is a star, `%2A` the character.
    """
    plain = plain_form(quote(text, safe=_KEPT))
    scheme = _SCHEME.match(plain)
    if scheme is None:
        return plain
    plain = scheme[0].lower() + plain[scheme.end() :]
    known = _KNOWN_AUTHORITY.match(plain)
    if known is None:
        return plain
    user, at, host = known[2].rpartition("@")
    rest = plain[known.end() :]
    if known[1] != "file" and "*" not in known[2] and not rest.startswith("/"):
        rest = "/" + rest
    return f"{known[1]}://{user}{at}{host.lower().removesuffix(f':{DEFAULT_PORTS[known[1]]}')}{rest}"


def pattern_fault(text: str) -> str:
    """Why no URI that is let through can match this pattern, as a sentence; empty when one can."""
    plain = plain_pattern(text)
    if "*" not in plain:
        return uri_fault(plain, template=True)
    return next(filter(None, (escape_fault(piece) or segment_fault(piece) for piece in plain.split("*"))), "")


def has_unordered_parameters(text: str) -> bool:
    """Whether a deny pattern names so many parameters that it is passed by another order of them."""
    return len(parameters_of(divided(plain_pattern(text)).query or "")) > MAX_ORDERED_PARAMETERS


def _pieces(text: str) -> tuple[str, ...]:
    return tuple(text.split("*"))


def _meant(text: str) -> tuple[str, ...]:
    return tuple(meant_form(text.replace("*", _STAR)).split(_STAR))


def _in_any_order(text: str) -> list[tuple[str, ...]]:
    """Patterns that find all parameters of this one among those of a query, whatever their order."""
    parts = divided(text.replace("*", _STAR))
    parameters = parameters_of(parts.query or "")
    if not parameters or len(parameters) > MAX_ORDERED_PARAMETERS:
        return []
    base = joined(parts._replace(query=None, fragment=None))
    found = []
    for order in permutations(parameters):
        marked = "".join(f"{_STAR}&{decoded_to_the_end(pair)}&" for pair in order)
        found.append(tuple(meant_form(f"{base}?{marked}{_STAR}").split(_STAR)))
    return found


def _with_and_without(parts: UriParts, signs: frozenset[str]) -> Iterable[str]:
    """The URI, also without each of these parts, without all of them, and with one value for each parameter."""
    shorter: list[UriParts] = [parts._replace(query=query) for query in _single_valued(parts.query or "")]
    bare = parts
    if _FRAGMENT in signs and parts.fragment is not None:
        shorter.append(parts._replace(fragment=None))
        bare = bare._replace(fragment=None)
    if _QUERY in signs and parts.query is not None:
        shorter.append(parts._replace(query=None))
        bare = bare._replace(query=None)
    if _USER in signs and "@" in parts.authority:
        host = parts.authority.rpartition("@")[2]
        shorter.append(parts._replace(authority=host))
        bare = bare._replace(authority=host)
    return map(joined, dict.fromkeys((parts, *shorter, bare)))


def _single_valued(query: str) -> tuple[str, ...]:
    """A query that has a parameter twice as those read it who take the first, and those who take the last."""
    pairs = [(pair.partition("=")[0], pair) for pair in parameters_of(query)]
    last = dict(pairs)
    if len(last) == len(pairs):
        return ()
    first = dict(reversed(pairs))
    return "&".join(first[name] for name in last), "&".join(last.values())
