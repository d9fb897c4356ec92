"""`when` conditions: CEL, type-checked when the policy is loaded, bounded and without surprises when evaluated.

Google's CEL compiler parses and checks. Variables are declared under their dotted names (`principal.organization`), so
that a misspelt field is a compile error and not a missing value. What it has checked is evaluated here, since CEL's own
evaluation answers where servers do not agree: a text is simply unequal to a number, a member of another case simply
another member. `args` is whatever JSON the caller sent, so everything about it can fail, and every failure is `UNKNOWN`
(`docs/explanation/conditions.md`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, NamedTuple

from extauthz.adapters.cel.checked_ast import UnknownFormError, tree_of
from extauthz.adapters.cel.faults import (
    LISTS,
    PRINCIPAL_FIELDS,
    STRINGS,
    VARIABLES,
    ConditionFault,
    fault_at,
    faults_of,
)
from extauthz.adapters.cel.part import UnsupportedError
from extauthz.adapters.cel.program import Program, compile_tree
from extauthz.adapters.cel.steps import MAX_STEPS, Frame, OverBudgetError, UnknownError
from extauthz.pdp.operation import Operation
from extauthz.pdp.policy import REQUEST_FIELDS, Truth
from extauthz.pdp.principal import Principal

# Characters of one expression. Conditions that need more are several rules.
MAX_EXPRESSION_CHARS: Final = 2_000

# What the compiler, a C++ extension built with pybind11, turns C++ exceptions into.
_ENGINE_ERRORS: Final = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, SystemError, MemoryError)
_FREE: Final = {name: name == "args" for name in VARIABLES}
_PRINCIPAL_SLOTS: Final = {f"principal.{name}": name for name in PRINCIPAL_FIELDS}
_REQUEST_SLOTS: Final = {f"request.{name}": name for name in REQUEST_FIELDS}


class Evaluation(NamedTuple):
    """What came out of one evaluation, at what cost, and for UNKNOWN why."""

    truth: Truth
    steps: int
    """Steps charged (`steps.MAX_STEPS` are allowed)."""
    cause: str
    """Why the result is UNKNOWN, in one line without the caller's values; empty otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CelCondition:
    """A compiled expression (`extauthz.pdp.policy.Condition`)."""

    text: str
    reads_beyond_identity: bool
    reads_arguments: bool
    """Whether any argument can influence the result."""
    _program: Program = field(repr=False, compare=False)

    def evaluate(self, principal: Principal, operation: Operation, request: Mapping[str, Any]) -> Truth:
        """TRUE or FALSE as the expression says; UNKNOWN where it cannot be said what a server will read, and beyond
        the bounds."""
        try:
            result = self._program.run(self._frame(principal, operation, request))
        except (UnknownError, OverBudgetError):
            return Truth.UNKNOWN
        except _ENGINE_ERRORS:
            # Nothing is known to raise these; a value that was not thought of must not end a check.
            return Truth.UNKNOWN
        if result is True:
            return Truth.TRUE
        return Truth.FALSE if result is False else Truth.UNKNOWN

    def examine(self, principal: Principal, operation: Operation, request: Mapping[str, Any]) -> Evaluation:
        """The same, with what an explanation and a test of costs need."""
        truth, cause = self.evaluate(principal, operation, request), ""
        frame = self._frame(principal, operation, request)
        try:
            result = self._program.run(frame)
            if truth is Truth.UNKNOWN:
                cause = f"the result is no boolean but {type(result).__name__}"
        except UnknownError as error:
            cause = error.cause
        except OverBudgetError:
            cause = f"evaluating it costs more than {MAX_STEPS} steps"
        except _ENGINE_ERRORS as error:
            cause = f"evaluating it ended with {type(error).__name__}"
        return Evaluation(truth, MAX_STEPS - frame.left, cause)

    def _frame(self, principal: Principal, operation: Operation, request: Mapping[str, Any]) -> Frame:
        program = self._program
        slots: list[Any] = [None] * program.slots
        for name, slot in program.variables:
            if name == "args":
                arguments = operation.arguments
                slots[slot] = arguments if type(arguments) is dict else dict(arguments)
            elif name in _REQUEST_SLOTS:
                slots[slot] = request.get(_REQUEST_SLOTS[name])
            else:
                slots[slot] = _plain(getattr(principal, _PRINCIPAL_SLOTS[name]))
        return Frame(MAX_STEPS - program.nodes, slots)


def compile_condition(text: str) -> CelCondition | tuple[ConditionFault, ...]:
    """Compile and type-check one expression; it must be a boolean whatever the arguments are."""
    if len(text) > MAX_EXPRESSION_CHARS:
        message = f"the condition is longer than {MAX_EXPRESSION_CHARS} characters"
        return (ConditionFault(message=message, hint="split the rule"),)
    cel = _engine()
    try:
        checked = _environment().compile(text)
    except _ENGINE_ERRORS as error:
        return faults_of(str(error))
    if checked.return_type() != cel.Type.BOOL:
        message = f"the condition is of type {checked.return_type().name().lower()}, not bool"
        return (ConditionFault(message=message, hint='compare it with something, as in "args.force == true"'),)
    try:
        program = compile_tree(tree_of(checked.serialize()), _FREE)
    except UnsupportedError as error:
        return (fault_at(text, error.name, error.message, error.hint),)
    except UnknownFormError as error:
        return (
            ConditionFault(
                message=f"in the condition: {error}", hint="write it with the functions of the CEL standard"
            ),
        )
    read = {name for name, _ in program.variables}
    return CelCondition(
        text=text,
        reads_beyond_identity=not read <= _PRINCIPAL_SLOTS.keys(),
        reads_arguments="args" in read,
        _program=program,
    )


def _plain(value: Any) -> Any:
    """A field in a type that CEL knows; sets in a fixed order, so that every process sees the same list."""
    return sorted(value) if isinstance(value, frozenset) else value


def _engine() -> Any:
    """The CEL package: 6 MB that only policies with conditions need."""
    from cel_expr_python import cel  # noqa: PLC0415 - see above

    return cel


@cache
def _environment() -> Any:
    cel = _engine()
    types = cel.Type
    return cel.NewEnv(
        variables={
            **{f"principal.{name}": types.STRING for name in STRINGS},
            **{f"principal.{name}": types.List(types.STRING) for name in LISTS},
            "principal.machine": types.BOOL,
            **{f"request.{name}": types.STRING for name in REQUEST_FIELDS},
            "args": types.DYN,
        }
    )
