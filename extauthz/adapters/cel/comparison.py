"""Equality and order, where values of two JSON types have neither.

Servers convert: `"true"` and `1` are true, `"666"` is 666, and Go's `null` is whatever the field was before. So values
of different types are neither equal nor unequal here. Numbers are one type. A `null` that the policy writes is a
question (`args.x == null`), and has an answer for every value.

Two texts that *both* come from the caller have one more reading: nothing in the policy says that they are texts. Where
both can be read as numbers (or as booleans, or as JSON), the answer counts only if it is the same in both readings.
"""

from datetime import datetime, timedelta
from math import isnan
from typing import Any, Final

from extauthz.adapters.cel.member_names import MemberName, fold, without_look_alikes
from extauthz.adapters.cel.steps import Frame, UnknownError

# Levels of lists and objects that are compared. Equal to what the JSON reader lets through.
MAX_DEPTH: Final = 64
# CEL's integers have 64 bits; servers agree on fewer.
MAX_INTEGER: Final = 2**63 - 1
# Characters of a text that is read as a number. Longer ones, all digits, have too many readings.
_MAX_NUMERAL_CHARS: Final = 64
# Steps of one comparison of values whose types are not known, and of one that has no answer.
_COMPARE_STEPS: Final = 6
_DOUBT_STEPS: Final = 15
_TRUE_WORDS: Final = frozenset({"1", "t", "true", "y", "yes", "on"})
_FALSE_WORDS: Final = frozenset({"0", "f", "false", "n", "no", "off"})
_NULL_WORDS: Final = frozenset({"", "null", "none", "nil", "undefined"})

_KINDS: Final[dict[type, str]] = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    MemberName: "a member name",
    bytes: "bytes",
    list: "a list",
    dict: "an object",
    datetime: "a timestamp",
    timedelta: "a duration",
}


def kind_of(value: Any) -> str:
    """The JSON type of a value, as messages name it. Raises `UnknownError` for what JSON cannot hold."""
    kind = _KINDS.get(type(value))
    if kind is None:
        raise UnknownError("a value is of no JSON type")
    if type(value) is int and not -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
        raise UnknownError("an integer has more than 64 bits")
    return kind


def equal(frame: Frame, left: Any, right: Any, *, free: tuple[bool, bool], path: str, depth: int = 0) -> bool:
    """Whether two values are equal. Raises `UnknownError` where servers may differ.

    `free` says of each side whether the caller chose it. `path` names what is compared, for the cause.
    """
    frame.spend(_COMPARE_STEPS)
    kind, other = kind_of(left), kind_of(right)
    if kind != other:
        return _unlike(frame, left, right, free, path)
    match left:
        case str() if type(left) is str:
            return _equal_texts(frame, left, right, free, path)
        case MemberName():
            return _equal_names(frame, left, right)
        case list():
            return _equal_lists(frame, left, right, free, path, depth=depth)
        case dict():
            return _equal_objects(frame, left, right, free, path, depth=depth)
        case bytes():
            frame.spend(len(left) >> 9)
        case _:
            pass
    return bool(left == right)


def _unlike(frame: Frame, left: Any, right: Any, free: tuple[bool, bool], path: str) -> bool:
    for asked, value in ((left is None and not free[0], right), (right is None and not free[1], left)):
        if asked:
            # Some servers read JSON within texts, and then `"null"` is null.
            if isinstance(value, str) and len(value) < 16 and value.strip().lower() in _NULL_WORDS:
                raise UnknownError("{} is a string that some servers read as null", path)
            return False
    if isinstance(left, str) and isinstance(right, str):
        # One of them is the name of a member; texts of one kind are compared elsewhere.
        return _equal_names(frame, left, right)
    raise UnknownError("{} is {}, compared with {}", path, kind_of(left), kind_of(right))


def _equal_names(frame: Frame, left: str, right: str) -> bool:
    frame.spend(10 + ((len(left) + len(right)) >> 3))
    if str(left) == str(right):
        return True
    if fold(left) == fold(right):
        raise UnknownError("a member name looks like {}", "another")
    return False


def _equal_texts(frame: Frame, left: str, right: str, free: tuple[bool, bool], path: str) -> bool:
    if len(left) == len(right):
        frame.spend(len(left) >> 9)
        if left == right:
            if not left.isascii():
                frame.spend(len(left) >> 7)
                _whole(left, path)
            return True
    if not left.isascii():
        frame.spend(len(left) >> 7)
        _whole(left, path)
    if not right.isascii():
        frame.spend(len(right) >> 7)
        _whole(right, path)
    if all(free) and _read_alike(frame, left, right):
        raise UnknownError("{} is compared with another text that some servers read as the same value", path)
    return False


def _whole(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnknownError("{} has half of a surrogate pair", path) from None


def _read_alike(frame: Frame, left: str, right: str) -> bool:
    """Whether some reading other than that of texts may make two different texts the same."""
    frame.spend(20 + (len(left) >> 5) + (len(right) >> 5))
    one, other = left.strip(), right.strip()
    if one[:1] in '[{"' and other[:1] in '[{"' and one and other:
        return True
    if len(one) <= 9 and len(other) <= 9:
        words = {one.lower(), other.lower()}
        if words <= _TRUE_WORDS or words <= _FALSE_WORDS or words <= _NULL_WORDS:
            return True
    first, second = number_in(one), number_in(other)
    if first is None or second is None:
        return False
    return first == second or (isnan(first) and isnan(second))


def number_in(text: str) -> float | None:
    """The number that a server may read in a text, as a double; None where it is no numeral."""
    if len(text) > _MAX_NUMERAL_CHARS:
        if text.strip("0123456789_.eE+-"):
            return None
        raise UnknownError("a string is a number of more than {} digits", str(_MAX_NUMERAL_CHARS))
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return float(int(text, 0))
    except ValueError:
        return None


def _equal_lists(
    frame: Frame, left: list[Any], right: list[Any], free: tuple[bool, bool], path: str, *, depth: int
) -> bool:
    if depth >= MAX_DEPTH:
        raise UnknownError("{} is nested too deeply", path)
    if len(left) != len(right):
        return False
    return _all_equal(frame, zip(left, right, strict=True), free, path, depth)


def _equal_objects(
    frame: Frame, left: dict[str, Any], right: dict[str, Any], free: tuple[bool, bool], path: str, *, depth: int
) -> bool:
    """Equal members make equal objects; members on one side only are ignored or filled in by servers: unknown."""
    if depth >= MAX_DEPTH:
        raise UnknownError("{} is nested too deeply", path)
    frame.spend(2 * len(left))
    without_look_alikes(frame, left, path)
    without_look_alikes(frame, right, path)
    both = [(value, right[name]) for name, value in left.items() if name in right]
    if not _all_equal(frame, both, free, path, depth):
        return False
    if len(both) != len(left) or len(both) != len(right):
        raise UnknownError("{} has other members than it is compared with", path)
    return True


def _all_equal(frame: Frame, pairs: Any, free: tuple[bool, bool], path: str, depth: int) -> bool:
    """False as soon as one pair is unequal; else unknown if any is."""
    doubt: tuple[Any, ...] | None = None
    for one, other in pairs:
        try:
            if not equal(frame, one, other, free=free, path=path, depth=depth + 1):
                return False
        except UnknownError as error:
            frame.spend(_DOUBT_STEPS)
            doubt = doubt or error.args
    if doubt is not None:
        raise UnknownError(*doubt)
    return True


def less(frame: Frame, left: Any, right: Any, *, or_equal: bool, free: tuple[bool, bool], path: str) -> bool:
    """`left < right`, or `left <= right`. Raises `UnknownError` where servers may differ, and for what has no order."""
    frame.spend(_COMPARE_STEPS)
    kind, other = kind_of(left), kind_of(right)
    if kind != other:
        raise UnknownError("{} is {}, compared with {}", path, kind, other)
    if left is None or isinstance(left, list | dict | MemberName):
        raise UnknownError("{} is {}, which has no order", path, kind)
    if isinstance(left, str):
        frame.spend((min(len(left), len(right)) >> 6) + (20 + ((len(left) + len(right)) >> 5) if all(free) else 0))
    answer = bool(left <= right if or_equal else left < right)
    if isinstance(left, str) and all(free):
        first, second = number_in(left.strip()), number_in(right.strip())
        if first is not None and second is not None and (first <= second if or_equal else first < second) != answer:
            raise UnknownError("{} is a string that some servers read as a number", path)
    return answer


def contained(frame: Frame, item: Any, within: Any, *, free: tuple[bool, bool], path: str) -> bool:
    """Whether a list has an element that is equal to `item`. Unknown if none is and some may be."""
    doubt: tuple[Any, ...] | None = None
    for element in within:
        try:
            if equal(frame, item, element, free=free, path=path):
                return True
        except UnknownError as error:
            frame.spend(_DOUBT_STEPS)
            doubt = doubt or error.args
    if doubt is not None:
        raise UnknownError(*doubt)
    return False
