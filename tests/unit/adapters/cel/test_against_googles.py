"""Google's own evaluation as the oracle: where all values are of the types that the expression is about, both agree.

Ours may say UNKNOWN where servers differ; it never says TRUE where Google's says FALSE, or the other way round. Over
values of one type for each name, it says UNKNOWN only where Google's ends with an error.
"""

import random
from typing import Any, Final

import pytest
from cel_expr_python import cel
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.adapters.cel.condition import CelCondition, _environment, compile_condition
from extauthz.pdp.policy import Truth
from tests.support.conditions import PRINCIPAL, REQUEST, operation

# Arguments by type: every name has one.
NUMBERS: Final = ("i", "j", "k")
TEXTS: Final = ("s", "t", "u")
BOOLEANS: Final = ("b", "c")
LISTS: Final = ("l", "n")


class Grammar:
    """Expressions that the type checker takes, over arguments of known types."""

    def __init__(self, seed: int, *, mixed: bool) -> None:
        self._random = random.Random(seed)
        self._mixed = mixed
        self._locals: list[str] = []

    def _one(self, *options: str) -> str:
        return self._random.choice(options)

    def boolean(self, depth: int) -> str:
        if depth <= 0:
            return self._one(
                "true", "false", "args.b == true", "args.c == false", "principal.machine", "has(args.i)", "has(args.zz)"
            )
        below = depth - 1
        match self._random.randrange(15):
            case 0:
                return f"({self.boolean(below)} && {self.boolean(below)})"
            case 1:
                return f"({self.boolean(below)} || {self.boolean(below)})"
            case 2:
                return f"!({self.boolean(below)})"
            case 3:
                return f"({self.boolean(below)} ? {self.boolean(below)} : {self.boolean(below)})"
            case 4 | 5:
                return f"({self.number(below)} {self._one('==', '!=', '<', '<=', '>', '>=')} {self.number(below)})"
            case 6 | 7:
                return f"({self.text(below)} {self._one('==', '!=', '<', '<=', '>', '>=')} {self.text(below)})"
            case 8:
                return f"{self.text(below)}.{self._one('contains', 'startsWith', 'endsWith')}({self.text(below)})"
            case 9:
                return f"{self.text(below)}.matches('{self._one('a', '^a', 'b$', '^[ab]+$', '(a|b)*ab')}')"
            case 10:
                return f"{self.number(below)} in {self.numbers(below)}"
            case 11:
                return f"{self.numbers(below)} {self._one('==', '!=')} {self.numbers(below)}"
            case 12:
                within = self._one("principal.roles", "[args.s, args.t]", "['a', 'b']")
                return f"{self.text(below)} in {within}"
            case 13:
                return (
                    f"({self.any(below)} {self._one('==', '!=')} {self.any(below)})"
                    if self._mixed
                    else self.boolean(below)
                )
            case _:
                macro = self._one("all", "exists", "exists_one")
                over = self.numbers(below)
                name = f"x{len(self._locals)}"
                self._locals.append(name)
                text = f"{over}.{macro}({name}, {self.boolean(below)})"
                self._locals.pop()
                return text

    def number(self, depth: int) -> str:
        if depth <= 0:
            return self._one("0", "1", "2", "-1", *(f"args.{name}" for name in NUMBERS), *self._locals)
        below = depth - 1
        match self._random.randrange(6):
            case 0:
                return f"({self.number(below)} {self._one('+', '-', '*', '%')} {self.number(below)})"
            case 1:
                return f"{self.text(below)}.size()"
            case 2:
                return f"size({self.numbers(below)})"
            case 3:
                return f"{self.numbers(below)}[{self._one('0', '1')}]"
            case 4:
                return f"-({self.number(below)})"
            case _:
                return self.number(0)

    def text(self, depth: int) -> str:
        if depth <= 0:
            return self._one("'a'", "'ab'", "''", "principal.name", "request.path", *(f"args.{name}" for name in TEXTS))
        below = depth - 1
        match self._random.randrange(4):
            case 0:
                return f"({self.text(below)} + {self.text(below)})"
            case 1:
                return f"string({self.text(below)})"
            case _:
                return self.text(0)

    def numbers(self, depth: int) -> str:
        if depth <= 0:
            return self._one("[1, 2]", "[args.i, args.j]", *(f"args.{name}" for name in LISTS))
        below = depth - 1
        match self._random.randrange(5):
            case 0:
                return f"({self.numbers(below)} + {self.numbers(below)})"
            case 1 | 2:
                over, name = self.numbers(below), f"x{len(self._locals)}"
                self._locals.append(name)
                macro = (
                    f"map({name}, {self.number(below)})"
                    if self._random.random() < 0.5
                    else f"filter({name}, {self.boolean(below)})"
                )
                self._locals.pop()
                return f"{over}.{macro}"
            case _:
                return self.numbers(0)

    def any(self, depth: int) -> str:
        return self._one(
            f"dyn({self.number(depth)})", f"dyn({self.text(depth)})", "args.m.a", "args.i", "args.s", "null", "args.m"
        )

    def arguments(self) -> dict[str, Any]:
        choose = self._random.choice
        return {
            **{name: choose([0, 1, 2, 3, -1, 7]) for name in NUMBERS},
            **{name: choose(["", "a", "b", "ab", "ba", "aab"]) for name in TEXTS},
            **{name: choose([True, False]) for name in BOOLEANS},
            **{name: [choose([0, 1, 2, 3]) for _ in range(self._random.randrange(4))] for name in LISTS},
            "m": {"a": choose([1, 2, "a"])},
        }


def oracle(program: Any, arguments: dict[str, Any]) -> Truth:
    data = {
        **{f"principal.{name}": getattr(PRINCIPAL, name) for name in ("name", "machine")},
        "principal.roles": sorted(PRINCIPAL.roles),
        "request.path": REQUEST["path"],
        "args": arguments,
    }
    result = program.eval(data=data)
    if result.type() != cel.Type.BOOL:
        return Truth.UNKNOWN
    return Truth.TRUE if result.value() else Truth.FALSE


def compare(seed: int, *, mixed: bool) -> tuple[str, dict[str, Any], Truth, Truth] | None:
    grammar = Grammar(seed, mixed=mixed)
    text = grammar.boolean(3)
    condition = compile_condition(text)
    if not isinstance(condition, CelCondition):
        return None
    arguments = grammar.arguments()
    ours = condition.evaluate(PRINCIPAL, operation(arguments), REQUEST)
    return text, arguments, ours, oracle(_environment().compile(text), arguments)


def agree(first: int, count: int) -> int:
    """How many expressions had an answer in both."""
    answered = 0
    for seed in range(first, first + count):
        found = compare(seed, mixed=False)
        if found is not None:
            assert found[2] is found[3], found
            answered += found[3] is not Truth.UNKNOWN
    return answered


def test_both_agree_on_values_of_one_type() -> None:
    assert agree(0, 2_000) > 1_300


@pytest.mark.long
@pytest.mark.timeout(600)
def test_both_agree_on_many_values_of_one_type() -> None:
    assert agree(1_000_000, 100_000) > 65_000


def test_ours_never_says_the_contrary() -> None:
    for seed in range(2_000):
        found = compare(seed, mixed=True)
        if found is not None:
            assert found[2] in (Truth.UNKNOWN, found[3]), found


JSON: Final = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([0.5, 1.0, "", "a", "1", "true", "é"])),
    lambda below: st.one_of(
        st.lists(below, max_size=3), st.dictionaries(st.sampled_from(["a", "b", "A"]), below, max_size=3)
    ),
    max_leaves=6,
)
CONDITIONS: Final = (
    *("args.a == args.b", "args.a != args.b", "args.a in [args.b]", "args.a.b == 1", "has(args.a.b)", "'b' in args.a"),
    *("args.a == 1", "args.a == 'a'", "args.a == null", "args.a < 2", "args.a <= 'a'", "args.a.size() == 1"),
    *("args.a.all(x, x == 1)", "args.a.exists(x, x == 'a')", "args.a[0] == 1", "args.a['b'] == args.b"),
    *("args.a == [1, 'a']", "args.a == {'a': 1}", "args.a + args.b == args.a", "args.a.startsWith('a')"),
    *("!(args.a == true)", "args.a && args.b", "args.a || args.b", "args.a ? true : false", "args == {'a': 1}"),
)


@settings(max_examples=400)
@given(st.sampled_from(CONDITIONS), JSON, JSON)
def test_ours_never_says_the_contrary_of_any_json(text: str, a: Any, b: Any) -> None:
    arguments = {"a": a, "b": b}
    condition = compile_condition(text)
    assert isinstance(condition, CelCondition)
    ours = condition.evaluate(PRINCIPAL, operation(arguments), REQUEST)
    assert ours in (Truth.UNKNOWN, oracle(_environment().compile(text), arguments))
