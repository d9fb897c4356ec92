"""What is wrong with a file, where, and how to mend it: collected, so that all of it is told at once."""

from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from extauthz.pdp.quoting import one_line, quoted, visible

Path: TypeAlias = tuple[str | int, ...]
"""Keys and list indices from the top of a document down to a value."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text; both count from 1, columns in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one value and how to mend it, without a place."""

    message: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing wrong (or, as advice of `extauthz check`, doubtful) in a file.

    `path` is the dotted path of the value (`resources.weather.rules[1].scopes[0]`), empty for the whole file.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str

    def __str__(self) -> str:
        """`file:line:column: message (mend)`."""
        return visible(f"{self.file}:{self.line}:{self.column}: {self.message} ({self.hint})")


@dataclass(frozen=True, slots=True)
class PolicyFaults:
    """A policy file that cannot be used: every fault found, in file order, at least one."""

    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        """One line per fault."""
        return "\n".join(map(str, self.faults))


class Places(Protocol):
    """Tells where in a file the value or key at a path stands."""

    def value_position(self, path: Path) -> Position:
        """Where the value starts; of the nearest ancestor that exists when there is none."""
        ...

    def key_position(self, path: Path) -> Position:
        """Where the key that introduces the value starts; the value itself for list items."""
        ...


@dataclass(slots=True)
class Report:
    """Collects faults and advice about one document.

    A value that already has a fault is `broken`: nothing more is said about it or what stands below it, because
    that could only repeat the first fault in other words.
    """

    file: str
    places: Places
    faults: list[Fault] = field(default_factory=list)
    advice: list[Fault] = field(default_factory=list)
    broken: set[Path] = field(default_factory=set)

    def is_broken(self, path: Path) -> bool:
        """Whether the value at `path`, or anything that holds it, has a fault already."""
        return any(path[:length] in self.broken for length in range(len(path) + 1))

    def holds_broken(self, path: Path) -> bool:
        """Whether anything at or below `path` has a fault already."""
        return self.is_broken(path) or any(broken[: len(path)] == path for broken in self.broken)

    def fault(self, path: Path, message: str, hint: str, *, on_key: bool = False, at: Position | None = None) -> None:
        """Add a fault at a value (or its key, or at a place inside it), unless the value is broken already."""
        if not self.is_broken(path):
            self.faults.append(self._made(path, message, hint, on_key=on_key, at=at))

    def advise(self, path: Path, message: str, hint: str, *, on_key: bool = False) -> None:
        """Add advice: something that works, but is probably not what was meant."""
        if not self.is_broken(path):
            self.advice.append(self._made(path, message, hint, on_key=on_key, at=None))

    def _made(self, path: Path, message: str, hint: str, *, on_key: bool, at: Position | None) -> Fault:
        position = at or (self.places.key_position(path) if on_key else self.places.value_position(path))
        return Fault(
            file=self.file,
            line=position.line,
            column=position.column,
            path=dotted(path),
            message=one_line(message),
            hint=one_line(hint),
        )


def in_file_order(faults: list[Fault]) -> tuple[Fault, ...]:
    """The faults sorted by place, each once."""
    return tuple(sorted(dict.fromkeys(faults), key=lambda fault: (fault.line, fault.column, fault.message)))


def dotted(path: Path) -> str:
    """`resources.weather.rules[1].scopes[0]`; keys with unusual characters are quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step and all(char.isalnum() or char in "_-:/" for char in step):
            text += f".{step}" if text else step
        else:
            text += f"[{quoted(step)}]"
    return text
