"""Arithmetic, joining and sizes.

Numbers are one type: `7.0` that a caller sends is 7, since servers cannot tell the two apart. Where whole numbers of
the caller are divided and something is left over, CEL's integers would cut it off and JSON's numbers would not.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from extauthz.adapters.cel.comparison import MAX_INTEGER, kind_of
from extauthz.adapters.cel.member_names import without_look_alikes
from extauthz.adapters.cel.steps import Frame, UnknownError

# Characters of a text in which the beginning of a list is looked for; one that begins with more blanks may be one.
_BLANKS: Final = 64
_STRUCTURE_BEGINS: Final = frozenset('[{"')
_CALCULATION_STEPS: Final = 6
_NUMBERS: Final = frozenset({int, float})


def _number(value: Any, *, free: bool) -> Any:
    if free and type(value) is float and value.is_integer():
        return int(value)
    return value


def _in_range(value: Any) -> Any:
    if type(value) is int and not -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
        raise UnknownError("a result has more than 64 bits")
    return value


def _numbers(operation: str, left: Any, right: Any, *, free: bool) -> Any:
    if operation == "+":
        return left + right
    if operation == "-":
        return left - right
    if operation == "*":
        return left * right
    if right == 0:
        raise UnknownError("division by zero")
    whole = type(left) is int and type(right) is int
    if operation == "%":
        if not whole:
            raise UnknownError("a remainder of numbers that are not whole")
        rest = abs(left) % abs(right)
        return -rest if left < 0 else rest
    if not whole:
        return left / right
    quotient = abs(left) // abs(right)
    if free and quotient * abs(right) != abs(left):
        raise UnknownError("whole numbers are divided and something is left over")
    return quotient if (left < 0) == (right < 0) else -quotient


def calculate(frame: Frame, operation: str, left: Any, right: Any, *, free: tuple[bool, bool]) -> Any:
    """`left + right` and the like. Raises `UnknownError` for types that do not go together."""
    frame.spend(_CALCULATION_STEPS)
    one, other = type(left), type(right)
    if one in _NUMBERS and other in _NUMBERS:
        return _in_range(_numbers(operation, _number(left, free=free[0]), _number(right, free=free[1]), free=any(free)))
    if operation == "+" and one is other and one in (str, bytes, list):
        frame.spend((len(left) + len(right)) >> (4 if one is list else 5))
        return left + right
    if (operation == "+" and {one, other} in ({datetime, timedelta}, {timedelta})) or (
        operation == "-" and (one, other) in ((datetime, datetime), (datetime, timedelta), (timedelta, timedelta))
    ):
        try:
            return left + right if operation == "+" else left - right
        except OverflowError:
            raise UnknownError("a time is out of range") from None
    raise UnknownError("{} {} {}", kind_of(left), operation, kind_of(right))


def negative(value: Any, *, free: bool) -> Any:
    """`-value`."""
    if type(value) not in _NUMBERS:
        raise UnknownError("minus {}", kind_of(value))
    return _in_range(-_number(value, free=free))


def size(frame: Frame, value: Any, *, free: bool, path: str) -> int:
    """Characters, bytes, elements or members. Unknown for a text that some servers read as a list or an object."""
    kind = type(value)
    if kind is str:
        head = value[:_BLANKS].lstrip()
        if free and (head[:1] in _STRUCTURE_BEGINS if head else len(value) > _BLANKS):
            raise UnknownError("{} is a string that some servers read as a list or an object", path)
        return len(value)
    if kind is dict:
        if free:
            without_look_alikes(frame, value, path)
        return len(value)
    if kind is list or kind is bytes:
        return len(value)
    raise UnknownError("size of {}, which is {}", path, kind_of(value))


def to_number(value: Any, *, whole: bool) -> int | float:
    """`int(value)` or `double(value)` of a number."""
    if not whole:
        return float(value)
    if type(value) is float and not -9.3e18 < value < 9.3e18:
        raise UnknownError("a number is out of the range of integers")
    return int(_in_range(int(value)))


OPERATIONS: Final[dict[str, str]] = {"_+_": "+", "_-_": "-", "_*_": "*", "_/_": "/", "_%_": "%"}
"""CEL's names of binary operators."""
