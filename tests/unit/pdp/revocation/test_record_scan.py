"""The scan of an object that another program has read: what it finds, passes over, and calls ambiguous."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.pdp.revocation.record_scan import MAX_TOKENS, Nested, Scanned, Unread, scan

WANTED = ("owner", "name", "isForbidden")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
NAMES = st.sampled_from([*WANTED, "Owner", "NAME", "other", "i\u017fForbidden", "na\tme", 'a"b'])


def scanned(text: str) -> Scanned:
    found = scan(text, WANTED)
    assert found is not None
    return found


def test_wanted_members_are_found_and_others_are_passed_over() -> None:
    found = scanned(' { "x" : [1,{"owner":"z"}] , "owner" : "acme","isForbidden":true, "name":null } ')
    assert found == Scanned({"owner": "acme", "isForbidden": True, "name": None}, frozenset(), whole=True)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0", 0),
        ("-7", -7),
        ("9" * 18, int("9" * 18)),
        ("9" * 19, Unread()),
        ("01", Unread()),
        ("1.0", Unread()),
        ("1e3", Unread()),
        ("NaN", Unread()),
        ('"\\u0041\\n"', "A\n"),
        ('"\\ud800x"', "\ufffdx"),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('"\\q"', Unread()),
        ('{"a":"}"}', Nested('{"a":"}"}')),
        ('[["]"],2]', Nested('[["]"],2]')),
    ],
)
def test_values_are_read_by_their_kind(written: str, value: object) -> None:
    found = scanned(f'{{"owner":{written},"name":"after"}}')
    assert found.members == {"owner": value, "name": "after"}
    assert found.whole


@pytest.mark.parametrize("text", ["", " ", "[]", "7", '"{}"', "null", "\ufeff{}"])
def test_what_does_not_begin_as_an_object_is_none(text: str) -> None:
    assert scan(text, WANTED) is None


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"owner"',
        '{"owner":',
        '{"owner":"acme"',
        '{"owner":"acme",}',
        '{"owner":"acme"]',
        '{"owner":"acme"}x',
        '{"owner":"acme","name":[',
        "{owner:1}",
    ],
)
def test_what_breaks_off_or_goes_on_is_not_whole(text: str) -> None:
    assert not scanned(text).whole


@given(st.lists(st.tuples(NAMES, JSON), max_size=6))
def test_members_are_those_of_a_full_reader(pairs: list[tuple[str, Any]]) -> None:
    text = "{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in pairs) + "}"
    found = scanned(text)
    assert found.whole
    for wanted in WANTED:
        alike = [(name, value) for name, value in pairs if name.casefold() == wanted.casefold()]
        assert (wanted in found.ambiguous) is (len(alike) > 1 or (len(alike) == 1 and alike[0][0] != wanted))
        if len(alike) == 1:
            value, read = alike[0][1], found.members[wanted]
            if isinstance(value, str | bool | None):
                expected = value if not isinstance(value, str) else value.encode("utf-16", "surrogatepass")
                got = read if not isinstance(read, str) else read.encode("utf-16")
                assert got == expected or isinstance(value, str)
            elif isinstance(read, Nested):
                assert json.dumps(json.loads(read.text)) == json.dumps(json.loads(json.dumps(value)))


@given(st.text(max_size=60) | st.text(alphabet='{}[]",:\\ aon1', max_size=60))
def test_no_text_raises(text: str) -> None:
    found = scan(text, WANTED)
    assert found is None or set(found.members) <= set(WANTED)


def test_what_was_found_before_the_bound_is_kept() -> None:
    text = '{"owner":"acme","x":[' + "[]," * MAX_TOKENS + '0],"name":"late"}'
    found = scanned(text)
    assert (dict(found.members), found.whole) == ({"owner": "acme"}, False)


def test_a_wanted_value_beyond_the_bound_is_there_and_unread() -> None:
    found = scanned('{"name":[' + "[]," * MAX_TOKENS + "0]}")
    assert (dict(found.members), found.whole) == ({"name": Unread()}, False)
