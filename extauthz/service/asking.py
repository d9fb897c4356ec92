"""How the procedure gets what it does not have at hand: it asks with a need, and whoever drives it answers.

Both sides of it: `ask` for the procedure, which never waits itself; `advance` and `drive` for threads, event loops and
tests, which obtain what is asked for and decide nothing.
"""

from collections.abc import Callable, Generator
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from extauthz.service.call import Moment
from extauthz.service.needs import Answer, Awaited, Resolved

Found = TypeVar("Found")

Asking: TypeAlias = Generator[Awaited, Resolved, Found]
"""A part of the procedure, which may have to ask before it returns what it found."""


class TooLateError(Exception):
    """The proxy stopped waiting while the check did: whatever it finds out now, nobody is told."""


def ask(need: Awaited, moment: Moment) -> Asking[Answer]:
    """Ask for something; `moment` is the present again when the answer is there. Raises `TooLateError`."""
    resolved = yield need
    moment.now = resolved.now
    if moment.too_late:
        raise TooLateError
    return resolved.answer


class Finished(NamedTuple, Generic[Found]):
    """What the procedure returned."""

    value: Found


def advance(steps: Asking[Found], resolved: Resolved | None = None) -> Awaited | Finished[Found]:
    """Run until something is asked for, or to the end. `resolved` answers what was asked before; None begins."""
    try:
        return next(steps) if resolved is None else steps.send(resolved)
    except StopIteration as stopped:
        return Finished(stopped.value)


def drive(
    steps: Asking[Found], resolve: Callable[[Awaited], Resolved], reached: Awaited | Finished[Found] | None = None
) -> Found:
    """Run to the end, from the beginning or from what was `reached`. `resolve` obtains what is asked for."""
    reached = advance(steps) if reached is None else reached
    while not isinstance(reached, Finished):
        reached = advance(steps, resolve(reached))
    found: Found = reached.value
    return found
