"""YAML without surprises: what is read, where it stands, and what is refused."""

import sys
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from extauthz.config.policy_file import yaml_source
from extauthz.config.policy_file.fault import Path, Position
from extauthz.config.policy_file.yaml_source import MAX_DEPTH, MAX_VALUES, Document, read_yaml


def document(text: str) -> Document:
    reading = read_yaml(text)
    assert reading.complaints == ()
    assert reading.document is not None
    return reading.document


def complaints(text: str) -> list[str]:
    return [complaint.message for _, complaint in read_yaml(text).complaints]


# --- ordinary ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("a: -5", {"a": -5}),
        ("a: true\nb: false", {"a": True, "b": False}),
        ("a:\nb: null\nc: ~", {"a": None, "b": None, "c": None}),
        ("a: [x, 'y', \"z\"]", {"a": ["x", "y", "z"]}),
        ("- a\n- b: c", ["a", {"b": "c"}]),
        ("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}),
        ("a: >-\n  one\n  two\n", {"a": "one two"}),
        ("a: 'no'\nb: \"0123\"", {"a": "no", "b": "0123"}),
        ("a: 10.0.0.1:8080", {"a": "10.0.0.1:8080"}),
        ("a: weather.internal:8080", {"a": "weather.internal:8080"}),
        ("a: 1.2.3", {"a": "1.2.3"}),
        ("a: 60s", {"a": "60s"}),
        ("a: 3f2a", {"a": "3f2a"}),
        ("a: prévisions", {"a": "prévisions"}),
        ('{"a": [1, {"b": "c"}]}', {"a": [1, {"b": "c"}]}),
        ("a: &x [1]\nb: *x\nc: [*x, *x]", {"a": [1], "b": [1], "c": [[1], [1]]}),
        ("a: &x y\n*x : b", {"a": "y", "y": "b"}),
        ("%YAML 1.1\n---\na: b\n...\n", {"a": "b"}),
    ],
)
def test_values(text: str, value: Any) -> None:
    assert document(text).plain() == value


def test_values_have_their_types() -> None:
    plain = document("a: true\nb: 1").plain()
    assert (plain["a"], plain["b"]) == (True, 1)
    assert type(plain["a"]) is bool
    assert type(plain["b"]) is int


def test_copies_of_an_alias_are_not_shared() -> None:
    plain = document("a: &x [1]\nb: *x").plain()
    plain["a"].append(2)
    assert plain["b"] == [1]


TEXT = """\
# comment
top:
  key: value
  list:
    - first
    - {inner: "quoted"}
"""


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        ((), (2, 1), (2, 1)),
        (("top",), (3, 3), (2, 1)),
        (("top", "key"), (3, 8), (3, 3)),
        (("top", "list", 0), (5, 7), (5, 7)),
        (("top", "list", 1, "inner"), (6, 15), (6, 8)),
        (("top", "missing"), (3, 3), (2, 1)),
        (("top", "list", 7), (5, 5), (4, 3)),
        (("top", "key", "deeper"), (3, 8), (3, 3)),
    ],
)
def test_places_of_values_and_keys(path: Path, value: tuple[int, int], key: tuple[int, int]) -> None:
    read = document(TEXT)
    assert read.value_position(path) == Position(*value)
    assert read.key_position(path) == Position(*key)


@pytest.mark.parametrize(
    ("text", "place", "found"),
    [
        ("w: abc", (1, 2), Position(1, 5)),
        ("w: 'abc'", (1, 2), Position(1, 6)),
        ('w: "abc"', (1, 3), Position(1, 7)),
        ("w: |\n  abc\n   def\n", (2, 2), Position(3, 4)),
        ("w: |-\n  abc\n\n  def\n", (3, 1), Position(4, 3)),
        ('w: "a\\tbc"', (1, 3), None),
        ("w: 'a''bc'", (1, 3), None),
        ("w: >\n  abc\n  def\n", (1, 5), None),
        ("w: [a]", (1, 1), None),
        ("w: abc", (2, 1), None),
    ],
)
def test_the_place_of_a_character_inside_a_text(text: str, place: tuple[int, int], found: Position | None) -> None:
    assert document(text).inside(("w",), *place) == found


# --- refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    [
        *("yes", "no", "on", "off", "Yes", "NO", "True", "FALSE", "Null", "NULL"),
        *("0123", "+1", "1_000", "0x1F", "0o17", "0b1", "1.5", ".5", "1.", "1e3", "1.5e-3", "-.inf", ".NaN", "1:30"),
        *("2026-07-28", "2026-7-1", "2026-07-28T10:00:00Z", "=", "12345678901234567890"),
    ],
)
def test_words_that_readers_take_differently_must_be_quoted(word: str) -> None:
    (message,) = complaints(f"a: {word}")
    assert message.startswith(f'"{word}" without quotes')
    assert document(f"a: '{word}'").plain() == {"a": word}


@pytest.mark.parametrize("word", ["yes", "1", "true", "null", "1.5"])
def test_keys_are_text(word: str) -> None:
    (message,) = complaints(f"{word}: a")
    assert message.startswith((f'the key "{word}" is not text', f'"{word}" without quotes'))
    assert document(f"'{word}': a").plain() == {word: "a"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", 'the key "a" stands twice, first in line 1'),
        ("a: {b: 1, 'b': 2}", 'the key "b" stands twice, first in line 1'),
        ("a: !!int '1'", "the tag"),
        ("a: !local [1]", "the tag"),
        ("a: !!python/object/apply:os.system ['true']", "the tag"),
        ("a: &x {b: c}\nd: {<<: *x}", "merge keys are not supported"),
        ("a: *x", 'the alias "*x" is not defined above'),
        ("a: &x [*x]", 'the alias "*x" is used inside the value that it names'),
        ("[a]: b", "a key that is not text"),
        ("a: &x [b]\n*x : c", "a key that is not text"),
        ("a: 1\n---\nb: 2", "a second document begins here"),
        ("", "the file is empty"),
        ("# nothing", "the file is empty"),
        ("a: 'b\u200bc'", "the text has the invisible character U+200B"),
        ("\u202ea: b", "the text has the invisible character U+202E"),
        ('a: "\\0"', "the text has the invisible character U+0000"),
        ('a: "\\x1b[2J"', "the text has the invisible character U+001B"),
        ("a: \ud800", "the text has half of a character pair"),
        ("a: [", "not YAML"),
        ("a: b: c", "not YAML"),
        ("\ta: b", "not YAML"),
        ("a: \x01", "not YAML"),
        ("%YAML 2.0\n---\na: b", "not YAML"),
    ],
)
def test_refused(text: str, message: str) -> None:
    (told,) = complaints(text)
    assert message in told


def test_an_explicit_tag_makes_no_value() -> None:
    reading = read_yaml("a: !!int 'x'")
    assert reading.document is not None
    assert list(reading.document.faulty_paths()) == [("a",)]


def test_the_first_of_two_keys_counts() -> None:
    reading = read_yaml("a: 1\na: 2")
    assert reading.document is not None
    assert reading.document.plain() == {"a": 1}


@pytest.mark.parametrize("text", ["a: é \x01", "é: \x01", "\n\n  é\x01"])
def test_the_place_of_a_control_character_counts_characters(text: str) -> None:
    ((position, _),) = read_yaml(text).complaints
    line = text.split("\n")[position.line - 1]
    assert line[position.column - 1] == "\x01"


# --- hostile -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 100_000, "[" * 900 + "]" * 900])
def test_nesting_is_bounded_without_recursion(text: str) -> None:
    (message,) = complaints(text)
    assert f"more than {MAX_DEPTH} levels" in message or "maximum nesting depth" in message


def test_the_allowed_depth_is_read() -> None:
    assert document("[" * MAX_DEPTH + "]" * MAX_DEPTH).plain() is not None
    assert complaints("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)) == [f"more than {MAX_DEPTH} levels"]


def test_depth_counts_what_aliases_hold() -> None:
    deep = "[" * 20 + "]" * 20
    assert complaints(f"a: &x {deep}\nb: {'[' * 15}*x{']' * 15}") == [f"more than {MAX_DEPTH} levels"]


def test_values_count_with_aliases_written_out() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]" for n in range(20)]
    assert complaints("\n".join(lines)) == [f"more than {MAX_VALUES} values, aliases counted in full"]


def test_values_written_out_count_as_well() -> None:
    assert complaints("[" + "x," * MAX_VALUES + "]") == [f"more than {MAX_VALUES} values, aliases counted in full"]


@given(st.text(max_size=100))
def test_no_text_raises(text: str) -> None:
    reading = read_yaml(text)
    assert reading.document is not None or reading.complaints


JSON_LIKE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**17), 10**17), st.text(st.characters(codec="ascii"))),
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(st.text("abc", min_size=1), below)),
    max_leaves=20,
)


@given(JSON_LIKE)
def test_what_an_emitter_writes_is_read_back(value: Any) -> None:
    reading = read_yaml(yaml.safe_dump(value))
    assert reading.document is not None
    if not reading.complaints:  # control characters, and words that readers take differently
        assert reading.document.plain() == value


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="libyaml's binding is CPython's")
def test_the_reader_in_python_agrees_with_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = document(TEXT)
    monkeypatch.setattr(yaml_source, "_LOADER", yaml.SafeLoader)
    assert document(TEXT) == fast
    for text in ("a: [", "\ta: b", "a: b: c", "a: \x01", "[" * 100_000, "a: 'b"):
        (message,) = complaints(text)
        assert message
