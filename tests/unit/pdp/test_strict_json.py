"""Reading JSON as every reader takes it: RFC 8259 without its freedoms."""

import gc
import json
import sys
from collections import Counter
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.pdp.strict_json import (
    MAX_CONTAINERS,
    MAX_DEPTH,
    MAX_INTEGER,
    MAX_NUMBER_LENGTH,
    MAX_VALUES,
    JsonFault,
    JsonFaultKind,
    read_json,
)


def kind_of(text: str | bytes, **options: int) -> JsonFaultKind | None:
    value = read_json(text if isinstance(text, bytes) else text.encode(), **options)
    return value.kind if isinstance(value, JsonFault) else None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ("[]", []),
        ('""', ""),
        ("0", 0),
        ("-0", 0),
        ("true", True),
        ("false", False),
        ("null", None),
        ('{"a":1,"b":[1.5,"x",{"c":null}]}', {"a": 1, "b": [1.5, "x", {"c": None}]}),
        (' \t\r\n{ "a" : [ 1 , 2 ] }\n', {"a": [1, 2]}),
        ('"\\u0041\\"\\\\\\/\\b\\f\\n\\r\\t"', 'A"\\/\b\f\n\r\t'),
        ('"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        ('"\\\\ud83d"', "\\ud83d"),
        ('"\N{GRINNING FACE} \u2028 \x7f"', "\N{GRINNING FACE} \u2028 \x7f"),
        ('"\\u0000"', "\x00"),
        ('"\\ufeff"', "\ufeff"),
        ("1e2", 100.0),
        ("1E+2", 100.0),
        ("1.25e-2", 0.0125),
        ("1e-400", 0.0),
        ("9007199254740991", MAX_INTEGER),
        ("-9007199254740991", -MAX_INTEGER),
        ('{"a":{"a":{"a":1}}}', {"a": {"a": {"a": 1}}}),
        ('[{"a":1},{"a":2}]', [{"a": 1}, {"a": 2}]),
        ('{"a":1,"A":2,"":3}', {"a": 1, "A": 2, "": 3}),
    ],
)
def test_json_is_read(text: str, value: Any) -> None:
    read = read_json(text.encode())
    assert read == value
    assert type(read) is type(value)


RFC_8259 = {
    "empty": "",
    "only white space": " \n",
    "§2 other white space before": "\u00a01",
    "§2 other white space after": "1\u2003",
    "§2 vertical tab": "\v1",
    "§2 form feed": "[1\f]",
    "§2 byte order mark inside": "[\ufeff1]",
    "§3 capital literal": "True",
    "§3 cut literal": "tru",
    "§3 undefined": "undefined",
    "§4 no quotes": "{a:1}",
    "§4 single quotes": "{'a':1}",
    "§4 trailing comma": '{"a":1,}',
    "§4 no colon": '{"a" 1}',
    "§4 no name": "{1:1}",
    "§4 open": '{"a":1',
    "§5 trailing comma": "[1,]",
    "§5 leading comma": "[,1]",
    "§5 open": "[1",
    "§5 wrong end": "[1}",
    "§6 leading zero": "01",
    "§6 plus": "+1",
    "§6 no digits before the point": ".5",
    "§6 no digits after the point": "1.",
    "§6 no digits in the exponent": "1e",
    "§6 hexadecimal": "0x10",
    "§6 digits of another script": "\u0661",
    "§6 digit of another script after a digit": "1\u0661",
    "§6 fullwidth digit": "\uff11",
    "§6 minus alone": "-",
    "§6 NaN": "NaN",
    "§6 NaN inside": '{"a":NaN}',
    "§6 Infinity": "[Infinity]",
    "§6 minus Infinity": "[-Infinity]",
    "§6 separators": "1_000",
    "§7 control character": '"\x01"',
    "§7 newline": '"\n"',
    "§7 tab": '"\t"',
    "§7 unknown escape": '"\\x41"',
    "§7 capital U": '"\\U00000041"',
    "§7 short escape": '"\\u004"',
    "§7 escape with a sign": '"\\u+041"',
    "§7 escape with a space": '"\\u 041"',
    "§7 escape with digits of another script": '"\\u\u0660\u0660\u0664\u0661"',
    "§7 escape with an underscore": '"\\u0_41"',
    "§7 open": '"abc',
    "§7 open after an escape": '"abc\\',
    "trailing data": "{}x",
    "trailing value": "{} {}",
    "trailing comma": "{},",
    "trailing NUL": "{}\x00",
    "trailing end": "[]]",
    "comment": "/* */ {}",
    "line comment": "{} // x",
    "record separator (RFC 7464)": "\x1e{}",
}


@pytest.mark.parametrize("text", RFC_8259.values(), ids=RFC_8259.keys())
def test_what_rfc_8259_does_not_allow_is_no_json(text: str) -> None:
    assert kind_of(text) is JsonFaultKind.NOT_JSON


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":1,"a":2}',
        '{"a":1,"\\u0061":2}',
        '{"\\u0061":1,"a":2}',
        '{"na\\u006de":1,"n\\u0061me":2}',
        '{"/":1,"\\/":2}',
        '{"\\ud83d\\ude00":1,"\N{GRINNING FACE}":2}',
        '{"":1,"":2}',
        '{"x":{"a":1,"b":2,"a":3}}',
        '[[{"a":1,"a":2}]]',
        '{"arguments":{"deep":[{"k":{"a":1,"a":1}}]}}',
    ],
)
def test_members_of_one_name_are_refused_at_every_depth_after_unescaping(text: str) -> None:
    """MCP SDKs take the last, others the first (mcp.md §5.4)."""
    assert kind_of(text) is JsonFaultKind.DUPLICATE_MEMBER


@pytest.mark.parametrize(
    "text",
    ['{"__proto__":1}', '{"a":{"b":[{"__proto__":{}}]}}', '{"\\u005f_proto__":1}', '{"__pr\\u006Fto__":1}'],
)
def test_a_member_that_javascript_drops_is_refused_at_every_depth_after_unescaping(text: str) -> None:
    """The TypeScript SDKs drop it from `arguments`, the others hand it on."""
    assert kind_of(text) is JsonFaultKind.PROTOTYPE_MEMBER


@pytest.mark.parametrize("text", ['["__proto__"]', '{"a":"__proto__"}', '{"__proto__x":1,"proto":2,"constructor":3}'])
def test_nothing_else_is_taken_for_it(text: str) -> None:
    assert kind_of(text) is None


def test_the_detail_of_a_duplicate_names_the_member_safely_and_no_value() -> None:
    fault = read_json(('{"' + "n\u202e" * 500 + '":"secret","' + "n\u202e" * 500 + '":"secret"}').encode())
    assert isinstance(fault, JsonFault)
    assert "\\u202e" in fault.detail
    assert fault.detail.isascii()
    assert len(fault.detail) < 500
    assert "secret" not in fault.detail


@pytest.mark.parametrize(
    "data",
    [
        b'"\xff"',
        b'"\xc3"',
        b'"\xc0\xaf"',
        b'"\xed\xa0\x80"',
        b'"\xf4\x90\x80\x80"',
        b'{"a":"\xe9"}',
        '{"a":1}'.encode("utf-16-be") + b"\xff",
        b"\xff\xfe" + '{"a":1}'.encode("utf-16-le"),
    ],
)
def test_only_utf_8_is_read(data: bytes) -> None:
    """Raw lone surrogates and overlong forms are not UTF-8 (RFC 3629 §3)."""
    assert kind_of(data) is JsonFaultKind.NOT_UTF8


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_other_encodings_are_not_guessed(encoding: str) -> None:
    """The Python SDK's server ran such bodies: `json.loads` guesses (mcp.md §5.4)."""
    assert kind_of('{"a":1}'.encode(encoding)) is JsonFaultKind.NOT_JSON


def test_a_byte_order_mark_is_refused() -> None:
    """Some servers drop it, some answer 400 (mcp.md §5.4)."""
    assert kind_of(b"\xef\xbb\xbf{}") is JsonFaultKind.BOM


@pytest.mark.parametrize(
    "text",
    [
        '"\\ud83d"',
        '"\\ude00"',
        '"\\uD83D x"',
        '"x\\uDE00"',
        '"\\ude00\\ud83d"',
        '"\\ud83d\\ud83d\\ude00"',
        '"\\ud83d\\ude00\\ude00"',
        '"\\ud83d\\n\\ude00"',
        '"\\ud83d\\u0041"',
        '"\\\\\\ud83d"',
        '{"\\udfff":1}',
        '{"a":{"b":["ok","\\udbff"]}}',
    ],
)
def test_half_a_surrogate_pair_is_refused(text: str) -> None:
    """Some servers put U+FFFD there, some answer 400 (mcp.md §5.4)."""
    assert kind_of(text) is JsonFaultKind.LONE_SURROGATE


@pytest.mark.parametrize(
    "text",
    [
        "9007199254740992",
        "-9007199254740992",
        "9007199254740993",
        "12345678901234567890",
        "1" * 400,
        "1" * 5000,
        "1e309",
        "-1e309",
        "1E400",
        "1" * 400 + ".5",
        "0." + "1" * MAX_NUMBER_LENGTH,
        '{"a":[1e999]}',
    ],
)
def test_numbers_that_readers_take_differently_are_refused(text: str) -> None:
    """RFC 8259 §6: a server that keeps doubles acts on another integer than the one judged."""
    assert kind_of(text) is JsonFaultKind.NUMBER_RANGE


def test_depth_is_bounded_before_anything_recurses() -> None:
    assert kind_of("[" * MAX_DEPTH + "]" * MAX_DEPTH) is None
    assert kind_of("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)) is JsonFaultKind.TOO_DEEP
    assert kind_of('{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1)) is JsonFaultKind.TOO_DEEP
    assert kind_of("[" * 50_000) is JsonFaultKind.TOO_DEEP
    assert kind_of('[{"a":' * 40_000) is JsonFaultKind.TOO_DEEP
    assert kind_of("[[1]]", max_depth=1) is JsonFaultKind.TOO_DEEP
    assert kind_of("[1]", max_depth=1) is None
    assert kind_of("1", max_depth=0) is None


@pytest.mark.parametrize(
    "string",
    ["[" * 100, '\\"' + "[" * 100, "\\\\\\\\", "{}" * 100, '\\"[\\"', "\\\\\\" + '"[[[[', "x\\\\"],
)
def test_brackets_in_strings_are_no_depth(string: str) -> None:
    text = f'[["{string}",["{string}","{string}"]],"{string}"]'
    assert kind_of(text, max_depth=3) is None
    assert kind_of(text, max_depth=2) is JsonFaultKind.TOO_DEEP


def test_siblings_are_no_depth() -> None:
    assert kind_of("[" + ",".join(["[[]]"] * 1000) + "]", max_depth=3) is None
    assert kind_of("[" + ",".join(["[[]]"] * 1000) + "]", max_depth=2) is JsonFaultKind.TOO_DEEP


def test_the_number_of_values_is_bounded() -> None:
    most = "[" + ",".join(["1"] * (MAX_VALUES - 1)) + "]"
    assert kind_of(most) is None
    assert kind_of("[1," + most[1:]) is JsonFaultKind.TOO_MANY_VALUES
    assert kind_of("[" * 1_000_000) is JsonFaultKind.TOO_MANY_VALUES
    assert kind_of('"' + ",[{" * MAX_VALUES + '"') is None


def test_the_number_of_objects_and_arrays_is_bounded() -> None:
    most = "[" + ",".join(["{}"] * (MAX_CONTAINERS - 1)) + "]"
    assert kind_of(most) is None
    assert kind_of(most[:-1] + ",[]]") is JsonFaultKind.TOO_MANY_VALUES


def test_running_out_of_stack_is_an_answer_not_an_exception() -> None:
    def at_depth(levels: int) -> Any:
        return at_depth(levels - 1) if levels else kind_of('{"a":' * 60 + "1" + "}" * 60)

    limit = sys.getrecursionlimit()
    reached: set[JsonFaultKind | None] = set()
    for spare in range(20, 120, 5):
        try:
            reached.add(at_depth(limit - spare - _frames()))
        except RecursionError:
            break
    assert reached <= {None, JsonFaultKind.TOO_DEEP}
    assert None in reached


def _frames() -> int:
    count, frame = 0, sys._getframe()
    while frame.f_back is not None:
        count, frame = count + 1, frame.f_back
    return count


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), children, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON_VALUES, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_whatever_is_written_as_json_is_read_back(value: Any, ascii_only: bool, indent: int | str | None) -> None:
    assert read_json(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()) == value


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


AWKWARD_TEXT = st.text(st.sampled_from('\\"[]{},:a'), max_size=12)
AWKWARD_VALUES = st.recursive(
    AWKWARD_TEXT,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(AWKWARD_TEXT, children, max_size=3),
    max_leaves=12,
)


@given(AWKWARD_VALUES, st.integers(0, 5))
def test_depth_is_counted_exactly_whatever_the_strings_hold(value: Any, max_depth: int) -> None:
    expected = JsonFaultKind.TOO_DEEP if _depth(value) > max_depth else None
    assert kind_of(json.dumps(value), max_depth=max_depth) is expected


@given(st.binary(max_size=64) | st.text(st.sampled_from('{}[]",:\\u0dDeE19.-+ tfn\n\x00\ufeff\u00e9'), max_size=40))
def test_nothing_raises_and_what_is_read_is_json_to_the_standard_library_too(data: bytes | str) -> None:
    data = data if isinstance(data, bytes) else data.encode()
    value = read_json(data)
    if not isinstance(value, JsonFault):
        assert json.loads(data) == value


def _calls(data: bytes) -> int:
    """Calls into Python and C that one reading makes."""
    calls: Counter[str] = Counter()

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        calls[event] += 1

    # A collection in the middle would count the finalizers of whatever other tests have left behind as work.
    gc.disable()
    sys.setprofile(count)
    try:
        read_json(data)
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls["call"] + calls["c_call"]


@pytest.mark.parametrize(
    "piece",
    ['{"a":1}', "[]", "1.5", "[" * 40 + "]" * 40, '"\\ud83d\\ude00"'],
)
def test_the_work_grows_with_the_length_and_no_faster(piece: str) -> None:
    def work(count: int) -> int:
        return _calls(("[" + ",".join([piece] * count) + "]").encode())

    assert work(400) - work(200) <= 1.1 * (work(200) - work(100)) * 2 + 16


def test_large_integers_cost_no_conversion() -> None:
    """Python's own conversion of long numerals is quadratic, and raises beyond 4,300 digits."""
    assert kind_of("9" * 1_000_000) is JsonFaultKind.NUMBER_RANGE
    assert kind_of("0." + "9" * 1_000_000) is JsonFaultKind.NUMBER_RANGE
