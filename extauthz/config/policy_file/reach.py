"""Which operations a rule is about, and whether one rule's operations are all among another's.

Patterns have one special sign, `*`, so a pattern covers another exactly when it matches it as a text: only a `*` can
take up the other's `*`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from extauthz.pdp.mcp.methods import METHODS, Method
from extauthz.pdp.operation import END_METHOD, RESPONSE_METHOD, STREAM_METHOD, TargetKind
from extauthz.pdp.pattern import Patterns
from extauthz.pdp.uri.uri_pattern import UriPatterns, plain_pattern

TARGET_KEYS: Final[Mapping[str, TargetKind]] = {
    "tools": TargetKind.TOOL,
    "prompts": TargetKind.PROMPT,
    "uris": TargetKind.RESOURCE,
    "tasks": TargetKind.TASK,
}
"""Keys of a rule that list targets."""

KNOWN_METHODS: Final = (*METHODS, STREAM_METHOD, END_METHOD, RESPONSE_METHOD)
"""Everything that a request can turn out to be, apart from methods that no revision has."""

# Members of `params` that hold several names, or one of several kinds.
_NAMES_BY_FIELD: Final[Mapping[str, frozenset[TargetKind]]] = {
    "ref": frozenset({TargetKind.PROMPT, TargetKind.RESOURCE}),
    "notifications": frozenset({TargetKind.RESOURCE, TargetKind.TASK}),
}


def target_kinds(method: str) -> frozenset[TargetKind]:
    """What a method can name. Unknown methods name nothing, as nobody knows where."""
    known = METHODS.get(method)
    if known is None:
        return frozenset()
    return frozenset({known.target_kind}) if known.target_kind else _NAMES_BY_FIELD.get(known.target_field, frozenset())


def matched_methods(pattern: str) -> tuple[str, ...]:
    """The known methods that a pattern of the policy matches."""
    patterns = Patterns.of((pattern,))
    return tuple(method for method in KNOWN_METHODS if patterns.matches(method))


def is_everything(pattern: str) -> bool:
    """Whether a pattern matches whatever there is."""
    return pattern != "" and pattern.strip("*") == ""


@dataclass(frozen=True, slots=True)
class Atom:
    """Operations with methods of one pattern, and targets of one pattern. No kind: operations whatever their target."""

    method: str
    kind: TargetKind | None
    target: str


@dataclass(frozen=True, slots=True)
class Reach:
    """The operations that a rule is about."""

    methods: tuple[str, ...]
    targets: Mapping[TargetKind, tuple[str, ...]]
    method_patterns: Patterns
    target_patterns: Mapping[TargetKind, Patterns | UriPatterns]
    atoms: tuple[Atom, ...]
    """All of it in parts. Without parts the rule is about nothing."""

    @classmethod
    def of(cls, methods: Sequence[str], targets: Mapping[TargetKind, Sequence[str]]) -> "Reach":
        """The reach of a rule with these lists; each list that is there has at least one item."""
        plain = {kind: tuple(_plain(kind, text) for text in texts) for kind, texts in targets.items()}
        return cls(
            methods=tuple(methods),
            targets=plain,
            method_patterns=Patterns.of(methods),
            target_patterns={kind: _patterns(kind, texts) for kind, texts in plain.items()},
            atoms=tuple(_atoms(methods, plain)),
        )

    def covers_atom(self, atom: Atom) -> bool:
        """Whether every operation of the atom is among this rule's."""
        if not self.method_patterns.matches(atom.method):
            return False
        if not self.targets:
            return True
        patterns = self.target_patterns.get(atom.kind) if atom.kind else None
        return patterns is not None and patterns.matches(atom.target)

    def covers(self, other: "Reach") -> bool:
        """Whether every operation of the other rule is among this rule's."""
        return all(self.covers_atom(atom) for atom in other.atoms)


def _plain(kind: TargetKind, text: str) -> str:
    return plain_pattern(text) if kind is TargetKind.RESOURCE else text


def _patterns(kind: TargetKind, texts: Sequence[str]) -> Patterns | UriPatterns:
    return UriPatterns.of(texts) if kind is TargetKind.RESOURCE else Patterns.of(texts)


def applicable(method: str, targets: Mapping[TargetKind, Sequence[str]]) -> frozenset[TargetKind]:
    """Which of the listed kinds an operation with a method of this pattern can have."""
    return frozenset(kind for known in matched_methods(method) for kind in target_kinds(known) if kind in targets)


def _atoms(methods: Sequence[str], targets: Mapping[TargetKind, Sequence[str]]) -> Iterator[Atom]:
    for method in methods:
        if targets:
            for kind in sorted(applicable(method, targets)):
                for target in targets[kind]:
                    yield Atom(method, kind, target)
            continue
        known: Method | None = METHODS.get(method)
        if known is not None and known.target_kind is not None:
            yield Atom(method, known.target_kind, "*")  # these methods always name exactly one thing
        else:
            yield Atom(method, None, "")
