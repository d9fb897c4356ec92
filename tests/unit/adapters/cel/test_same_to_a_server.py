"""Same meaning to a server, different to us: whatever a deny rule catches, it catches in other words as well.

Servers convert values (pydantic's lax mode, `json.loads` of texts in the Python SDK, Go's `null`, loosely typed
languages) and compare member names loosely (Go's `encoding/json`, .NET's web defaults, aliases).
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from extauthz.pdp.policy import Truth
from tests.support.conditions import examined, other_members, other_values, truth

# For every operator and function: a condition, arguments for which it holds, and what some server reads as the same.
SAME = [
    ("args.force == true", {"force": True}, ["true", "True", 1, 1.0, "1", "yes", "on", None, [True]]),
    ("args.force && true", {"force": True}, ["true", 1, "1", "yes"]),
    ("!args.dry", {"dry": False}, ["false", 0, "0", "", None]),
    ("!(args.dry == true)", {"dry": False}, ["false", 0, "0", "", None]),
    ("args.account == 666", {"account": 666}, ["666", " 666", "666.0", "6_66", "0666", [666], "0x29a"]),
    ("666 == args.account", {"account": 666}, ["666", True]),
    ("args.account != 666", {"account": 7}, ["7", None]),
    ("args.x != 'a'", {"x": "b"}, [1, None, ["b"], {"b": 1}, True]),
    ("args.x == 'a'", {"x": "a"}, [["a"], {"a": "a"}, None, 1]),
    ("args.n > 100", {"n": 200}, ["200", "2e2", [200], None]),
    ("args.n >= 100", {"n": 200}, ["200"]),
    ("args.n < 100", {"n": 1}, ["1", None, True]),
    ("args.n <= 100", {"n": 1}, ["1", None, True]),
    ("args.t < 'b'", {"t": "a"}, [1, None, ["a"]]),
    ("args.b < true", {"b": False}, [0, "false", None]),
    ("args.account in [666, 667]", {"account": 667}, ["667", "0667", [667], None]),
    ("args.account in [666, 'x']", {"account": 666}, ["666"]),
    ("args.x in ['a', 'b']", {"x": "b"}, [1, None, ["b"]]),
    ("666 in args.l", {"l": [1, 666]}, [["1", "666"], [1, "666"], "[1, 666]", "666", {"a": 666}, [None, "666"]]),
    ("'a' in args.l", {"l": ["a"]}, ["a", [["a"]], [1], {"0": "a"}]),
    ("args.l.exists(x, x == 'a')", {"l": ["a"]}, [{"0": "a"}, {"1": "b", "0": "a"}]),
    ("args.l == [1, 2]", {"l": [1, 2]}, [["1", 2], [1, "2"], "[1, 2]", [True, 2]]),
    ("args.l != [1, 3]", {"l": [1, 2]}, ["[1, 2]", {"0": 1}]),
    ("args.m == {'a': 1}", {"m": {"a": 1}}, [{"a": "1"}, {"A": 1}, {"a": 1, "z": 0}, {"a": 1, "A": 2}, '{"a": 1}']),
    ("args.m != {'a': 2}", {"m": {"a": 1}}, [{"A": 1}, '{"a": 1}']),
    ("args == {'a': 1}", {"a": 1}, ["1"]),
    ("{'a': 1} == args.m", {"m": {"a": 1}}, [{"a": 2, "A": 1}, {"A": 1}]),
    ("args.l.exists(x, x)", {"l": [True]}, [[1], ["true"], [0, "x"]]),
    ("!args.l.all(x, !x)", {"l": [True]}, [[1], ["true"]]),
    ("args.m.map(k, k).size() == 1", {"m": {"a": 1}}, [{"a": 1, "A": 2}, {"0": 1, "1": 1}]),
    ("args.l[0] == 1", {"l": [1]}, [["1"], "1", "[1]", {"0": 1}]),
    ("args.m['k'] == 1", {"m": {"k": 1}}, [{"K": 1}, {"k": "1"}, {"k": 0, "K": 1}, {"\u212a": 1}, {"k_": 1}]),
    (
        "args.m.k.j == 1",
        {"m": {"k": {"j": 1}}},
        [{"k": {"J": 1}}, {"k": {"j": 0, "J": 1}}, {"K": {"j": 1}}, {"k": "{}"}],
    ),
    ("has(args.m.k)", {"m": {"k": 1}}, [{"K": 1}, {"k": None}, '{"k": 1}', {"k\0": 1}]),
    ("!has(args.m.k)", {"m": {}}, [{"k": None}]),
    ("'k' in args.m", {"m": {"k": 1}}, [{"K": 1}, {"-k": 1}, {"k": None}, '{"k": 1}']),
    (
        "args.m.exists(k, k == 'force')",
        {"m": {"force": 1}},
        [{"Force": 1}, {"for_ce": 1}, '{"force": 1}', ["Force", 1]],
    ),
    ("args.m.exists(k, k in ['force'])", {"m": {"force": 1}}, [{"Force": 1}]),
    ("args.m.exists(k, k == 'force')", {"m": {"force": 1}}, [{"0": "force"}, {"1": 0, "0": "force"}]),
    ("args.m.exists(k, args.m[k] == 1)", {"m": {"force": 1}}, [{"force": "1"}, {"force": 0, "Force": 1}]),
    ("args.l.all(x, x == 1)", {"l": [1, 1]}, [["1", 1], [1, "1"], "[1]", {"a": 1}]),
    ("args.l.exists(x, x == 1)", {"l": [2, 1]}, [[2, "1"], ["1", 2], "[1]"]),
    ("args.l.exists_one(x, x == 1)", {"l": [2, 1]}, [[2, "1"], [1, "1"]]),
    ("args.l.filter(x, x == 1).size() > 0", {"l": [2, 1]}, [[2, "1"]]),
    ("args.l.map(x, x == 1).exists(y, y)", {"l": [2, 1]}, [[2, "1"]]),
    ("args.l.map(x, x == 1, x).size() > 0", {"l": [2, 1]}, [[2, "1"]]),
    ("args.f == 1 ? true : false", {"f": 1}, ["1", True]),
    ("args.f ? true : false", {"f": True}, ["true", 1]),
    ("(principal.machine ? 'a' : args.x) == 'b'", {"x": "b"}, [["b"], 1]),
    ("(principal.machine ? true : args.x) && true", {"x": True}, ["true", 1]),
    ("['a', args.x] == ['a', 'b']", {"x": "b"}, [["b"], 1, None]),
    ("{'a': args.x} == {'a': 1}", {"x": 1}, ["1", True]),
    ("args.t.contains('a')", {"t": "xax"}, [["xax"], {"xax": 1}, 1]),
    ("args.t.startsWith('a')", {"t": "ax"}, [["ax"], 1, None]),
    ("args.t.endsWith('x')", {"t": "ax"}, [["ax"], 1, None]),
    ("args.t.matches('^a')", {"t": "ax"}, [["ax"], 1, None]),
    ("'ab'.contains(args.t)", {"t": "a"}, [["a"], 1]),
    ("args.t.size() == 2", {"t": "ax"}, [12, ["a", "x", 1], {"a": 1}][:1]),
    ("size(args.l) == 0", {"l": []}, ["[]", " [ ]", None]),
    ("args.l.size() < 2", {"l": [1]}, ["[1]", "{}"]),
    ("args.m.size() == 1", {"m": {"a": 1}}, [{"a": 1, "A": 1}]),
    ("args.n + 1 == 3", {"n": 2}, ["2", True]),
    ("args.n - 1 == 1", {"n": 2}, ["2"]),
    ("args.n * 2 == 4", {"n": 2}, ["2", [2]]),
    ("args.n / 2 == 1", {"n": 2}, ["2", 3]),
    ("args.n % 2 == 0", {"n": 2}, ["2"]),
    ("-args.n < 0", {"n": 2}, ["2"]),
    ("args.t + 'x' == 'ax'", {"t": "a"}, [["a"], 1]),
    ("args.l + [1] == [2, 1]", {"l": [2]}, [["2"], "[2]"]),
    ("string(args.a) == '1'", {"a": "1"}, [1, 1.0, True]),
    ("int(args.a) == 1", {"a": 1}, ["1", "01", True]),
    ("uint(args.a) == 1u", {"a": 1}, ["1", True]),
    ("double(args.a) == 1.0", {"a": 1}, ["1", "1.0"]),
    ("bool(args.a)", {"a": True}, ["true", 1]),
    ("bytes(args.a) == b'1'", {"a": "1"}, [1]),
    ("dyn(args.a) == 1", {"a": 1}, ["1"]),
    ("timestamp(args.t) < timestamp('2030-01-01T00:00:00Z')", {"t": "2029-01-01T00:00:00Z"}, [1861920000]),
    ("duration(args.t) < duration('1h')", {"t": "60s"}, [60, "60"]),
    ("args.t == principal.subject", {"t": "4711"}, [4711, ["4711"]]),
    ("args.t in principal.roles", {"t": "auditor"}, [["auditor"], 1]),
    ("args.x == null", {"x": None}, ["null", "None", ""]),
    ("args.x != null", {"x": 1}, ["null"]),
    ("args.a == args.b", {"a": 1, "b": 1}, ["1", True, 1.0]),
]


@pytest.mark.parametrize(("text", "arguments", "others"), SAME, ids=[text for text, _, _ in SAME])
def test_a_deny_rule_catches_what_a_server_reads_as_the_same(
    text: str, arguments: dict[str, Any], others: list[Any]
) -> None:
    assert truth(text, arguments) is Truth.TRUE
    name = next(iter(arguments))
    passed = [other for other in others if truth(text, {**arguments, name: other}) is Truth.FALSE]
    assert passed == []


@pytest.mark.parametrize(("text", "arguments"), [(text, arguments) for text, arguments, _ in SAME])
def test_a_call_that_is_denied_stays_denied_in_other_words(text: str, arguments: dict[str, Any]) -> None:
    passed = [how for how, changed in other_members(arguments) if truth(text, changed) is Truth.FALSE]
    assert [how for how in passed if not _loses_its_meaning(text, how)] == []


def _loses_its_meaning(text: str, how: str) -> bool:
    """What the policy itself asks about the form, which is all that these changes change."""
    return ("null" in text and "= " in how) or (text.startswith("args.t.size") and "for" not in how)


@pytest.mark.parametrize(
    "use",
    [
        "k.startsWith('f')",
        "k.contains('f')",
        "k.matches('^f')",
        "k > 'e'",
        "k + 'x' == 'forcex'",
        "k.size() == 5",
        "string(k) == 'force'",
    ],
)
def test_names_are_compared_as_names_and_used_for_nothing_else(use: str) -> None:
    for name in ("force", "Force", "for_ce"):
        assert truth(f"args.exists(k, {use})", {name: 1}) is Truth.UNKNOWN


# Both sides come from the caller, and nothing says that they are texts.
@pytest.mark.parametrize(
    ("text", "a", "b", "expected"),
    [
        ("args.a == args.b", "x", "x", Truth.TRUE),
        ("args.a == args.b", "x", "y", Truth.FALSE),
        ("args.a == args.b", "1", "2", Truth.FALSE),
        ("args.a == args.b", "1", "01", Truth.UNKNOWN),
        ("args.a == args.b", "1", " 1.0 ", Truth.UNKNOWN),
        ("args.a == args.b", "16", "0x10", Truth.UNKNOWN),
        ("args.a == args.b", "9007199254740993", "9007199254740992", Truth.UNKNOWN),
        ("args.a == args.b", "1" * 70, "1" * 71, Truth.UNKNOWN),
        ("args.a == args.b", "true", "yes", Truth.UNKNOWN),
        ("args.a == args.b", "true", "1", Truth.UNKNOWN),
        ("args.a == args.b", "no", "off", Truth.UNKNOWN),
        ("args.a == args.b", "true", "false", Truth.FALSE),
        ("args.a == args.b", "[1]", "[ 1]", Truth.UNKNOWN),
        ("args.a == args.b", "", "null", Truth.UNKNOWN),
        ("args.a == args.b", "1", 1, Truth.UNKNOWN),
        ("args.a == args.b", None, None, Truth.TRUE),
        ("args.a == args.b", None, 0, Truth.UNKNOWN),
        ("args.a == args.b", ["1"], ["01"], Truth.UNKNOWN),
        ("args.a != args.b", "1", "01", Truth.UNKNOWN),
        ("args.a in [args.b]", "1", "01", Truth.UNKNOWN),
        ("args.a == args.b", "nan", "NaN", Truth.UNKNOWN),
        ("(principal.machine ? 'x' : args.a) == args.b", "1", "01", Truth.UNKNOWN),
        ("(principal.machine ? args.a : 'x') == args.b", "1", "y", Truth.FALSE),
        ("[1].map(i, args.a)[0] == args.b", "1", "01", Truth.UNKNOWN),
        ("args.a + args.a == args.b", "1", "011", Truth.UNKNOWN),
        ("args.a + '' == args.b", "1", "01", Truth.FALSE),
        ("args.a < args.b", "10", "9", Truth.UNKNOWN),
        ("args.a > args.b", "10", "9", Truth.UNKNOWN),
        ("args.a < args.b", "8", "9", Truth.TRUE),
        ("args.a < args.b", "a", "b", Truth.TRUE),
        ("args.a <= args.b", "1.0", "1", Truth.UNKNOWN),
        ("args.a + args.b == args.a", "1", "2", Truth.FALSE),
        ("args.a / args.b > 3", 7, 2, Truth.UNKNOWN),
        ("args.a / args.b > 3", 7.0, 2.0, Truth.UNKNOWN),
        ("args.a / args.b > 3", 8.0, 2, Truth.TRUE),
        ("args.a + args.b == 3", 1.0, 2, Truth.TRUE),
        ("args.a * 1.5 > 4.0", 3, 0, Truth.TRUE),
    ],
)
def test_two_arguments_are_compared_in_every_reading(text: str, a: Any, b: Any, expected: Truth) -> None:
    assert truth(text, {"a": a, "b": b}) is expected


@pytest.mark.parametrize(
    "other", ["\u0131d", "ID", "\u0130D", "i\u00add", "i\u200bd", "\uff49d", "i\u2010d", "i d", "id\x01"]
)
def test_names_that_look_alike_by_unicodes_rules(other: str) -> None:
    seen = truth("args.id == 1", {"id": 1, other: 2})
    # The small letter of U+0130 keeps its dot by Unicode's rules.
    assert seen is (Truth.TRUE if other == "\u0130D" else Truth.UNKNOWN)


def test_names_are_folded_until_nothing_changes() -> None:
    """The capital of U+0390 is three characters, which only normalization makes one again."""
    assert truth("args['\u0390'] == 1", {"\u0390": 1, "\u1fd3": 2}) is Truth.UNKNOWN
    assert truth("args['\u01f0'] == 1", {"\u01f0": 1, "J\u030c": 2}) is Truth.UNKNOWN


@pytest.mark.parametrize(
    "text",
    [
        "string(b'\\xff') == 'x'",
        "int('x') == 1",
        "timestamp('x') == timestamp('2029-01-01T00:00:00Z')",
        "timestamp('2029-01-01T00:00:00.000000001Z') == timestamp('2029-01-01T00:00:00Z')",
        "duration('1ns') == duration('0s')",
        "duration(args.long) == duration('1s')",
        "timestamp(args.t) + duration('87600000h') > timestamp(args.t)",
    ],
)
def test_conversions_without_a_value_are_unknown(text: str) -> None:
    assert truth(text, {"long": "0" * 300 + "1s", "t": "2029-01-01T00:00:00Z"}) is Truth.UNKNOWN


# What is refused too often is a fault as well: ordinary calls have their answer.
@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        ("args.account == 666", {"account": 667, "Other": 1}, Truth.FALSE),
        ("args.account == 666", {"account": 666.0}, Truth.TRUE),
        ("args.account == 666.0", {"account": 666}, Truth.TRUE),
        ("args.x == null", {"x": 0}, Truth.FALSE),
        ("args.x == null", {"x": "text"}, Truth.FALSE),
        ("args.x in ['a', null]", {"x": None}, Truth.TRUE),
        ("null in args.l", {"l": ["a", None]}, Truth.TRUE),
        ("null in args.l", {"l": ["a", 1]}, Truth.FALSE),
        ("has(args.force) && args.force == true", {}, Truth.FALSE),
        ("!has(args.force) || args.force == false", {}, Truth.TRUE),
        ("!has(args.x) || args.x == null", {"x": None}, Truth.TRUE),
        ("args.all(k, k in ['city', 'days'])", {"city": 1, "days": 2}, Truth.TRUE),
        ("args.all(k, k in ['city', 'days'])", {"city": 1, "zip": 2}, Truth.FALSE),
        ("args.size() == 2", {"city": 1, "days": 2}, Truth.TRUE),
        ("args.m == {'a': 1, 'b': [1, 'x']}", {"m": {"b": [1.0, "x"], "a": 1}}, Truth.TRUE),
        ("args.m == {'a': 1}", {"m": {"a": 2}}, Truth.FALSE),
        ("args['金額'] <= 100", {"金額": 5, "通貨": "JPY"}, Truth.TRUE),
        ("args.t == '☃é'", {"t": "☃é"}, Truth.TRUE),
        ("args.t == 'é'", {"t": "e"}, Truth.FALSE),
        ("args.l.all(x, x.startsWith('/tmp/'))", {"l": []}, Truth.TRUE),
        ("int(principal.subject) == args.n", {"n": 4711}, Truth.TRUE),
        ("string(1) == args.n", {"n": "1"}, Truth.TRUE),
        ("args.l.map(x, x * 2) == [2, 4]", {"l": [1, 2]}, Truth.TRUE),
        ("timestamp(args.t).getFullYear() == 2029", {"t": "2029-01-01T00:00:00Z"}, Truth.TRUE),
        ("args.files[0].name == 'a'", {"files": [{"name": "a", "size": 1}]}, Truth.TRUE),
    ],
)
def test_ordinary_calls_have_an_answer(text: str, arguments: dict[str, Any], expected: Truth) -> None:
    assert examined(text, arguments).truth is expected, examined(text, arguments)


# --- unknown is absorbed where CEL absorbs errors, and nowhere else -------------------------------------------------

U = "(args.u == 1)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (U, Truth.UNKNOWN),
        (f"!{U}", Truth.UNKNOWN),
        (f"false && {U}", Truth.FALSE),
        (f"{U} && false", Truth.FALSE),
        (f"true && {U}", Truth.UNKNOWN),
        (f"{U} && true", Truth.UNKNOWN),
        (f"{U} && {U}", Truth.UNKNOWN),
        (f"true || {U}", Truth.TRUE),
        (f"{U} || true", Truth.TRUE),
        (f"false || {U}", Truth.UNKNOWN),
        (f"{U} || false", Truth.UNKNOWN),
        (f"!({U} || false) && true", Truth.UNKNOWN),
        (f"{U} ? true : true", Truth.UNKNOWN),
        (f"true ? true : {U}", Truth.TRUE),
        (f"false ? {U} : false", Truth.FALSE),
        (f"true ? {U} : true", Truth.UNKNOWN),
        (f"{U} == {U}", Truth.UNKNOWN),
        (f"[{U}].size() == 1", Truth.UNKNOWN),
        (f"{{'a': {U}}}.size() == 1", Truth.UNKNOWN),
        ("[1, 2].all(x, x == args.u)", Truth.UNKNOWN),
        ("[1, 2].all(x, x == 3 && x == args.u)", Truth.FALSE),
        ("[1, 2].all(x, x == 1 || x == args.u)", Truth.UNKNOWN),
        ("[1, 2].exists(x, x == 2 || x == args.u)", Truth.TRUE),
        ("[1, 2].exists(x, x == args.u)", Truth.UNKNOWN),
        ("[1, 2].exists_one(x, x == 1 || x == args.u)", Truth.UNKNOWN),
        ("[1, 2].filter(x, x == args.u).size() == 0", Truth.UNKNOWN),
        ("[].all(x, x == args.u)", Truth.TRUE),
        ("[].exists(x, x == args.u)", Truth.FALSE),
    ],
)
def test_unknown_spreads_as_an_error_does(text: str, expected: Truth) -> None:
    assert truth(text, {"u": "1"}) is expected


@pytest.mark.parametrize(
    ("text", "arguments", "cause"),
    [
        ("args.amount <= 100", {"amount": "5"}, "args.amount is a string, compared with a number"),
        ("args.amount <= 100", {"amount": 5, "Amount": 1000}, "args has a member that looks like amount"),
        ("args.a.b == 1", {"a": {}}, "args.a has no member b"),
        ("args.a.b == 1", {"a": [1]}, "args.a is a list, not an object"),
        ("args.t.startsWith('a')", {"t": 5}, "args.t is a number, but startsWith takes a string"),
        (
            "args.l.all(x, args.l.all(y, x + y > 0))",
            {"l": list(range(1, 500))},
            "evaluating it costs more than 20000 steps",
        ),
        ("args.f && true", {"f": "true"}, "args.f is a string, not a boolean"),
        ("args.a == 1", {"a": 1}, ""),
    ],
)
def test_the_cause_can_be_told(text: str, arguments: dict[str, Any], cause: str) -> None:
    assert examined(text, arguments).cause == cause


# --- against a real server's conversion: pydantic, as the Python SDK calls it ---------------------------------------

TYPED: list[tuple[Any, str, Any]] = [
    (bool, "args.v == true", True),
    (bool, "!(args.v == false)", True),
    (bool, "args.v && true", True),
    (int, "args.v == 666", 666),
    (int, "args.v in [666]", 666),
    (int, "args.v > 600", 666),
    (int, "!(args.v < 600)", 666),
    (float, "args.v == 1.5", 1.5),
    (float, "args.v >= 1.5 && args.v <= 1.5", 1.5),
    (str, "args.v == 'x'", "x"),
    (list[int], "args.v == [1, 2]", [1, 2]),
    (list[int], "2 in args.v", [1, 2]),
    (list[int], "args.v.exists(x, x == 2)", [1, 2]),
    (list[int], "args.v.size() == 2", [1, 2]),
    (list[bool], "args.v.all(x, x)", [True, True]),
    (dict[str, int], "args.v.a == 1", {"a": 1}),
    (int | None, "args.v == 1", 1),
    (bool | None, "args.v == true", True),
    (list[str], "'x' in args.v", ["x"]),
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 700),
    st.sampled_from([666, 666.0, 1.5, "666", " 666 ", "6_66", "0666", "+666", "666.0", "1.5", " 1.50", "1e0", "0x1"]),
    st.sampled_from(
        ["true", "TRUE", "t", "y", "yes", "on", "1", "0", "off", "x", "", "null", "[1, 2]", "[true]", '{"a": 1}']
    ),
)
VALUES = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.sampled_from(["a", "A", "b"]), SCALARS, max_size=2)
)


@given(st.sampled_from(TYPED), VALUES)
def test_what_pydantic_reads_as_denied_is_never_let_through(case: tuple[Any, str, Any], sent: Any) -> None:
    wanted, text, denied = case
    assert truth(text, {"v": denied}) is Truth.TRUE
    for value in (sent, *_read_from_text(sent, wanted)):
        try:
            read = TypeAdapter(wanted).validate_python(value)
        except ValidationError:
            continue
        if read == denied and type(read) is type(denied):
            assert truth(text, {"v": sent}) is not Truth.FALSE


def _read_from_text(value: Any, wanted: Any) -> list[Any]:
    """The Python SDK reads JSON within texts where the parameter is not a text (`pre_parse_json`)."""
    if not isinstance(value, str) or wanted is str:
        return []
    try:
        return [json.loads(value)]
    except ValueError:
        return []


@given(st.sampled_from(TYPED))
def test_the_changes_are_such_that_pydantic_takes_some_as_the_same(case: tuple[Any, str, Any]) -> None:
    """The property above would hold for changes that no server accepts as well."""
    wanted, _, denied = case
    assert wanted is str or list(other_values(denied))
