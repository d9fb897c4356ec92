"""Guards in the source, found by their markers, and the source without one of them.

A marker is a comment `# guard: <name>`: at the end of the line on which the guarded piece begins, or alone on the line
above; after the name there may be a reason. The piece is the outermost statement that begins on that line, else the
outermost expression. So neither a move nor a rename nor a new layout of the source loses it; a marker that is lost, or
there twice, is an error.
"""

import ast
import builtins
import io
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

MARKER: Final = "# guard: "
ORIGINAL: Final = "_original_"
"""Stands in a replacement for what was there."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The statement does nothing; the element, argument, operand or entry is not there."""


@dataclass(frozen=True, slots=True)
class FirstOperand:
    """Of `a or b`, `a and b` only `a` is left."""


@dataclass(frozen=True, slots=True)
class Becomes:
    """The expression is another one, in which `_original_` stands for the one that was there.

    Of a statement it is the value, of `if` and `while` the test, of `except` the exception, of an entry the value.
    """

    text: str


NEVER: Final = Becomes("False")
ALWAYS: Final = Becomes("True")

Removal: TypeAlias = Gone | FirstOperand | Becomes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a marker points: a file, and the line on which the piece begins."""

    file: Path
    line: int


def find_markers(package: Path) -> Mapping[str, Place]:
    """Every marker of a package by its name. Raises AssertionError for a name that is there twice."""
    places: dict[str, Place] = {}
    for file in sorted(package.rglob("*.py")):
        source = file.read_text()
        if MARKER not in source:
            continue
        for name, line in _markers(source):
            assert name not in places, f"{name} marks {places[name]} and line {line} of {file}: give one another name"
            places[name] = Place(file, line)
    return places


def _markers(source: str) -> Iterable[tuple[str, int]]:
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or not token.string.startswith(MARKER):
            continue
        number = token.start[0]
        if lines[number - 1].lstrip().startswith("#"):
            number += 1
            while lines[number - 1].lstrip().startswith("#"):
                number += 1
        yield token.string.removeprefix(MARKER).split()[0], number


def without(source: str, removals: Iterable[tuple[int, Removal]]) -> str:
    """The source without the pieces that begin on these lines."""
    tree = ast.parse(source)
    for node, removal in [(_piece(tree, line), removal) for line, removal in removals]:
        match removal:
            case Gone():
                _remove(tree, node)
            case FirstOperand():
                _keep_first_operand(_value(node))
            case Becomes(text):
                _replace_value(tree, node, text)
    return ast.unparse(ast.fix_missing_locations(tree))


def unknown_names(source: str, removal: Removal) -> set[str]:
    """Names in a replacement that the module does not have: after a rename it would fail for another reason."""
    if not isinstance(removal, Becomes):
        return set()
    return _names(ast.parse(removal.text)) - _names(ast.parse(source)) - set(dir(builtins)) - {ORIGINAL}


def _names(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.alias(name=name):
                names.add(name)
            case _:
                pass
    return names


_Piece: TypeAlias = ast.stmt | ast.expr | ast.ExceptHandler | ast.keyword


def _piece(tree: ast.AST, line: int) -> _Piece:
    """The outermost piece that begins on the line: statements before expressions, the leftmost of them."""
    begun = [
        node
        for node in ast.walk(tree)  # breadth first: of two that begin together the outer one comes first
        if isinstance(node, ast.stmt | ast.expr | ast.ExceptHandler | ast.keyword) and node.lineno == line
    ]
    whole = [node for node in begun if isinstance(node, ast.stmt | ast.ExceptHandler)]
    assert begun, f"nothing begins on line {line}: put the marker where the guarded piece begins"
    return min(whole or begun, key=lambda node: node.col_offset)


def _value(node: _Piece) -> ast.expr:
    match node:
        case ast.If(test=value) | ast.While(test=value) | ast.ExceptHandler(type=ast.expr() as value):
            return value
        case (
            ast.Assign(value=value)
            | ast.AnnAssign(value=ast.expr() as value)
            | ast.AugAssign(value=value)
            | ast.Return(value=ast.expr() as value)
            | ast.Expr(value=ast.Yield(value=ast.expr() as value))
            | ast.Expr(value=value)
            | ast.keyword(value=value)
        ):
            return value
        case ast.expr():
            return node
        case _:
            raise AssertionError(f"a {type(node).__name__} has no value to replace: mark another piece")


def _keep_first_operand(value: ast.expr) -> None:
    operations = [node for node in ast.walk(value) if isinstance(node, ast.BoolOp)]
    assert len(operations) == 1, f"{len(operations)} operations of `and`, `or`: mark a piece that has one"
    # `a or a` is `a`, and leaves the tree as it is.
    operations[0].values = operations[0].values[:1] * 2


def _replace_value(tree: ast.AST, node: _Piece, text: str) -> None:
    old = _entry_value(tree, node) if isinstance(node, ast.expr) else _value(node)
    new = _Replace(ORIGINAL, old).visit(ast.parse(text, mode="eval").body)
    for parent in ast.walk(tree):
        for name, child in ast.iter_fields(parent):
            if child is old:
                setattr(parent, name, new)
                return
            if isinstance(child, list) and any(each is old for each in child):
                child[next(at for at, each in enumerate(child) if each is old)] = new
                return
    raise AssertionError("the piece is not in the tree")


def _entry_value(tree: ast.AST, node: ast.expr) -> ast.expr:
    """The value where the piece is the key of an entry of a dictionary."""
    for parent in ast.walk(tree):
        if isinstance(parent, ast.Dict):
            for key, value in zip(parent.keys, parent.values, strict=True):
                if key is node:
                    return value
    return node


def _remove(tree: ast.AST, node: _Piece) -> None:
    for parent in ast.walk(tree):
        if isinstance(parent, ast.Dict) and any(key is node for key in parent.keys):
            at = next(at for at, key in enumerate(parent.keys) if key is node)
            del parent.keys[at], parent.values[at]
            return
        for _, child in ast.iter_fields(parent):
            if isinstance(child, list) and any(each is node for each in child):
                at = next(at for at, each in enumerate(child) if each is node)
                child[at : at + 1] = [ast.Pass()] if isinstance(node, ast.stmt) else []
                return
    raise AssertionError("only a statement, an element, an argument, an operand or an entry can be gone")


class _Replace(ast.NodeTransformer):
    def __init__(self, name: str, by: ast.expr) -> None:
        self._name = name
        self._by = by

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._by if node.id == self._name else node
