"""What the dearest evaluations cost, in steps: a step is 0.1 us, and the budget of 20,000 is 2 ms (at most 5 ms)."""

from typing import Any

import pytest

from extauthz.adapters.cel.steps import MAX_STEPS
from extauthz.adapters.cel.texts import Pattern, search_steps
from extauthz.pdp.policy import Truth
from tests.support.conditions import examined, truth

MB = 1_000_000


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


# Arguments of up to about 1 MB that are as dear as can be: over the budget, and given up before the work is done.
DEAREST: list[tuple[str, dict[str, Any]]] = [
    ("args.a.contains(args.b)", {"a": "a" * 1_200_000, "b": "a" * 600_000 + "b"}),
    ("args.a.contains(args.b)", {"a": "a" * 1_200_000, "b": "aaaab"}),
    ("args.a.contains('forbidden')", {"a": "forbidde" * 150_000}),
    ("args.a.all(x, x in args.a)", {"a": list(range(15_000))}),
    ("args.a.all(x, x in args.a)", {"a": [f"{n:04}" for n in range(8_000)]}),
    ("args.a.exists(x, x in args.b)", {"a": ["x" * 1000 + str(n) for n in range(400)], "b": ["x" * 1000 + "y"] * 400}),
    ("args.a.all(x, args.a.all(y, x + y > 0))", {"a": list(range(1, 300))}),
    ("args.a.all(x, args.a.all(y, args.a.all(z, x + y + z > 0)))", {"a": list(range(1, 40))}),
    ("args.a.map(x, args.a.map(y, x + y)).size() > 0", {"a": list(range(300))}),
    ("args.a.map(x, args.b + args.b).size() > 0", {"a": list(range(300)), "b": "x" * 100_000}),
    ("args.a.map(x, args.a + args.a).size() > 0", {"a": list(range(1_000))}),
    ("args.a + args.a + args.a + args.a + args.a + args.a != ''", {"a": "x" * 200_000}),
    ("args.a.filter(x, x.contains(args.b)).size() > 0", {"a": ["ab" * 10] * 20_000, "b": "abc"}),
    ("args.a.matches('(a|b)*a(a|b){12}c')", {"a": "ab" * 500_000}),
    ("args.a.matches('(x+x+)+y')", {"a": "x" * MB}),
    ("args.a.all(x, x.matches('^[a-z]+$'))", {"a": ["abc"] * 2_000}),
    ("args.a.exists(x, 'abc'.matches(x))", {"a": ["[^a][^b][^c]"] * 200}),
    ("args.a == args.b", {"a": [1] * 100_000, "b": [1] * 100_000}),
    ("args.a == args.b", {"a": {str(n): n for n in range(9_000)}, "b": {str(n): n for n in range(9_000)}}),
    ("args.a.all(x, x == args.b)", {"a": [["x" * 100] * 100] * 200, "b": ["x" * 100] * 100}),
    ("args.a == 1", {f"name_{n}": 1 for n in range(20_000)}),
    (
        "args.a.all(x, has(x.k))",
        {"a": [{"k": 1, "j": 2, "i": 3}] * 10 + [{"k": n, "j": n, "i": n} for n in range(2_000)]},
    ),
    ("args.all(k, k != 'x')", {f"name_{n}": 1 for n in range(5_000)}),
    ("args.all(k, has(args.x) || args[k] == 1)", {f"name_{n}": 1 for n in range(2_000)}),
    ("args.exists(k, args[k].exists(x, k == 'x'))", {"n" * 100_000: list(range(100))}),
    ("args.a.all(x, args.m.all(k, true))", {"a": list(range(100)), "m": {f"n{n}": 1 for n in range(500)}}),
    ("args.a.all(x, true || x == 1 || x == 2)", {"a": ["a"] * 10_000}),
    ("args.a.exists(x, x == 1 || x == 2 || x == 3)", {"a": ["a"] * 500}),
    ("args.a.all(x, int(principal.subject) == 4711)", {"a": list(range(1_000))}),
    ("args.a.all(x, timestamp(x) == timestamp(x))", {"a": ["2029-01-01T00:00:00Z"] * 1_000}),
    ("args.a.exists(x, x == 'a')", {"a": list(range(5_000))}),
    ("args.a.exists(x, x == args.b)", {"a": ["1" * 60] * 5_000, "b": "1" * 61}),
    ("args.a.all(x, x < args.b)", {"a": ["1" * 60] * 5_000, "b": "1" * 61}),
]


@pytest.mark.parametrize(("text", "arguments"), DEAREST, ids=[text for text, _ in DEAREST])
def test_the_dearest_evaluations_are_given_up(text: str, arguments: dict[str, Any]) -> None:
    found = examined(text, arguments)
    assert found.truth is Truth.UNKNOWN
    assert found.cause == f"evaluating it costs more than {MAX_STEPS} steps"


@pytest.mark.parametrize(("before", "after"), [("true || ", ""), ("", " || true"), ("!(", ")"), ("", " ? true : true")])
def test_nothing_absorbs_an_evaluation_that_is_given_up(before: str, after: str) -> None:
    dear = "args.a.all(x, x in args.a)"
    found = truth(f"{before}{dear}{after}", {"a": list(range(15_000))})
    assert found is (Truth.TRUE if before == "true || " else Truth.UNKNOWN)


@pytest.mark.parametrize(
    ("text", "arguments", "most"),
    [
        ("args.city != 'Atlantis'", {"city": "Oslo", "days": 3}, 20),
        ("principal.name == 'ann'", {}, 5),
        ("args.amount <= 100 && 'operator' in principal.roles", {"amount": 5, "to": "x", "memo": "hello"}, 40),
        ("args.files.all(f, f.startsWith('/tmp/'))", {"files": [f"/tmp/{n}" for n in range(20)]}, 150),
        ("args.files.all(f, f.startsWith('/tmp/'))", {"files": [f"/tmp/{n}" for n in range(3_000)]}, MAX_STEPS),
        ("args.name.matches('^[a-z]+$')", {"name": "abcdef"}, 60),
        ("args.path.matches('^/srv/[a-z0-9_-]+/.*[.](txt|md)$')", {"path": "/srv/data/" + "a" * 3_000}, MAX_STEPS),
        ("args.text.contains('forbidden')", {"text": "a" * 100_000}, MAX_STEPS),
        ("args.t.contains('b')", {"t": "a" * MB}, MAX_STEPS),
        ("args.t.matches('^(a*)*b$')", {"t": "a" * 100_000}, MAX_STEPS),
        ("args.t.matches(args.p)", {"t": "a" * 100_000, "p": "^(a*)*b$"}, MAX_STEPS),
        ("args.t.startsWith('aaaa')", {"t": "a" * MB}, 20),
        ("args.t == 'b'", {"t": "a" * MB}, 20),
        ("args.t.size() > 5", {"t": "a" * MB}, 20),
        ("args.x.size() > 5", {"x": [0] * 100_000}, 20),
        ("args.l.all(x, args.t.size() > 5)", {"t": " a" * (MB // 2), "l": [0] * 100}, 1_000),
        ("args.t in ['a', 'b']", {"t": "a" * MB}, 20),
        ("args.a == 1", {"a": 1, "x": [0] * 100_000, "y": "z" * MB, "z": nested(60)}, 60),
        ("args.l.all(x, !args.t.contains(x))", {"l": ["b"] * 100, "t": "a" * 1000}, MAX_STEPS),
    ],
)
def test_ordinary_conditions_cost_little(text: str, arguments: dict[str, Any], most: int) -> None:
    found = examined(text, arguments)
    assert found.truth is not Truth.UNKNOWN, found
    assert found.steps <= most


def test_an_answer_that_is_not_there_is_dearer_than_one_that_is() -> None:
    """Raising and catching is the dearest thing that a node can do."""
    texts, one = {"l": ["a"] * 100}, {"l": [1] * 100}
    for text in ("args.l.all(x, x == 1)", "args.l.all(x, x == 1 || false)", "args.l == [1].map(y, args.l)[0]"):
        assert examined(text, texts).steps >= examined(text, one).steps
    alone, joined = "args.l.all(x, x == 1)", "args.l.all(x, x == 1 && x == 1)"
    assert examined(alone, texts).steps - examined(alone, one).steps == 100 * (15 + 6)
    assert examined(joined, texts).steps - examined(joined, one).steps == 100 * (15 + 2 * (15 + 6))


def test_what_is_long_is_not_compared_beyond_the_depth_of_messages() -> None:
    assert truth("args.x == args.y", {"x": nested(60), "y": nested(60)}) is Truth.TRUE
    assert truth("args.x == args.y", {"x": nested(65), "y": nested(65)}) is Truth.UNKNOWN
    assert truth("args.x == args.y", {"x": nested(50_000), "y": nested(50_000)}) is Truth.UNKNOWN


def test_long_names_that_are_not_ascii_are_not_folded() -> None:
    assert truth("args.a == 1", {"a": 1, "é" * 256: 2}) is Truth.TRUE
    assert truth("args.a == 1", {"a": 1, "é" * 257: 2}) is Truth.UNKNOWN
    assert truth("args.a == 1", {"a": 1, "e" * 1_000: 2}) is Truth.TRUE


def test_searching_is_charged_by_the_worst_needle_of_its_width() -> None:
    assert search_steps("a" * MB, "b") == 10_001
    assert search_steps("a" * MB, "b" * 10) > MAX_STEPS
    assert search_steps("a" * 2_000, "b" * 1_000) == 1 + 1_001 * 1_008 // 200
    assert search_steps("a", "ab") == 1


def test_a_pattern_is_charged_by_its_instructions() -> None:
    small, large = Pattern("^a+$"), Pattern("(a|b)*a(a|b){12}c")
    assert small.steps("a" * 10_000) < 1_000
    assert large.steps("a" * 10_000) > 10_000 * large.size // 7
    assert large.steps("é" * 1_000) > 3 * large.steps("a" * 1_000)


@pytest.mark.parametrize("pattern", ["a{2}", "\\\\pL", "(?i)a", "[[:alpha:]]", "a" * 129, "("])
def test_a_pattern_that_is_no_literal_is_short_and_plain(pattern: str) -> None:
    assert truth("args.t.matches(args.p)", {"t": "aa", "p": pattern.replace("\\\\", "\\")}) is Truth.UNKNOWN
    assert truth("args.t.matches('^/' + principal.organization + '/')", {"t": "/acme/x"}) is Truth.TRUE
