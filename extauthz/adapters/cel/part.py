"""A part of an expression that is compiled, and what is known of it."""

from typing import NamedTuple

from extauthz.adapters.cel.checked_ast import Constant
from extauthz.adapters.cel.loops import Run


class UnsupportedError(Exception):
    """An expression has a part that conditions do not have: `name` as written, a message, a hint."""

    def __init__(self, name: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.name, self.message, self.hint = name, message, hint


class Part(NamedTuple):
    """One part: how it is evaluated, and what the parts around it need to know."""

    run: Run
    free: bool
    """Whether the caller may have chosen its type."""
    path: str
    """How a cause names it, as in `args.amount`."""
    nodes: int
    """Nodes of the expression in it: steps that evaluating it takes, beside what is charged by size."""
    literal: Constant | None = None
    """Its value, where the policy wrote it."""
