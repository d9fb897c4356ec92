"""A checked expression as nested functions: what is evaluated for each request.

Three values: true, false, and unknown, which is raised as `UnknownError` and absorbed where CEL absorbs errors
(`false && x`, `true || x`, and in `all` and `exists`). A part of an expression is *free* where the caller may have
chosen its type: an argument, an element of one, a branch that may be one. What an operator or a conversion has made is
not free, nor is what the policy or the token says.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn

import re2

from extauthz.adapters.cel import comparison, loops, texts
from extauthz.adapters.cel.arithmetic import OPERATIONS, calculate, negative, size, to_number
from extauthz.adapters.cel.checked_ast import Call, Constant, ListOf, Loop, MapOf, Name, Node, Select
from extauthz.adapters.cel.comparison import MAX_INTEGER, kind_of
from extauthz.adapters.cel.loops import Macro, Run
from extauthz.adapters.cel.member_names import fold, has_member, member, not_an_array
from extauthz.adapters.cel.standard import CONVERSIONS, PARTS, standard_call
from extauthz.adapters.cel.steps import Frame, UnknownError, unknown

_SHOWN_PATH_CHARS: Final = 60
_NUMBERS: Final = frozenset({int, float})
_LISTS_OF_STRINGS: Final = frozenset({"principal.scopes", "principal.roles", "principal.groups"})
_ORDERS: Final = {"_<_": (False, False), "_<=_": (False, True), "_>_": (True, False), "_>=_": (True, True)}
"""For each operator: whether its sides are exchanged, whether equal values will do."""
# What an argument must be for a conversion: the same, or servers would have to convert alike.
_CONVERTED: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "bytes": (str,),
    "timestamp": (str,),
    "duration": (str,),
    "bool": (bool,),
    "int": (int, float),
    "uint": (int, float),
    "double": (int, float),
}


class UnsupportedError(Exception):
    """An expression has a part that conditions do not have: `name` as written, a message, a hint."""

    def __init__(self, name: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.name, self.message, self.hint = name, message, hint


class Program(NamedTuple):
    """An expression ready to run in a frame with `slots` values, some of which are those of `variables`."""

    run: Run
    variables: tuple[tuple[str, int], ...]
    """What is read, and in which slot."""
    slots: int
    nodes: int


class _Part(NamedTuple):
    run: Run
    free: bool
    path: str
    nodes: int
    literal: Constant | None = None


def compile_tree(tree: Node, variables: Mapping[str, bool]) -> Program:
    """Compile. `variables`: what can be read, and whether it is free. Raises `UnsupportedError`."""
    compiler = _Compiler(variables)
    part = compiler.part(tree)
    return Program(part.run, tuple(compiler.read.items()), compiler.slots, part.nodes)


class _Compiler:
    def __init__(self, variables: Mapping[str, bool]) -> None:
        self._variables = variables
        self._scope: dict[str, tuple[int, bool]] = {}
        self.read: dict[str, int] = {}
        self.slots = 0

    def part(self, node: Node) -> _Part:
        match node:
            case Constant():
                return _constant(node)
            case Name():
                return self._name(node.name)
            case Select():
                return self._select(node)
            case ListOf():
                return self._list(node)
            case MapOf():
                return self._map(node)
            case Loop():
                return self._loop(node)
            case Call():
                return self._call(node)

    def _name(self, name: str) -> _Part:
        local = self._scope.get(name)
        if local is not None:
            slot, free = local
            return _Part(lambda frame: frame.slots[slot], free, name, 1)
        if name not in self._variables:
            raise UnsupportedError(name, f"{name} is a type, which conditions cannot compare", "compare a value")
        slot = self.read.setdefault(name, self.slots)
        self.slots = max(self.slots, slot + 1)

        def read(frame: Frame) -> Any:
            value = frame.slots[slot]
            if value is None:
                unknown("{} has no value in this request", name)
            return value

        return _Part(read, self._variables[name], name, 1)

    def _select(self, node: Select) -> _Part:
        operand, field = self.part(node.operand), node.field
        of, path, free, folded = operand.run, operand.path, operand.free, fold(node.field)
        if node.test:
            return _Part(lambda frame: _has(frame, of(frame), field, folded, free=free, path=path), False, path, operand.nodes + 1)

        def run(frame: Frame) -> Any:
            members = of(frame)
            if type(members) is not dict:
                unknown("{} is {}, not an object", path, kind_of(members))
            if free:
                return member(frame, members, field, folded, path)
            if field not in members:
                unknown("{} has no member {}", path, field)
            return members[field]

        return _Part(run, free, _cut(f"{path}.{field}"), operand.nodes + 1)

    def _list(self, node: ListOf) -> _Part:
        parts = [self.part(element) for element in node.elements]
        runs = tuple(part.run for part in parts)
        free = any(part.free for part in parts)
        literal = None
        if all(part.literal is not None for part in parts):
            literal = Constant([part.literal.value for part in parts if part.literal is not None])  # type: ignore[arg-type]
        return _Part(
            lambda frame: [run(frame) for run in runs], free, "a list", 1 + sum(part.nodes for part in parts), literal
        )

    def _map(self, node: MapOf) -> _Part:
        if node.message:
            raise UnsupportedError(node.message, f"{node.message} is a message type", "write a value of JSON")
        pairs = [(self.part(key), self.part(value)) for key, value in node.entries]
        for key, _ in pairs:
            if key.literal is not None and type(key.literal.value) is not str:
                raise UnsupportedError("{", "a map has a key that is not text", "names of members are text")
        runs = tuple((key.run, value.run) for key, value in pairs)

        def run(frame: Frame) -> dict[str, Any]:
            made: dict[str, Any] = {}
            for key, value in runs:
                name = key(frame)
                if type(name) is not str or name in made:
                    unknown("a map has a key twice, or one that is not text")
                made[name] = value(frame)
            return made

        return _Part(
            run,
            any(part.free for pair in pairs for part in pair),
            "an object",
            1 + sum(part.nodes for pair in pairs for part in pair),
        )

    def _loop(self, node: Loop) -> _Part:
        over = self.part(node.over)
        shape = loops.shape_of(node)
        slot, outer = self.slots, self._scope
        self.slots += 1
        self._scope = {**outer, node.variable: (slot, over.free)}
        condition = None if shape.condition is None else self.part(shape.condition)
        element = None if shape.collected is None else self.part(shape.collected)
        self._scope = outer
        body = sum(part.nodes for part in (condition, element) if part is not None)
        cost, path = body + loops.ROUND_STEPS, over.path
        nodes = over.nodes + body + 1
        match shape.macro, condition, element:
            case (Macro.ALL | Macro.EXISTS), _Part(), _:
                stop = shape.macro is Macro.EXISTS
                run = loops.quantified(over.run, slot, condition.run, cost, stop=stop, free=over.free, path=path)
                return _Part(run, False, "a condition", nodes)
            case Macro.EXISTS_ONE, _Part(), _:
                run = loops.exactly_one(over.run, slot, condition.run, cost, free=over.free, path=path)
                return _Part(run, False, "a condition", nodes)
            case Macro.COLLECT, _, _Part():
                where = None if condition is None else condition.run
                run = loops.collected(over.run, slot, where, element.run, cost, free=over.free, path=path)
                return _Part(run, over.free or element.free, path, nodes)
        raise AssertionError

    def _call(self, node: Call) -> _Part:
        function = node.function
        if function in ("_&&_", "_||_"):
            return self._logic(node)
        parts = [self.part(argument) for argument in node.arguments]
        nodes = 1 + sum(part.nodes for part in parts)
        match function, parts:
            case "!_", [part]:
                return _Part(_not(part), False, "a condition", nodes)
            case "_?_:_", [condition, then, otherwise]:
                run = _choice(condition, then.run, otherwise.run)
                return _Part(run, then.free or otherwise.free, then.path, nodes)
            case ("_==_" | "_!=_"), [left, right]:
                return _Part(_equality(left, right, wanted=function == "_==_"), False, "a condition", nodes)
            case ("_<_" | "_<=_" | "_>_" | "_>=_"), [left, right]:
                return _Part(_order(left, right, *_ORDERS[function]), False, "a condition", nodes)
            case "@in", [item, within]:
                return _Part(_membership(item, within), False, "a condition", nodes)
            case "_[_]", [container, key]:
                return _Part(_indexed(container, key), container.free, _cut(f"{container.path}[…]"), nodes)
            case "size", [part]:
                of, free, path = part.run, part.free, part.path
                return _Part(lambda frame: size(frame, of(frame), free=free, path=path), False, f"size({path})", nodes)
            case ("contains" | "startsWith" | "endsWith"), [text, needle]:
                return _Part(_search(function, text, needle), False, "a condition", nodes)
            case "matches", [text, pattern]:
                return _Part(_matching(text, pattern), False, "a condition", nodes)
            case "dyn", [part]:
                return part._replace(nodes=nodes, literal=None)
            case "-_", [part]:
                of, free = part.run, part.free
                return _Part(lambda frame: negative(of(frame), free=free), False, part.path, nodes)
        if function in OPERATIONS and len(parts) == 2:
            left, right = parts
            run = _calculation(OPERATIONS[function], left, right)
            return _Part(run, left.free and right.free, "a result", nodes)
        if function in CONVERSIONS and len(parts) == 1:
            return _Part(_conversion(function, parts[0]), False, f"{function}({parts[0].path})", nodes)
        if function in PARTS and (len(parts) == 1 or parts[1].literal is not None):
            runs = [part.run for part in parts]
            return _Part(
                lambda frame: standard_call(frame, function, [run(frame) for run in runs]), False, function, nodes
            )
        raise UnsupportedError(
            function,
            f"{function} cannot be used in conditions",
            "compare values; time zones are literals",
        )

    def _logic(self, node: Call) -> _Part:
        """`a && b && c`: the same whatever the order, so chains are one loop."""
        pending, parts = list(node.arguments), []
        while pending:
            argument = pending.pop(0)
            if isinstance(argument, Call) and argument.function == node.function:
                pending[:0] = argument.arguments
            else:
                parts.append(self.part(argument))
        run = _joined(tuple((part.run, part.path) for part in parts), stop=node.function == "_||_")
        return _Part(run, False, "a condition", 1 + sum(part.nodes for part in parts))


def _cut(path: str) -> str:
    return path if len(path) <= _SHOWN_PATH_CHARS else path[:_SHOWN_PATH_CHARS] + "…"


def _told(left: _Part, right: _Part) -> str:
    """Which side of a comparison a cause is about: the caller's, else the one that is no literal."""
    if right.free and not left.free:
        return right.path
    return left.path if left.literal is None else right.path


def _constant(node: Constant) -> _Part:
    value = node.value
    return _Part(lambda _: value, False, "a literal", 1, node)


def _joined(parts: tuple[tuple[Run, str], ...], *, stop: bool) -> Run:
    """`&&` (stops at false) or `||` (stops at true) of several parts; unknown if none stops it and one is unknown."""

    def run(frame: Frame) -> bool:
        doubt: tuple[Any, ...] | None = None
        for part, path in parts:
            try:
                value = part(frame)
            except UnknownError as error:
                doubt = doubt or error.args
                continue
            if value is stop:
                return stop
            if value is not (not stop):
                doubt = doubt or ("{} is {}, not a boolean", path, kind_of(value))
        if doubt is not None:
            raise UnknownError(*doubt)
        return not stop

    return run


def _not(part: _Part) -> Run:
    of, path = part.run, part.path

    def run(frame: Frame) -> bool:
        value = of(frame)
        if value is True:
            return False
        if value is False:
            return True
        return _no_boolean(value, path)

    return run


def _choice(condition: _Part, then: Run, otherwise: Run) -> Run:
    of, path = condition.run, condition.path

    def run(frame: Frame) -> Any:
        value = of(frame)
        if value is True:
            return then(frame)
        if value is False:
            return otherwise(frame)
        return _no_boolean(value, path)

    return run


def _no_boolean(value: Any, path: str) -> NoReturn:
    unknown("{} is {}, not a boolean", path, kind_of(value))


def _has(frame: Frame, members: Any, name: str, folded: str, *, free: bool, path: str) -> bool:
    if type(members) is not dict:
        unknown("{} is {}, not an object", path, kind_of(members))
    if not free:
        return name in members
    if not has_member(frame, members, name, folded, path):
        return False
    if members[name] is None:
        unknown("{}.{} is null, which some servers read as absent", path, name)
    return True


def _equality(left: _Part, right: _Part, *, wanted: bool) -> Run:
    if left.literal is not None and right.literal is None:
        left, right = right, left
    free, path = (left.free, right.free), _told(left, right)
    one, other = left.run, right.run
    value = None if right.literal is None else right.literal.value
    quick: Any = type(value) if type(value) in (str, bool, int, float) else None
    if right.literal is None or quick is None or (quick is str and not str(value).isascii()):
        return lambda frame: comparison.equal(frame, one(frame), other(frame), free=free, path=path) is wanted

    def run(frame: Frame) -> bool:
        found = one(frame)
        if type(found) is quick and (found.isascii() if quick is str else -MAX_INTEGER <= found <= MAX_INTEGER):
            return (found == value) is wanted
        return comparison.equal(frame, found, value, free=free, path=path) is wanted

    return run


def _order(left: _Part, right: _Part, exchanged: bool, or_equal: bool) -> Run:  # noqa: FBT001 - from a table
    if exchanged:
        left, right = right, left
    path = _told(left, right)
    one, other, free = left.run, right.run, (left.free, right.free)
    numbers = any(part.literal is not None and type(part.literal.value) in (int, float) for part in (left, right))

    def run(frame: Frame) -> bool:
        first, second = one(frame), other(frame)
        if numbers and type(first) in _NUMBERS and type(second) in _NUMBERS:
            if -MAX_INTEGER <= first <= MAX_INTEGER and -MAX_INTEGER <= second <= MAX_INTEGER:
                return bool(first <= second if or_equal else first < second)
        return comparison.less(frame, first, second, or_equal=or_equal, free=free, path=path)

    return run


def _membership(item: _Part, within: _Part) -> Run:
    one, other, free, path = item.run, within.run, (item.free, within.free), item.path
    listed = None if within.literal is None else within.literal.value
    texts_listed = frozenset(listed) if isinstance(listed, list) and {type(text) for text in listed} == {str} else None

    strings = not within.free and within.literal is None and within.path in _LISTS_OF_STRINGS

    def run(frame: Frame) -> bool:
        found = one(frame)
        if texts_listed is not None and type(found) is str and found.isascii():
            return found in texts_listed
        among = other(frame)
        if type(among) is list:
            if strings and type(found) is str and found.isascii():
                # What the token says is text throughout.
                frame.spend(len(among) * (1 + (len(found) >> 9)))
                return found in among
            return comparison.contained(frame, found, among, free=free, path=path)
        if type(among) is dict:
            if not isinstance(found, str):
                unknown("{} is {}, not a member name", path, kind_of(found))
            if free[1]:
                not_an_array(frame, among, within.path)
            frame.spend(6 + (len(found) >> 3))
            return _has(frame, among, str(found), fold(found), free=free[1], path=within.path)
        unknown("{} is {}, not a list or an object", within.path, kind_of(among))

    return run


def _indexed(container: _Part, key: _Part) -> Run:
    of, by, free, path = container.run, key.run, container.free, container.path

    def run(frame: Frame) -> Any:
        among, found = of(frame), by(frame)
        if type(among) is dict and isinstance(found, str):
            if free:
                frame.spend(6 + (len(found) >> 3))
                return member(frame, among, str(found), fold(found), path)
            if found in among:
                return among[found]
        elif type(among) is list:
            place = int(found) if type(found) is float and found.is_integer() else found
            if type(place) is int and 0 <= place < len(among):
                return among[place]
        unknown("{} is {} and has no such element", path, kind_of(among))

    return run


def _search(function: str, text: _Part, needle: _Part) -> Run:
    one, other = text.run, needle.run
    prefix = needle.literal.value if needle.literal is not None and function == "startsWith" else None

    def run(frame: Frame) -> bool:
        found = one(frame)
        if prefix is not None and type(found) is str:
            return found.startswith(prefix)
        sought = other(frame)
        for value, part in ((found, text), (sought, needle)):
            if type(value) is not str:
                unknown("{} is {}, but {} takes a string", part.path, kind_of(value), function)
        if function == "contains":
            return texts.contains(frame, found, sought)
        frame.spend(1 + (len(sought) >> 9))
        return bool(found.startswith(sought) if function == "startsWith" else found.endswith(sought))

    return run


def _matching(text: _Part, pattern: _Part) -> Run:
    one, other, path = text.run, pattern.run, text.path
    compiled: texts.Pattern | None = None
    if pattern.literal is not None:
        try:
            compiled = texts.Pattern(str(pattern.literal.value))
        except re2.error:
            raise UnsupportedError("matches", "matches has no valid regular expression", "use RE2 syntax") from None
        if compiled.size > texts.MAX_PROGRAM:
            message = f"the regular expression has more than {texts.MAX_PROGRAM} instructions"
            raise UnsupportedError("matches", message, "use fewer counts and classes")

    def run(frame: Frame) -> bool:
        found = one(frame)
        if type(found) is not str:
            unknown("{} is {}, but matches takes a string", path, kind_of(found))
        if compiled is not None:
            return compiled.found(frame, found)
        expression = other(frame)
        if type(expression) is not str:
            unknown("{} is {}, but matches takes a string", pattern.path, kind_of(expression))
        return texts.matches(frame, found, expression)

    return run


def _calculation(operation: str, left: _Part, right: _Part) -> Run:
    one, other, free = left.run, right.run, (left.free, right.free)
    return lambda frame: calculate(frame, operation, one(frame), other(frame), free=free)


def _conversion(function: str, part: _Part) -> Run:
    of, free, path, accepted = part.run, part.free, part.path, _CONVERTED[function]

    def run(frame: Frame) -> Any:
        value = of(frame)
        if free and type(value) not in accepted:
            unknown("{} is {}, which {}() does not convert", path, kind_of(value), function)
        if type(value) is int or type(value) is float:
            if function in ("int", "double"):
                return to_number(value, whole=function == "int")
            if function == "uint" and value >= 0:
                return to_number(value, whole=True)
        if type(value) is str and function == "string":
            return value
        return standard_call(frame, function, [value])

    return run
