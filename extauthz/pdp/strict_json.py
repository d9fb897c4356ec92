"""JSON as every reader takes it: RFC 8259 without the freedoms in which real parsers differ.

Two parsers that read one text differently are the way round a gateway, so whatever servers are known to read
differently is a fault here, not a choice: duplicate members (first or last wins, RFC 8259 §4), a member named
`__proto__` (dropped or inherited from in JavaScript), `NaN` (RFC 8259 §6), a byte order mark (§8.1), lone surrogates
(§8.2), integers outside the range in which a double is exact (§6), numbers that overflow a double, nesting that stops
some parsers and not others (§9).

Two engines. `orjson` keeps the grammar of RFC 8259 and is several times faster, but says nothing of duplicate members:
the value is written again, and has to have as many members as the text. Where that or anything else is not plain, the
text is read once more with the scanner of Python's `json`, which tells each member and each number, its three liberties
taken away (`NaN` and its like, duplicate members, lone surrogates by escape), and says what is wrong. Both recurse per
level, so depth is measured before they run, by counting over the bytes.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from json import JSONDecodeError, JSONDecoder
from math import isinf
from re import compile as compile_pattern
from typing import Final, NoReturn, TypeAlias

import orjson

JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None

# Depth, in levels of objects and arrays. No MCP message needs ten; tool arguments are free in depth, and 64 is below
# the smallest limit seen in a server's parser (System.Text.Json's 64, which counts in the same way).
MAX_DEPTH: Final = 64
# Values in one text (members and elements together). Each costs about 100 ns, so this is what bounds the time of a
# hostile text; 100,000 are far more than any message that carries data in strings.
MAX_VALUES: Final = 100_000
# Objects and arrays in one text. Each costs about 250 ns, so that many small ones would take the time of a far longer
# text; three values in each on the average are still too few for any data that are worth sending.
MAX_CONTAINERS: Final = 32_768
# RFC 8259 §6, RFC 7493 §2.2: integers within ±(2**53 - 1) are the ones on which readers agree. Beyond, a server that
# keeps doubles acts on another number than the one judged.
MAX_INTEGER: Final = 2**53 - 1
# Characters of one number. A double's shortest exact form has at most 24; longer tails are noise of emitters.
MAX_NUMBER_LENGTH: Final = 128
# Not an ordinary member in JavaScript: copying an object drops it, or sets what other members are inherited from. The
# TypeScript SDKs drop it from `arguments`.
_PROTOTYPE: Final = "__proto__"
# Characters of a member name shown to an operator.
_SHOWN_NAME_LENGTH: Final = 64


class JsonFaultKind(StrEnum):
    """Why a text is not JSON that all readers take alike."""

    NOT_UTF8 = "not_utf8"
    BOM = "bom"
    NOT_JSON = "not_json"
    DUPLICATE_MEMBER = "duplicate_member"
    PROTOTYPE_MEMBER = "prototype_member"
    TOO_DEEP = "too_deep"
    TOO_MANY_VALUES = "too_many_values"
    LONE_SURROGATE = "lone_surrogate"
    NUMBER_RANGE = "number_range"


@dataclass(frozen=True, slots=True)
class JsonFault:
    """The first thing found wrong. `detail` is one sentence for the operator, without values from the text."""

    kind: JsonFaultKind
    detail: str


class _FaultError(Exception):
    """Carries a fault out of the scanner's callbacks."""

    def __init__(self, kind: JsonFaultKind, detail: str) -> None:
        super().__init__(detail)
        self.fault = JsonFault(kind, detail)


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    if len(members) != len(pairs):  # guard: no-duplicates
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _FaultError(
                    JsonFaultKind.DUPLICATE_MEMBER,
                    f"member {name[:_SHOWN_NAME_LENGTH]!a} stands twice in one object: send it once",
                )
            seen.add(name)
    if _PROTOTYPE in members:
        raise _FaultError(
            JsonFaultKind.PROTOTYPE_MEMBER,
            f"a member is named {_PROTOTYPE}, which JavaScript drops or takes otherwise: use another name",
        )
    return members


def _integer(numeral: str) -> int:
    # 15 digits are always in range, and int() of a numeral of unbounded length would not be linear.
    if len(numeral) < 16:
        return int(numeral)
    if len(numeral) > 17 or not -MAX_INTEGER <= (value := int(numeral)) <= MAX_INTEGER:
        raise _FaultError(
            JsonFaultKind.NUMBER_RANGE, "an integer is outside ±(2**53 - 1), where readers differ: send it as a string"
        )
    return value


def _float(numeral: str) -> float:
    if len(numeral) > MAX_NUMBER_LENGTH or isinf(value := float(numeral)):
        raise _FaultError(
            JsonFaultKind.NUMBER_RANGE, "a number is beyond what a double holds: send it smaller or as a string"
        )
    return value


def _constant(name: str) -> NoReturn:
    raise _FaultError(JsonFaultKind.NOT_JSON, f"{name} is not JSON: send null or a string")


_DECODER: Final = JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_float,  # guard: finite-numbers
    parse_constant=_constant,  # guard: no-constants
)

# A \u escape of one half of a surrogate pair without the other, in a text whose backslashes all begin an escape.
_LONE_SURROGATE: Final = compile_pattern(
    r"\\u[dD](?:"
    r"[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F][0-9a-fA-F]{2}"
    r")"
)
# What is left when all but the characters that make structure is deleted.
_NOT_STRUCTURE: Final = bytes(byte for byte in range(256) if byte not in b'"[]{},:')
_AS_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_STEPS: Final = tuple(1 if byte == ord("[") else -1 for byte in range(256))
# Brackets looked at together: small, so that their number alone mostly shows that the depth cannot be reached.
_RUN_LENGTH: Final = 32


def _structure(data: bytes) -> bytes:
    """The brackets, commas and colons of a text that stand outside its strings, in order.

    Exact up to the first byte at which the text stops being JSON, which is all that the scanner reads: within strings
    a run of backslashes begins at an escape, so taking away pairs from the left leaves only quotes that end strings;
    and two strings never stand side by side, so quotes side by side are one string without structure.
    """
    kept = _without_escaped_quotes(data).translate(None, _NOT_STRUCTURE).replace(b'""', b"")
    return b"".join(kept.split(b'"')[::2])


def _without_escaped_quotes(data: bytes) -> bytes:
    return data.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in data else data


def _size_fault(data: bytes, max_depth: int) -> JsonFault | None:
    """Bound depth, objects and arrays, and all values before anything recurses or allocates per value.

    The first count is over all bytes, strings included: never too small, and for most messages already enough.
    """
    openings = data.count(b"[") + data.count(b"{")
    if openings <= max_depth and (len(data) < MAX_VALUES or openings + data.count(b",") < MAX_VALUES):
        return None
    structure = _structure(data)
    openings = structure.count(b"[") + structure.count(b"{")
    if openings + structure.count(b",") >= MAX_VALUES:
        return JsonFault(JsonFaultKind.TOO_MANY_VALUES, f"more than {MAX_VALUES} values: send less at once")
    if openings > max_depth and _deeper_than(max_depth, structure.translate(_AS_SQUARE, b",:")):  # guard: depth-bounded
        return JsonFault(JsonFaultKind.TOO_DEEP, f"nested deeper than {max_depth} levels: flatten it")
    if openings > MAX_CONTAINERS:
        return JsonFault(
            JsonFaultKind.TOO_MANY_VALUES, f"more than {MAX_CONTAINERS} objects and arrays: send less at once"
        )
    return None


def _deeper_than(max_depth: int, brackets: bytes) -> bool:
    depth = 0
    for start in range(0, len(brackets), _RUN_LENGTH):
        run = brackets[start : start + _RUN_LENGTH]
        opened = run.count(b"[")
        if depth + opened > max_depth and depth + max(accumulate(map(_STEPS.__getitem__, run))) > max_depth:
            return True
        depth += 2 * opened - len(run)
    return False


# Digits in a row from which a numeral is read exactly. With fewer, an integer fits in 64 bits with its sign (of others
# orjson makes floats), and a number is no longer than `MAX_NUMBER_LENGTH` as a whole.
_LONG_NUMERAL: Final = b"0" * 19
_DIGITS: Final = bytes(ord("0") if byte in b"0123456789" else ord(" ") for byte in range(256))
_PROTOTYPE_MEMBER: Final = f'"{_PROTOTYPE}":'.encode()


def read_json(data: bytes, *, max_depth: int = MAX_DEPTH) -> JsonValue | JsonFault:
    """Read one JSON text, or say the first thing by which readers could differ.

    `data` is the whole text in UTF-8; `max_depth` counts objects and arrays, the outermost being 1. Never raises.
    Time is linear in the length of `data`. Objects come back as dicts, integers as int, other numbers as float.
    """
    if (fault := _size_fault(data, max_depth)) is None and not _has_long_numeral(data):
        try:
            value: JsonValue = orjson.loads(data)
            written = orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER)
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            return read_exactly(data, fault)
        if _PROTOTYPE_MEMBER not in written and _as_many_members(data, written):
            return value
    return read_exactly(data, fault)


def _has_long_numeral(data: bytes) -> bool:
    """Whether such a numeral stands outside the strings of a JSON text. For what is no JSON, either answer will do."""
    if _LONG_NUMERAL not in data.translate(_DIGITS):
        return False
    outside = b" ".join(_without_escaped_quotes(data).split(b'"')[::2])
    return _LONG_NUMERAL in outside.translate(_DIGITS)


def _as_many_members(data: bytes, written: bytes) -> bool:
    """Whether a text has no more members than the value that was read from it and written again: none came twice.

    Colons in strings are the same in both, unless they were written as escapes.
    """
    if b"\\" not in data or b"\\u" not in data:
        return data.count(b":") == written.count(b":")
    return _structure(data).count(b":") == _structure(written).count(b":")


def read_exactly(data: bytes, size_fault: JsonFault | None) -> JsonValue | JsonFault:
    """The same, member by member and number by number, with the first fault found. `size_fault` is that of the size."""
    if data.startswith(b"\xef\xbb\xbf"):
        return JsonFault(JsonFaultKind.BOM, "the text begins with a byte order mark: send it without")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return JsonFault(JsonFaultKind.NOT_UTF8, f"byte {error.start} is not UTF-8: send UTF-8")
    if size_fault is not None:
        return size_fault
    text = text.strip(" \t\n\r")
    try:
        value: JsonValue
        value, end = _DECODER.raw_decode(text)
    except _FaultError as error:
        return error.fault
    except JSONDecodeError as error:
        return JsonFault(JsonFaultKind.NOT_JSON, f"not JSON at character {error.pos}: {error.msg}")
    except RecursionError:
        return JsonFault(JsonFaultKind.TOO_DEEP, "nested deeper than this process can read now: flatten it")
    if end != len(text):
        return JsonFault(JsonFaultKind.NOT_JSON, f"not JSON at character {end}: something follows the value")
    if ("\\ud" in text or "\\uD" in text) and _LONE_SURROGATE.search(text.replace("\\\\", "")):
        return JsonFault(JsonFaultKind.LONE_SURROGATE, "a \\u escape is half a surrogate pair: send whole characters")
    return value
