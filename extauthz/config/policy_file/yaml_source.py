"""A YAML text as plain values, each with its place, read without any of YAML's surprises.

Only what a policy needs is YAML here: mappings with text keys, lists, text, whole numbers, `true`/`false`, `null`.
Read from the event stream, so that nothing recursive is driven by the input, and everything else is a fault:
duplicate keys, tags, merge keys, further documents, characters that cannot be seen, and unquoted words that YAML 1.1
and YAML 1.2 read differently (`no`, `0123`, `2026-07-28`). Aliases are fine, but count as if written out.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import yaml

from extauthz.config.policy_file.fault import Path, Position, Problem
from extauthz.config.policy_file.yaml_scalar import hidden_character, plain_scalar
from extauthz.pdp.quoting import quoted

# Levels of mappings and lists. The policy file has six; the bound keeps the tree walks' recursion small.
MAX_DEPTH: Final = 32
# Values in one file, with every alias counted as if it were written out: about 1,000 rules of 50 values each.
MAX_VALUES: Final = 50_000

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_LINE_BREAK: Final = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")

_SYNTAX_MENDS: Final = (
    ("mapping values are not allowed", 'put text that contains ": " in quotes, and check the indentation'),
    ("cannot start any token", "indent with spaces, and put text that begins with @, % or ` in quotes"),
    ("unexpected end of stream", "close the quote"),
    ("expected ',' or", "close the bracket, or put a comma between the items"),
    ("characters are not allowed", "remove the character"),
    ("maximum nesting depth", f"nest at most {MAX_DEPTH} levels"),
)


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value that holds no others. `style` is YAML's quote or block sign, empty for plain text."""

    value: str | int | bool | None
    start: Position
    end: Position
    style: str
    faulty: bool = False


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple["Node", ...]
    start: Position


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping; each key with the place where it stands. The first of duplicate keys counts."""

    entries: dict[str, tuple[Position, "Node"]]
    start: Position


Node: TypeAlias = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class Document:
    """A text that was read: its tree, and the lines that places refer to."""

    root: Node
    lines: tuple[str, ...]

    def plain(self) -> Any:
        """The tree as dicts, lists and scalars; aliases become copies."""
        return _plain(self.root)

    def faulty_paths(self) -> Iterator[Path]:
        """The paths of values that have a complaint already."""
        return _faulty_paths(self.root, ())

    def value_position(self, path: Path) -> Position:
        """Where the value at `path` starts; of its nearest ancestor when there is none."""
        return self._walk(path)[1].start

    def key_position(self, path: Path) -> Position:
        """Where the key of the value at `path` starts; for a list item, where the item starts."""
        return self._walk(path)[0]

    def inside(self, path: Path, line: int, column: int) -> Position | None:
        """The place of a character inside a text value, given by the text's own line and column (from 1).

        None where the text does not stand in the file as it is: escapes, or folded lines.
        """
        node = self._walk(path)[1]
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            return None
        own = node.value.split("\n")
        if node.style == "|":
            at, begin = node.start.line + line - 1, 0
        elif len(own) == 1 and node.start.line == node.end.line:
            at, begin = node.start.line - 1, node.start.column - 1
        else:
            return None
        if not (0 < line <= len(own) and at < len(self.lines)):
            return None
        found = self.lines[at].find(own[line - 1], begin)
        return None if found < 0 else Position(at + 1, found + column)

    def _walk(self, path: Path) -> tuple[Position, Node]:
        key, node = self.root.start, self.root
        for step in path:
            if isinstance(node, Mapping) and isinstance(step, str) and step in node.entries:
                key, node = node.entries[step]
            elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
                node = node.items[step]
                key = node.start
            else:
                break
        return key, node


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of a text: the document unless it is no YAML at all, and every complaint with its place."""

    document: Document | None
    complaints: tuple[tuple[Position, Problem], ...]


def read_yaml(text: str) -> Reading:
    """Read one YAML document. Raises nothing."""
    builder = _Builder()
    try:
        root = builder.build(yaml.parse(text, Loader=_LOADER))
    except UnicodeEncodeError as error:
        complaint = Problem("the text has half of a character pair", "save the file as UTF-8")
        builder.complain(_position_at(text, error.start), complaint)
        return Reading(None, tuple(builder.complaints))
    except yaml.YAMLError as error:
        builder.complain(*_syntax_complaint(text, error))
        return Reading(None, tuple(builder.complaints))
    except _TooLargeError as error:
        builder.complain(error.position, error.complaint)
        return Reading(None, tuple(builder.complaints))
    return Reading(Document(root, tuple(_LINE_BREAK.split(text))), tuple(builder.complaints))


class _TooLargeError(Exception):
    """The text has more values or levels than a policy can have."""

    def __init__(self, position: Position, complaint: Problem) -> None:
        super().__init__(complaint.message)
        self.position = position
        self.complaint = complaint


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet. `height` counts the levels below it so far."""

    start: Position
    mapping: bool
    anchor: str | None
    items: list[Node] = field(default_factory=list)
    entries: dict[str, tuple[Position, Node]] = field(default_factory=dict)
    key: Scalar | None = None
    key_due: bool = True
    size: int = 1
    height: int = 1


@dataclass(slots=True)
class _Builder:
    """Builds the tree of the first document from YAML events, with a stack of its own."""

    complaints: list[tuple[Position, Problem]] = field(default_factory=list)
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, tuple[Node, int, int]] = field(default_factory=dict)
    root: Node | None = None
    documents: int = 0

    def complain(self, position: Position, complaint: Problem) -> None:
        """Note one fault."""
        self.complaints.append((position, complaint))

    def build(self, events: Iterable[yaml.Event]) -> Node:
        """The tree. Raises `_TooLargeError`, and whatever the event source raises."""
        for event in events:
            start = _position(event.start_mark)
            if isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    self.complain(start, Problem("a second document begins here", 'keep one document: remove "---"'))
                    break
            elif isinstance(event, yaml.ScalarEvent):
                self._scalar(event, start)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event, start)
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                self._refuse_tag(event.tag, start)
                self.stack.append(_Open(start, isinstance(event, yaml.MappingStartEvent), event.anchor))
                if len(self.stack) > MAX_DEPTH:
                    raise _TooLargeError(start, _too_deep())
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                self._close()
        if self.root is None:
            start = Position(1, 1)
            self.complain(start, Problem("the file is empty", 'begin with "version: 1"'))
            return Scalar(None, start, start, "", faulty=True)
        return self.root

    def _scalar(self, event: yaml.ScalarEvent, start: Position) -> None:
        style = event.style or ""
        is_key = bool(self.stack) and self.stack[-1].mapping and self.stack[-1].key_due
        complaint = hidden_character(event.value)
        value: str | int | bool | None = event.value
        if style == "" and event.tag is None:
            value, ambiguity = plain_scalar(event.value)
            if is_key and not isinstance(value, str):
                ambiguity = Problem(f"the key {quoted(event.value)} is not text", "put it in quotes")
            complaint = complaint or ambiguity
        if self._refuse_tag(event.tag, start) or complaint is not None:
            value = event.value
        if complaint is not None:
            self.complain(start, complaint)
        faulty = complaint is not None or event.tag is not None
        node = Scalar(event.value if is_key else value, start, _position(event.end_mark), style, faulty=faulty)
        if event.anchor:
            self.anchors[event.anchor] = (node, 1, 0)
        self._add(node, 1, 0)

    def _alias(self, event: yaml.AliasEvent, start: Position) -> None:
        known = self.anchors.get(str(event.anchor))
        if known is None:
            within = any(open_.anchor == event.anchor for open_ in self.stack)
            what = "is used inside the value that it names" if within else "is not defined above"
            self.complain(start, Problem(f'the alias "*{event.anchor}" {what}', "write the value out"))
            self._add(Scalar(None, start, start, "", faulty=True), 1, 0)
        else:
            self._add(*known)

    def _close(self) -> None:
        done = self.stack.pop()
        node: Node = Mapping(done.entries, done.start) if done.mapping else Sequence(tuple(done.items), done.start)
        if done.anchor:
            self.anchors[done.anchor] = (node, done.size, done.height)
        self._add(node, done.size, done.height)

    def _add(self, node: Node, size: int, height: int) -> None:
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        top.size += size
        top.height = max(top.height, height + 1)
        if top.size > MAX_VALUES:
            raise _TooLargeError(top.start, _too_many())
        if len(self.stack) + height > MAX_DEPTH:
            raise _TooLargeError(top.start, _too_deep())
        if not top.mapping:
            top.items.append(node)
        elif top.key_due:
            top.key = node if isinstance(node, Scalar) and isinstance(node.value, str) else None
            if top.key is None:
                self.complain(node.start, Problem("a key that is not text", "use plain text as the key"))
            top.key_due = False
        else:
            top.key_due = True
            self._add_entry(top, node)

    def _add_entry(self, top: _Open, node: Node) -> None:
        key, top.key = top.key, None
        if key is None:
            return
        name = str(key.value)
        if name == "<<" and key.style == "":
            self.complain(key.start, Problem("merge keys are not supported", "write the keys out"))
        elif name in top.entries:
            first = top.entries[name][0]
            message = f"the key {quoted(name)} stands twice, first in line {first.line}"
            self.complain(key.start, Problem(message, "keep one of the two"))
        else:
            top.entries[name] = (key.start, node)

    def _refuse_tag(self, tag: str | None, start: Position) -> bool:
        if tag is not None:
            self.complain(start, Problem(f"the tag {quoted(tag)} is not supported", "remove it"))
        return tag is not None


def _syntax_complaint(text: str, error: yaml.YAMLError) -> tuple[Position, Problem]:
    problem, position = "it cannot be read", Position(1, 1)
    if isinstance(error, yaml.MarkedYAMLError):
        problem = error.problem or problem
        mark = error.problem_mark or error.context_mark
        position = _position(mark) if mark else position
        if error.context:
            problem = f"{problem} {error.context}"
    elif isinstance(error, yaml.reader.ReaderError):
        problem = str(error.reason)
        # libyaml counts bytes here, PyYAML characters: the offending character itself is the sure way to the place.
        position = _position_at(text, max(0, text.find(chr(error.character))))
    hint = next((hint for part, hint in _SYNTAX_MENDS if part in problem), "check indentation, quotes and brackets")
    return position, Problem(f"not YAML: {problem}", hint)


def _too_many() -> Problem:
    return Problem(f"more than {MAX_VALUES} values, aliases counted in full", "split the policy into several files")


def _too_deep() -> Problem:
    return Problem(f"more than {MAX_DEPTH} levels", "flatten it: the policy has six levels")


def _position(mark: Any) -> Position:
    """PyYAML and libyaml have mark types of their own; every event of a parsed text has one."""
    return Position(mark.line + 1, mark.column + 1)


def _position_at(text: str, index: int) -> Position:
    lines = _LINE_BREAK.split(text[:index])
    return Position(len(lines), len(lines[-1]) + 1)


def _plain(node: Node) -> Any:
    match node:
        case Scalar():
            return node.value
        case Sequence():
            return [_plain(item) for item in node.items]
        case Mapping():
            return {key: _plain(value) for key, (_, value) in node.entries.items()}


def _faulty_paths(node: Node, path: Path) -> Iterator[Path]:
    match node:
        case Scalar():
            if node.faulty:
                yield path
        case Sequence():
            for index, item in enumerate(node.items):
                yield from _faulty_paths(item, (*path, index))
        case Mapping():
            for key, (_, value) in node.entries.items():
                yield from _faulty_paths(value, (*path, key))
