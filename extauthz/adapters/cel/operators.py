"""Operators: logic, comparison, membership, indexing. Each takes parts and makes a function of a frame."""

from typing import Any, Final

from extauthz.adapters.cel import comparison
from extauthz.adapters.cel.comparison import MAX_INTEGER, kind_of
from extauthz.adapters.cel.loops import DOUBT_STEPS, Run
from extauthz.adapters.cel.member_names import fold, has_member, member, not_an_array
from extauthz.adapters.cel.part import Part
from extauthz.adapters.cel.steps import Frame, UnknownError

_NUMBERS: Final = frozenset({int, float})
# No literal is longer; a longer text need not be hashed to know that it is not among them.
_MAX_LITERAL: Final = 2_000
_LISTS_OF_STRINGS: Final = frozenset({"principal.scopes", "principal.roles", "principal.groups"})


def joined(parts: tuple[tuple[Run, str], ...], *, stop: bool) -> Run:
    """`&&` (stops at false) or `||` (stops at true) of several parts; unknown if none stops it and one is unknown."""

    other = not stop

    def run(frame: Frame) -> bool:
        doubt: tuple[Any, ...] | None = None
        for part, path in parts:
            try:
                value = part(frame)
            except UnknownError as error:
                frame.spend(DOUBT_STEPS)
                doubt = doubt or error.args
                continue
            if value is stop:
                return not other
            if value is not other:
                doubt = doubt or ("{} is {}, not a boolean", path, kind_of(value))
        if doubt is not None:
            raise UnknownError(*doubt)
        return other

    return run


def negation(part: Part) -> Run:
    """`!part`."""
    of, path = part.run, part.path

    def run(frame: Frame) -> bool:
        value = of(frame)
        if value is True:
            return False
        if value is False:
            return True
        raise _no_boolean(value, path)

    return run


def choice(condition: Part, then: Run, otherwise: Run) -> Run:
    """`condition ? then : otherwise`."""
    of, path = condition.run, condition.path

    def run(frame: Frame) -> Any:
        value = of(frame)
        if value is True:
            return then(frame)
        if value is False:
            return otherwise(frame)
        raise _no_boolean(value, path)

    return run


def _no_boolean(value: Any, path: str) -> UnknownError:
    return UnknownError("{} is {}, not a boolean", path, kind_of(value))


def presence(operand: Part, name: str) -> Run:
    """`has(operand.name)`."""
    of, path, free, folded = operand.run, operand.path, operand.free, fold(name)
    return lambda frame: has(frame, of(frame), name, folded, free=free, path=path)


def has(frame: Frame, members: Any, name: str, folded: str, *, free: bool, path: str) -> bool:
    """Whether an object has a member. Unknown for `null`: some servers take it for no member."""
    if type(members) is not dict:
        raise UnknownError("{} is {}, not an object", path, kind_of(members))
    if not free:
        return name in members
    if not has_member(frame, members, name, folded, path):
        return False
    if members[name] is None:
        raise UnknownError("{}.{} is null, which some servers read as absent", path, name)
    return True


def _in_range(number: Any) -> bool:
    return bool(-MAX_INTEGER <= number <= MAX_INTEGER)


def _told(left: Part, right: Part) -> str:
    """Which side of a comparison a cause is about: the caller's, else the one that is no literal."""
    if right.free and not left.free:
        return right.path
    return left.path if left.literal is None else right.path


def equality(left: Part, right: Part, *, wanted: bool) -> Run:
    """`left == right`, or with `wanted` false `left != right`."""
    if left.literal is not None and right.literal is None:
        left, right = right, left
    free, path = (left.free, right.free), _told(left, right)
    one, other = left.run, right.run
    value = None if right.literal is None else right.literal.value
    quick: Any = type(value) if type(value) in (str, bool, int, float) else None
    if right.literal is None or quick is None or (quick is str and not str(value).isascii()):
        return lambda frame: comparison.equal(frame, one(frame), other(frame), free=free, path=path) is wanted

    def run(frame: Frame) -> bool:
        found = one(frame)
        if type(found) is quick and (found.isascii() if quick is str else -MAX_INTEGER <= found <= MAX_INTEGER):
            return (found == value) is wanted
        return comparison.equal(frame, found, value, free=free, path=path) is wanted

    return run


def ordering(left: Part, right: Part, exchanged: bool, or_equal: bool) -> Run:  # noqa: FBT001 - from a table
    """`left < right` and the like. `exchanged`: `right < left`."""
    if exchanged:
        left, right = right, left
    path = _told(left, right)
    one, other, free = left.run, right.run, (left.free, right.free)
    numbers = any(part.literal is not None and type(part.literal.value) in (int, float) for part in (left, right))

    def run(frame: Frame) -> bool:
        first, second = one(frame), other(frame)
        if numbers and type(first) in _NUMBERS and type(second) in _NUMBERS and _in_range(first) and _in_range(second):
            return bool(first <= second if or_equal else first < second)
        return comparison.less(frame, first, second, or_equal=or_equal, free=free, path=path)

    return run


def membership(item: Part, within: Part) -> Run:
    """`item in within`: an element of a list, or the name of a member."""
    one, other, free, path = item.run, within.run, (item.free, within.free), item.path
    listed = None if within.literal is None else within.literal.value
    texts_listed = frozenset(listed) if isinstance(listed, list) and {type(text) for text in listed} == {str} else None

    strings = not within.free and within.literal is None and within.path in _LISTS_OF_STRINGS

    def run(frame: Frame) -> bool:
        found = one(frame)
        if texts_listed is not None and type(found) is str and found.isascii():
            return len(found) <= _MAX_LITERAL and found in texts_listed
        among = other(frame)
        if type(among) is list:
            if strings and type(found) is str and found.isascii():
                # What the token says is text throughout.
                frame.spend(len(among) * (1 + (len(found) >> 9)))
                return found in among
            return comparison.contained(frame, found, among, free=free, path=path)
        if type(among) is dict:
            if not isinstance(found, str):
                raise UnknownError("{} is {}, not a member name", path, kind_of(found))
            if free[1]:
                not_an_array(frame, among, within.path)
            frame.spend(6 + (len(found) >> 3))
            return has(frame, among, str(found), fold(found), free=free[1], path=within.path)
        raise UnknownError("{} is {}, not a list or an object", within.path, kind_of(among))

    return run


def indexed(container: Part, key: Part) -> Run:
    """`container[key]`."""
    of, by, free, path = container.run, key.run, container.free, container.path

    def run(frame: Frame) -> Any:
        among, found = of(frame), by(frame)
        if type(among) is dict and isinstance(found, str):
            if free:
                frame.spend(6 + (len(found) >> 3))
                return member(frame, among, str(found), fold(found), path)
            if found in among:
                return among[found]
        elif type(among) is list:
            place = int(found) if type(found) is float and found.is_integer() else found
            if type(place) is int and 0 <= place < len(among):
                return among[place]
        raise UnknownError("{} is {} and has no such element", path, kind_of(among))

    return run
