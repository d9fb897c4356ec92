import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.pdp.pattern import Patterns


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        # ordinary
        ("get_*", "get_forecast", True),
        ("get_*", "get_", True),
        ("get_*", "forget_x", False),
        ("*", "", True),
        ("*", "anything\nat all", True),
        ("weather://*", "weather://rome/today", True),
        ("a*b*c", "aXbYc", True),
        ("a*b*c", "abc", True),
        ("a*b*c", "acb", False),
        ("purge", "purge", True),
        # case counts, nothing but the star is special
        ("purge", "Purge", False),
        ("a.c", "abc", False),
        ("a?c", "abc", False),
        ("[ab]", "a", False),
        # hostile: overlapping ends, the whole name must fit
        ("aba*aba", "aba", False),
        ("aba*aba", "abaaba", True),
        ("get_*", "xget_y", False),
        ("**", "x", True),
    ],
)
def test_pattern_fits_the_whole_name(pattern: str, name: str, fits: bool) -> None:
    assert Patterns.of([pattern]).matches(name) is fits


def test_no_pattern_matches_nothing() -> None:
    assert not Patterns.of([]).matches("")


@given(st.text(alphabet="ab*", max_size=8), st.text(alphabet="ab", max_size=10))
def test_agrees_with_a_regular_expression(pattern: str, name: str) -> None:
    expression = ".*".join(re.escape(piece) for piece in pattern.split("*"))
    assert Patterns.of([pattern]).matches(name) == bool(re.fullmatch(expression, name, re.DOTALL))
