"""What one evaluation may cost, in steps, and what its state is while it runs.

A step is about 0.1 us on one core of 2023 or later, and never less than what it stands for: each node of the
expression is one, each round of a loop as many as its body has nodes, and whatever is not constant in time (searching,
comparing, building, looking through names) is charged by its size *before* it is done. So a worst case can be counted,
and tests hold the counts, not times.
"""

from typing import Any, Final

# Steps of one evaluation: at most 2 ms where measured, so that a machine of less than half the speed keeps 5 ms.
MAX_STEPS: Final = 20_000


class UnknownError(Exception):
    """Part of an expression has no value. Absorbed by `false &&` and `true ||`, as an error in CEL is.

    `args` are a template and its parts; the sentence is put together when it is asked for.
    """

    @property
    def cause(self) -> str:
        """Why, in one line, without values that the caller sent."""
        template, *parts = self.args
        return str(template).format(*parts)


class OverBudgetError(Exception):
    """The evaluation would cost more than `MAX_STEPS`. Absorbed by nothing: there is no budget left to go on with."""


class Frame:
    """One evaluation: the steps that are left, the values of variables, and what was found out about caller's maps."""

    __slots__ = ("left", "names", "slots")

    def __init__(self, left: int, slots: list[Any]) -> None:
        self.left = left
        self.slots = slots
        self.names: dict[int, tuple[dict[str, Any], dict[str, str | None]]] = {}
        """By identity of a map: the map, and its names by folded form (None: several names have it)."""

    def spend(self, steps: int) -> None:
        """Charge steps before the work is done."""
        self.left -= steps
        if self.left < 0:
            raise OverBudgetError
