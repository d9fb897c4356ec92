"""The checked expression as a tree, read from the serialized form of Google's CEL compiler.

The compiler's Python package hands the tree out in no other form. `Expression.serialize` gives a `google.protobuf.Any`
with a `cel.expr.CheckedExpr` (https://github.com/google/cel-spec, proto/cel/expr/checked.proto and syntax.proto). Only
the tree in it is needed; the few messages are read with the rules of the protobuf wire format.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import unpack
from typing import Any, Final, TypeAlias

_CHECKED_EXPR: Final = b"type.googleapis.com/cel.expr.CheckedExpr"


class UnknownFormError(ValueError):
    """The compiler handed out something that this module does not know: another version of the package."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal: a scalar, or a list of them. Unsigned integers are plain integers here, since numbers are one type."""

    value: Any


@dataclass(frozen=True, slots=True)
class Name:
    """A variable under its dotted name, or a name that a macro declares."""

    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`, or with `test` the macro `has(operand.field)`."""

    operand: "Node"
    field: str
    test: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function or operator. The receiver of a method is its first argument: CEL has no other difference."""

    function: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b]`."""

    elements: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    """`{a: b}`; a message literal has the name of its type."""

    entries: tuple[tuple["Node", "Node"], ...]
    message: str


@dataclass(frozen=True, slots=True)
class Loop:
    """What a macro (`all`, `exists`, `exists_one`, `map`, `filter`) becomes: a fold over a list or a map's keys."""

    variable: str
    over: "Node"
    accumulator: str
    start: "Node"
    step: "Node"
    result: "Node"


Node: TypeAlias = Constant | Name | Select | Call | ListOf | MapOf | Loop


def tree_of(serialized: bytes) -> Node:
    """The tree of a serialized checked expression. Raises `UnknownFormError`."""
    outer = dict(_fields(serialized))
    if outer.get(1) != _CHECKED_EXPR:
        raise UnknownFormError("not a serialized CheckedExpr")
    checked = dict(_fields(_bytes(outer.get(2))))
    return _node(_bytes(checked.get(4)))


def _node(message: bytes) -> Node:
    # Field 2 is the expression's id; one of the fields 3 to 9 is the expression.
    for number, value in _fields(message):
        match number:
            case 3:
                return _constant(_bytes(value))
            case 4:
                return Name(_text(dict(_fields(_bytes(value))).get(1)))
            case 5:
                parts = dict(_fields(_bytes(value)))
                return Select(_node(_bytes(parts.get(1))), _text(parts.get(2)), bool(parts.get(3, 0)))
            case 6:
                return _call(_bytes(value))
            case 7:
                return _list(_bytes(value))
            case 8:
                return _map(_bytes(value))
            case 9:
                return _loop(_bytes(value))
            case _:
                pass
    raise UnknownFormError("an expression of an unknown kind")


def _constant(message: bytes) -> Constant:
    for number, value in _fields(message):
        match number, value:
            case 1, int():
                return Constant(None)
            case 2, int():
                return Constant(bool(value))
            case 3, int():
                return Constant(value - (1 << 64) if value >> 63 else value)
            case 4, int():
                return Constant(value)
            case 5, bytes():
                return Constant(float(unpack("<d", value)[0]))
            case 6, bytes():
                return Constant(_text(value))
            case 7, bytes():
                return Constant(value)
            case _:
                pass
    raise UnknownFormError("a constant of an unknown kind")


def _call(message: bytes) -> Call:
    parts = list(_fields(message))
    receiver = [_node(_bytes(value)) for number, value in parts if number == 1]
    arguments = [_node(_bytes(value)) for number, value in parts if number == 3]
    return Call(_text(dict(parts).get(2)), (*receiver, *arguments))


def _list(message: bytes) -> ListOf:
    elements: list[Node] = []
    for number, value in _fields(message):
        if number != 1:
            raise UnknownFormError("a list with optional elements")
        elements.append(_node(_bytes(value)))
    return ListOf(tuple(elements))


def _map(message: bytes) -> MapOf:
    entries: list[tuple[Node, Node]] = []
    name = ""
    for number, value in _fields(message):
        if number == 1:
            name = _text(value)
            continue
        entry = dict(_fields(_bytes(value)))
        if number != 2 or 5 in entry:
            raise UnknownFormError("a map with optional entries")
        key: Node = Constant(_text(entry[2])) if 2 in entry else _node(_bytes(entry.get(3)))
        entries.append((key, _node(_bytes(entry.get(4)))))
    return MapOf(tuple(entries), name)


def _loop(message: bytes) -> Loop:
    parts = dict(_fields(message))
    if 8 in parts:
        raise UnknownFormError("a macro with two variables")
    return Loop(
        variable=_text(parts.get(1)),
        over=_node(_bytes(parts.get(2))),
        accumulator=_text(parts.get(3)),
        start=_node(_bytes(parts.get(4))),
        step=_node(_bytes(parts.get(6))),
        result=_node(_bytes(parts.get(7))),
    )


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message in order: (number, value). Protobuf wire types 0, 1, 2 and 5."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        match tag & 7:
            case 0:
                number, at = _varint(message, at)
                yield tag >> 3, number
                continue
            case 1:
                size = 8
            case 2:
                size, at = _varint(message, at)
            case 5:
                size = 4
            case _:
                raise UnknownFormError("an unknown wire type")
        if at + size > end:
            raise UnknownFormError("a field is cut")
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise UnknownFormError("a number is cut")


def _bytes(value: int | bytes | None) -> bytes:
    # An empty message may be left out of its parent, as in proto3 every default value is.
    if value is None:
        return b""
    if isinstance(value, int):
        raise UnknownFormError("a number where a message was expected")
    return value


def _text(value: int | bytes | None) -> str:
    return _bytes(value).decode()
