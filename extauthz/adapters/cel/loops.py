"""Macros that loop: `all`, `exists`, `exists_one`, `map`, `filter`.

The compiler writes each as a fold; here it is recognised by the shape of its step and run as the loop that it stands
for. Each round is charged before it runs.
"""

from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import Any, NamedTuple, TypeAlias

from extauthz.adapters.cel.checked_ast import Call, Constant, ListOf, Loop, Name, Node, UnknownFormError
from extauthz.adapters.cel.comparison import kind_of
from extauthz.adapters.cel.member_names import MemberName, not_an_array, without_look_alikes
from extauthz.adapters.cel.steps import Frame, OverBudgetError, UnknownError

Run: TypeAlias = Callable[[Frame], Any]

# Steps of a round beside its body, and of one that has no answer.
ROUND_STEPS = 2
DOUBT_STEPS = 15


class Macro(Enum):
    """Which macro a fold came from."""

    ALL = auto()
    EXISTS = auto()
    EXISTS_ONE = auto()
    COLLECT = auto()
    """`map` and `filter`."""


class Shape(NamedTuple):
    """A macro with its parts: the condition on each element (None: every element), and what is collected."""

    macro: Macro
    condition: Node | None
    collected: Node | None


def shape_of(loop: Loop) -> Shape:
    """What macro a fold is. Raises `UnknownFormError`."""
    so_far = Name(loop.accumulator)
    match loop.step:
        case Call("_&&_", (first, condition)) if first == so_far and loop.start == Constant(True):  # noqa: FBT003 - a value, no flag
            return Shape(Macro.ALL, condition, None)
        case Call("_||_", (first, condition)) if first == so_far and loop.start == Constant(False):  # noqa: FBT003 - a value, no flag
            return Shape(Macro.EXISTS, condition, None)
        case Call("_?_:_", (condition, Call("_+_", (first, Constant(1))), last)) if first == last == so_far:
            return Shape(Macro.EXISTS_ONE, condition, None)
        case Call("_?_:_", (condition, Call("_+_", (first, ListOf((element,)))), last)) if first == last == so_far:
            return Shape(Macro.COLLECT, condition, element)
        case Call("_+_", (first, ListOf((element,)))) if first == so_far:
            return Shape(Macro.COLLECT, None, element)
    raise UnknownFormError("a macro of an unknown kind")


def elements_of(frame: Frame, value: Any, *, free: bool, path: str) -> Iterable[Any]:
    """What a loop goes over: elements, or the names of an object's members."""
    if type(value) is list:
        return value
    if type(value) is dict:
        if not free:
            return value
        not_an_array(frame, value, path)
        without_look_alikes(frame, value, path)
        frame.spend(2 * len(value))
        return map(MemberName, value)
    raise UnknownError("{} is {}, not a list or an object", path, kind_of(value))


def quantified(over: Run, slot: int, body: Run, cost: int, *, stop: bool, free: bool, path: str) -> Run:
    """`all` (stops at false) or `exists` (stops at true). Unknown if nothing stops it and an element is unknown."""

    def run(frame: Frame) -> bool:
        doubt: tuple[Any, ...] | None = None
        other = not stop
        slots = frame.slots
        for slots[slot] in elements_of(frame, over(frame), free=free, path=path):
            frame.left -= cost
            if frame.left < 0:
                raise OverBudgetError
            try:
                value = body(frame)
            except UnknownError as error:
                frame.spend(DOUBT_STEPS)
                doubt = doubt or error.args
                continue
            if value is stop:
                return not other
            if value is not other:
                doubt = doubt or ("a condition on an element of {} is {}, not a boolean", path, kind_of(value))
        if doubt is not None:
            raise UnknownError(*doubt)
        return not stop

    return run


def exactly_one(over: Run, slot: int, body: Run, cost: int, *, free: bool, path: str) -> Run:
    """`exists_one`: unknown as soon as one element is."""

    def run(frame: Frame) -> bool:
        found = 0
        slots = frame.slots
        for slots[slot] in elements_of(frame, over(frame), free=free, path=path):
            frame.left -= cost
            if frame.left < 0:
                raise OverBudgetError
            found += _truth(body(frame), path)
        return found == 1

    return run


def collected(over: Run, slot: int, condition: Run | None, element: Run, cost: int, *, free: bool, path: str) -> Run:
    """`map` or `filter`: unknown as soon as one element is."""

    def run(frame: Frame) -> list[Any]:
        found: list[Any] = []
        slots = frame.slots
        for slots[slot] in elements_of(frame, over(frame), free=free, path=path):
            frame.left -= cost
            if frame.left < 0:
                raise OverBudgetError
            if condition is None or _truth(condition(frame), path):
                found.append(element(frame))
        return found

    return run


def _truth(value: Any, path: str) -> bool:
    if value is True or value is False:
        return bool(value)
    raise UnknownError("a condition on an element of {} is {}, not a boolean", path, kind_of(value))
