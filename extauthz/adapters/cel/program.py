"""A checked expression as nested functions: what is evaluated for each request.

Three values: true, false, and unknown, which is raised as `UnknownError` and absorbed where CEL absorbs errors
(`false && x`, `true || x`, and in `all` and `exists`). A part of an expression is *free* where the caller may have
chosen its type: an argument, an element of one, a branch that may be one. What an operator or a conversion has made is
not free, nor is what the policy or the token says.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from extauthz.adapters.cel import functions, loops, operators
from extauthz.adapters.cel.arithmetic import OPERATIONS
from extauthz.adapters.cel.checked_ast import Call, Constant, ListOf, Loop, MapOf, Name, Node, Select, UnknownFormError
from extauthz.adapters.cel.comparison import kind_of
from extauthz.adapters.cel.loops import Macro, Run
from extauthz.adapters.cel.member_names import fold, member
from extauthz.adapters.cel.part import Part, UnsupportedError
from extauthz.adapters.cel.standard import CONVERSIONS, PARTS
from extauthz.adapters.cel.steps import Frame, UnknownError

_SHOWN_PATH_CHARS: Final = 60
_ORDERS: Final = {"_<_": (False, False), "_<=_": (False, True), "_>_": (True, False), "_>=_": (True, True)}
"""For each operator: whether its sides are exchanged, whether equal values will do."""


class Program(NamedTuple):
    """An expression ready to run in a frame with `slots` values, some of which are those of `variables`."""

    run: Run
    variables: tuple[tuple[str, int], ...]
    """What is read, and in which slot."""
    slots: int
    nodes: int


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

    def part(self, node: Node) -> Part:
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

    def _name(self, name: str) -> Part:
        local = self._scope.get(name)
        if local is not None:
            slot, free = local
            return Part(lambda frame: frame.slots[slot], free, name, 1)
        if name not in self._variables:
            raise UnsupportedError(name, f"{name} is a type, which conditions cannot compare", "compare a value")
        slot = self.read.setdefault(name, self.slots)
        self.slots = max(self.slots, slot + 1)

        def read(frame: Frame) -> Any:
            value = frame.slots[slot]
            if value is None:
                raise UnknownError("{} has no value in this request", name)
            return value

        return Part(read, self._variables[name], name, 1)

    def _select(self, node: Select) -> Part:
        operand, field = self.part(node.operand), node.field
        of, path, free, folded = operand.run, operand.path, operand.free, fold(node.field)
        if node.test:
            return Part(operators.presence(operand, field), free=False, path=path, nodes=operand.nodes + 1)

        def run(frame: Frame) -> Any:
            members = of(frame)
            if type(members) is not dict:
                raise UnknownError("{} is {}, not an object", path, kind_of(members))
            if free:
                return member(frame, members, field, folded, path)
            if field not in members:
                raise UnknownError("{} has no member {}", path, field)
            return members[field]

        return Part(run, free, _cut(f"{path}.{field}"), operand.nodes + 1)

    def _list(self, node: ListOf) -> Part:
        parts = [self.part(element) for element in node.elements]
        runs = tuple(part.run for part in parts)
        free = any(part.free for part in parts)
        literal = None
        if all(part.literal is not None for part in parts):
            literal = Constant([part.literal.value for part in parts if part.literal is not None])
        return Part(
            lambda frame: [run(frame) for run in runs], free, "a list", 1 + sum(part.nodes for part in parts), literal
        )

    def _map(self, node: MapOf) -> Part:
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
                    raise UnknownError("a map has a key twice, or one that is not text")
                made[name] = value(frame)
            return made

        return Part(
            run,
            any(part.free for pair in pairs for part in pair),
            "an object",
            1 + sum(part.nodes for pair in pairs for part in pair),
        )

    def _loop(self, node: Loop) -> Part:
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
        if shape.macro is Macro.COLLECT and element is not None:
            where = None if condition is None else condition.run
            run = loops.collected(over.run, slot, where, element.run, cost, free=over.free, path=path)
            return Part(run, over.free or element.free, path, nodes)
        if condition is None:
            raise UnknownFormError("a macro without a condition")
        if shape.macro is Macro.EXISTS_ONE:
            run = loops.exactly_one(over.run, slot, condition.run, cost, free=over.free, path=path)
        else:
            stop = shape.macro is Macro.EXISTS
            run = loops.quantified(over.run, slot, condition.run, cost, stop=stop, free=over.free, path=path)
        return Part(run, free=False, path="a condition", nodes=nodes)

    def _call(self, node: Call) -> Part:
        function = node.function
        if function in ("_&&_", "_||_"):
            return self._logic(node)
        parts = [self.part(argument) for argument in node.arguments]
        nodes = 1 + sum(part.nodes for part in parts)
        test = _test(function, parts)
        if test is not None:
            return Part(test, free=False, path="a condition", nodes=nodes)
        match function, parts:
            case "_?_:_", [condition, then, otherwise]:
                run = operators.choice(condition, then.run, otherwise.run)
                return Part(run, then.free or otherwise.free, then.path, nodes)
            case "_[_]", [container, key]:
                return Part(operators.indexed(container, key), container.free, _cut(f"{container.path}[…]"), nodes)
            case "dyn", [part]:
                return part._replace(nodes=nodes, literal=None)
            case "-_", [part]:
                return Part(functions.negation(part), free=False, path=part.path, nodes=nodes)
            case "size", [part]:
                return Part(functions.sizing(part), free=False, path=f"size({part.path})", nodes=nodes)
            case _, [left, right] if function in OPERATIONS:
                run = functions.calculation(OPERATIONS[function], left, right)
                return Part(run, left.free and right.free, "a result", nodes)
            case _, [part] if function in CONVERSIONS:
                return Part(
                    functions.conversion(function, part), free=False, path=_cut(f"{function}({part.path})"), nodes=nodes
                )
            case _, [_, *zone] if function in PARTS and all(part.literal is not None for part in zone):
                return Part(functions.part_of_time(function, parts), free=False, path=function, nodes=nodes)
            case _:
                message = f"{function} cannot be used here"
                raise UnsupportedError(function, message, "compare values, and write time zones as literals")

    def _logic(self, node: Call) -> Part:
        """`a && b && c`: the same whatever the order, so chains are one loop."""
        pending, parts = list(node.arguments), []
        while pending:
            argument = pending.pop(0)
            if isinstance(argument, Call) and argument.function == node.function:
                pending[:0] = argument.arguments
            else:
                parts.append(self.part(argument))
        run = operators.joined(tuple((part.run, part.path) for part in parts), stop=node.function == "_||_")
        return Part(run, free=False, path="a condition", nodes=1 + sum(part.nodes for part in parts))


def _test(function: str, parts: list[Part]) -> Run | None:
    """Functions and operators whose result is a boolean; None for the others."""
    match function, parts:
        case "!_", [part]:
            return operators.negation(part)
        case (("_==_" | "_!=_"), [left, right]):
            return operators.equality(left, right, wanted=function == "_==_")
        case (("_<_" | "_<=_" | "_>_" | "_>=_"), [left, right]):
            return operators.ordering(left, right, *_ORDERS[function])
        case "@in", [item, within]:
            return operators.membership(item, within)
        case (("contains" | "startsWith" | "endsWith"), [text, needle]):
            return functions.search(function, text, needle)
        case "matches", [text, pattern]:
            return functions.matching(text, pattern)
        case _:
            return None


def _cut(path: str) -> str:
    return path if len(path) <= _SHOWN_PATH_CHARS else path[:_SHOWN_PATH_CHARS] + "…"


def _constant(node: Constant) -> Part:
    value = node.value
    return Part(lambda _: value, free=False, path="a literal", nodes=1, literal=node)
