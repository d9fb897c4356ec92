"""Which operations a rule is about, and when one rule's are among another's."""

from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from extauthz.config.policy_file.reach import KNOWN_METHODS, Reach, is_everything, matched_methods, target_kinds
from extauthz.pdp.operation import TargetKind
from extauthz.pdp.pattern import Patterns

TOOL, PROMPT, RESOURCE, TASK = TargetKind.TOOL, TargetKind.PROMPT, TargetKind.RESOURCE, TargetKind.TASK


@pytest.mark.parametrize(
    ("method", "kinds"),
    [
        ("tools/call", {TOOL}),
        ("prompts/get", {PROMPT}),
        ("resources/read", {RESOURCE}),
        ("completion/complete", {PROMPT, RESOURCE}),
        ("subscriptions/listen", {RESOURCE, TASK}),
        ("tasks/result", {TASK}),
        ("tools/list", set()),
        ("GET", set()),
        ("no/such/method", set()),
    ],
)
def test_what_a_method_can_name(method: str, kinds: set[TargetKind]) -> None:
    assert target_kinds(method) == kinds


def test_patterns_match_known_methods() -> None:
    assert matched_methods("tools/*") == ("tools/list", "tools/call")
    assert matched_methods("*") == KNOWN_METHODS
    assert matched_methods("Tools/call") == ()


def test_only_stars_are_everything() -> None:
    assert [text for text in ("*", "**", "", "a*", "*a") if is_everything(text)] == ["*", "**"]


@pytest.mark.parametrize(
    ("wide", "narrow", "covers"),
    [
        ((["*"], {}), (["tools/call"], {TOOL: ["a"]}), True),
        ((["tools/*"], {}), (["tools/call"], {}), True),
        ((["tools/call"], {}), (["tools/*"], {}), False),
        ((["tools/call"], {TOOL: ["get_*"]}), (["tools/call"], {TOOL: ["get_a", "get_b*"]}), True),
        ((["tools/call"], {TOOL: ["get_*"]}), (["tools/call"], {TOOL: ["get_a", "set_a"]}), False),
        ((["tools/call"], {TOOL: ["*"]}), (["tools/call"], {}), True),
        ((["tools/call"], {TOOL: ["get_*"]}), (["tools/call"], {}), False),
        ((["tools/*"], {TOOL: ["*"]}), (["tools/*"], {}), False),
        ((["resources/read"], {RESOURCE: ["*"]}), (["resources/read", "resources/list"], {}), False),
        ((["completion/complete"], {PROMPT: ["*"]}), (["completion/complete"], {}), False),
        ((["*"], {TOOL: ["*"]}), (["tools/call"], {TOOL: ["a"], PROMPT: ["b"]}), True),
        ((["*"], {TOOL: ["*"]}), (["tools/call", "prompts/get"], {TOOL: ["a"], PROMPT: ["b"]}), False),
        ((["x/y"], {}), (["x/y"], {}), True),
        ((["x/*"], {}), (["x/y"], {}), True),
    ],
)
def test_covering(
    wide: tuple[list[str], dict[TargetKind, list[str]]],
    narrow: tuple[list[str], dict[TargetKind, list[str]]],
    covers: bool,
) -> None:
    assert Reach.of(*wide).covers(Reach.of(*narrow)) is covers


PATTERN = st.text("ab*", min_size=1, max_size=5)
NAMES = ["".join(name) for length in range(6) for name in product("abc", repeat=length)]


@settings(max_examples=300)
@given(PATTERN, PATTERN)
def test_a_pattern_covers_another_exactly_when_it_matches_all_that_the_other_matches(wide: str, narrow: str) -> None:
    """`c` stands in no pattern, so that a `*` is seen to match what no pattern names."""
    wider, narrower = Patterns.of([wide]), Patterns.of([narrow])
    matched = [name for name in NAMES if narrower.matches(name)]
    if wider.matches(narrow):
        assert all(wider.matches(name) for name in matched)
    else:
        assume(narrow.count("*") <= 1)  # a longer name than those listed may be the one that tells
        assert not all(wider.matches(name) for name in matched)


def test_a_list_that_fits_no_method_leaves_nothing() -> None:
    assert Reach.of(["resources/read"], {TOOL: ["a"]}).atoms == ()
