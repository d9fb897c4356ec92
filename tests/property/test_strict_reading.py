"""The two engines of the JSON reader are one: whatever the quick one lets through, the exact one reads the same."""

import json
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extauthz.pdp.strict_json import MAX_DEPTH, JsonFault, JsonFaultKind, read_exactly, read_json

SEARCH = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=400)

_NAMES = st.sampled_from(["a", "b", "a:b", "", "__proto__", "__proto", "\u00e4", '"', "\\", "\\u003a", "n" * 70, ":"])
_NUMERALS = st.sampled_from(
    [
        *("0", "-0", "-0.0", "1", "1.0", "1e5", "1E+5", "1e-400", "1e400", "-1e400", "0e5", "1.7976931348623157e308"),
        *("9007199254740991", "9007199254740992", "-9007199254740991", "-9007199254740992", "9" * 19, "9" * 20),
        *("-9223372036854775808", "-9223372036854775809", "-" + "9" * 19, "9223372036854775808", "-" + "9" * 18),
        *("18446744073709551615", "18446744073709551616", "1" * 40, "0." + "1" * 19, "0." + "1" * 20, "1" * 20 + "e-5"),
        *("0.1", "0.30000000000000004", "5e-324", "2.2250738585072011e-308", "1" * 128 + ".5", "01", "1.", ".5", "+1"),
        *("1e", "NaN", "Infinity", "-Infinity", "-", "0x1", "1_0", "123456789012345678.25", "7205759403792793.5"),
    ]
)
_STRINGS = st.sampled_from(
    [
        *('""', '"a"', '":"', '"\\u003a"', '"\\u003A\\u003a"', '"\\\\u003a"', '"\\""', '"\\\\"', '"\\\\\\""', '"\\/"'),
        *('"\\ud83d\\ude00"', '"\\ud83d"', '"\\ude00"', '"\\ud83d\\u003a"', '"\u20ac"', '"\x7f"', '"\x01"', '"\\x"'),
        *('"{"', '"}]"', '"12345678901234567890123"', '"\\"__proto__\\":"', '"__proto__"', '"__proto__:"'),
    ]
)


def _name(text: str) -> st.SearchStrategy[str]:
    escaped = '"' + "".join(f"\\u{ord(character):04x}" for character in text) + '"'
    return st.sampled_from([json.dumps(text), json.dumps(text, ensure_ascii=False), escaped])


_SCALARS = st.sampled_from(["true", "false", "null"]) | _NUMERALS | _STRINGS
_SPACE = st.sampled_from(["", "", "", " ", "\n\t", "\x0b"])


def _array(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(st.lists(inner, max_size=4), _SPACE).map(lambda parts: f"[{','.join(parts[0])}{parts[1]}]")


def _object(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(_NAMES.flatmap(_name), _SPACE, inner).map(_member)
    return st.lists(member, max_size=4).map(lambda members: "{" + ",".join(members) + "}")


def _member(parts: tuple[str, str, str]) -> str:
    name, space, value = parts
    return f"{name}{space}:{value}"


TEXTS = st.recursive(_SCALARS, lambda inner: _array(inner) | _object(inner), max_leaves=12)


def typed(value: Any) -> Any:
    """A value with the types told apart that compare alike: 1, 1.0 and true, 0.0 and -0.0."""
    match value:
        case dict():
            return {name: typed(inner) for name, inner in value.items()}
        case list():
            return [typed(inner) for inner in value]
        case _:
            return (type(value).__name__, repr(value))


def both_read_alike(data: bytes) -> None:
    quick, exact = read_json(data), read_exactly(data, None)
    assert typed(quick) == typed(exact)


@SEARCH
@given(TEXTS)
def test_both_engines_read_the_same_or_refuse_for_the_same_reason(text: str) -> None:
    both_read_alike(text.encode("utf-8", "surrogatepass"))


@SEARCH
@given(TEXTS, st.randoms(use_true_random=False))
def test_texts_with_a_byte_changed_are_no_exception(text: str, random: Random) -> None:
    data = bytearray(text.encode("utf-8", "surrogatepass"))
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(data) + 1)
        data[at : at + random.randint(0, 1)] = random.choice([b'"', b"\\", b":", b",", b"{", b"}", b"0", b"\xff", b"u"])
    both_read_alike(bytes(data))


@SEARCH
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_the_nearest_doubles(number: float) -> None:
    for text in (repr(number), f"{number:.17e}", f"{number:.25g}"):
        both_read_alike(f'{{"a":[{text}]}}'.encode())


@SEARCH
@given(st.integers(0, 26).flatmap(lambda digits: st.integers(-(10**digits), 10**digits)), st.integers(-2, 2))
def test_integers_of_every_length_are_read_alike(number: int, beside: int) -> None:
    edges = [sign * 2**bits + beside for sign in (1, -1) for bits in (31, 32, 53, 62, 63, 64, 65)]
    for each in (number, *edges):
        both_read_alike(f"[{each}]".encode())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"a":1,"\\u0061":2}', JsonFaultKind.DUPLICATE_MEMBER),
        ('{"a":"\\u003a\\u003a","b":1,"b":2}', JsonFaultKind.DUPLICATE_MEMBER),
        ('{"a":"x\\"\\u003a","b":1,"b":2}', JsonFaultKind.DUPLICATE_MEMBER),
        ('{"x":{"a":1,"a":1},"\\u003a":":"}', JsonFaultKind.DUPLICATE_MEMBER),
        ('{"a":1,"a":":"}', JsonFaultKind.DUPLICATE_MEMBER),
        ('{"a":{"b:c":1,"d":2},"a":{}}', JsonFaultKind.DUPLICATE_MEMBER),
        ('{"\\u005f_proto__":1}', JsonFaultKind.PROTOTYPE_MEMBER),
        ('{"a":18446744073709551616}', JsonFaultKind.NUMBER_RANGE),
        ('{"a":-9223372036854775809}', JsonFaultKind.NUMBER_RANGE),
        ('{"a":-9999999999999999999}', JsonFaultKind.NUMBER_RANGE),
        ('{"a":9007199254740992}', JsonFaultKind.NUMBER_RANGE),
        ('{"a":1e400}', JsonFaultKind.NUMBER_RANGE),
        ('{"a":"\\ud800"}', JsonFaultKind.LONE_SURROGATE),
    ],
)
def test_what_the_quick_engine_would_let_through_is_found(text: str, kind: JsonFaultKind) -> None:
    """Each of these is a value to orjson, or an error of another kind."""
    found = read_json(text.encode())
    assert isinstance(found, JsonFault)
    assert found.kind is kind


def test_colons_that_escapes_make_do_not_make_up_for_a_lost_member() -> None:
    """Written as they were read, this text and its value have the same number of colons."""
    data = b'{"a":"\\u003a","b":1,"b":2}'
    assert data.count(b":") == orjson.dumps(orjson.loads(data)).count(b":")
    assert isinstance(read_json(data), JsonFault)


@pytest.mark.parametrize("unit", ['{"a":1}', '"12345678901234567890"', "0.1", "123456789", '"\\u003a"', "[]"])
def test_large_texts_are_read_alike(unit: str) -> None:
    both_read_alike(f"[{','.join([unit] * 5_000)}]".encode())


def test_depth_counts_before_either_engine_runs() -> None:
    deep = b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)
    found = read_json(deep)
    assert isinstance(found, JsonFault)
    assert found.kind is JsonFaultKind.TOO_DEEP
