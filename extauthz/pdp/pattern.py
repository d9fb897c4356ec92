"""Name patterns of the policy file: `*` matches any run of characters, nothing else is special, case counts."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Glob:
    """One pattern with at least one `*`, split at its stars. Matching is linear: no regular expression is involved."""

    pieces: tuple[str, ...]

    def matches(self, name: str) -> bool:
        """Whether the whole of `name` fits."""
        first, *middle, last = self.pieces
        if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
            return False
        at, end = len(first), len(name) - len(last)
        for piece in middle:
            found = name.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True


@dataclass(frozen=True, slots=True)
class Patterns:
    """A set of names and globs. The empty set matches nothing."""

    exact: frozenset[str]
    globs: tuple[Glob, ...]

    @classmethod
    def of(cls, patterns: Iterable[str]) -> "Patterns":
        """Compile the texts of a policy file."""
        return cls.of_pieces(tuple(text.split("*")) for text in patterns)

    @classmethod
    def of_pieces(cls, patterns: Iterable[tuple[str, ...]]) -> "Patterns":
        """Compile patterns that are split at their stars: stars inside pieces are characters."""
        pieces = tuple(patterns)
        return cls(
            exact=frozenset(one[0] for one in pieces if len(one) == 1),
            globs=tuple(Glob(one) for one in pieces if len(one) > 1),
        )

    def matches(self, name: str) -> bool:
        """Whether any of the patterns fits the whole name."""
        return name in self.exact or any(glob.matches(name) for glob in self.globs)
