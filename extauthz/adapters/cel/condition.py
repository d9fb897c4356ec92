"""`when` conditions: CEL, type-checked when the policy is loaded, bounded and without surprises when evaluated.

Variables are declared under their dotted names (`principal.organization`), so that a misspelt field is a compile
error and not a missing value. `args` is whatever JSON the caller sent, so everything about it can fail, and every
failure is `UNKNOWN`. Google's CEL runtime bounds loops itself (10,000 iterations); what it does not bound is done
here: nesting (50,000 levels crash it), numbers of values, and the product of loops and text lengths.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from extauthz.pdp.operation import Operation
from extauthz.pdp.policy import REQUEST_FIELDS, Truth
from extauthz.pdp.principal import Principal
from extauthz.pdp.quoting import quoted, suggestion

# Characters of one expression. Conditions that need more are several rules.
MAX_EXPRESSION_CHARS: Final = 2_000
# Levels of arrays and objects in the arguments. Equal to what the JSON reader lets through.
MAX_ARGUMENT_DEPTH: Final = 64
# Values in the arguments that the expression reads: 10,000 take about 1 ms to hand over.
MAX_ARGUMENT_VALUES: Final = 10_000
# Loop iterations times the longest text: 8 million characters take about 25 ms to search.
MAX_CHARACTER_STEPS: Final = 8_000_000
# The CEL runtime's own bound on iterations of all loops of one evaluation.
_ITERATIONS: Final = 10_000
# Top-level arguments that an expression names; beyond, all arguments are handed over.
_MAX_NAMED_ARGUMENTS: Final = 32

_STRINGS: Final = ("issuer", "subject", "organization", "name", "client_id")
_LISTS: Final = ("scopes", "roles", "groups")
_PRINCIPAL_FIELDS: Final = (*_STRINGS, *_LISTS, "machine")
VARIABLES: Final = (
    *(f"principal.{name}" for name in _PRINCIPAL_FIELDS),
    *(f"request.{name}" for name in REQUEST_FIELDS),
    "args",
)
"""Everything that an expression can read."""

_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAMED_ARGUMENT: Final = re.compile(r"\bargs\s*\.\s*([A-Za-z_][A-Za-z0-9_]*)")
_LOOPS: Final = re.compile(r"\b(?:all|exists|exists_one|map|filter)\b")
_ERROR: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)'")
# What a C++ extension built with pybind11 turns C++ exceptions into, and what conversions raise.
_ENGINE_ERRORS: Final = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, SystemError, MemoryError)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionFault:
    """What is wrong with an expression. `line` and `column` count from 1 inside the expression."""

    message: str
    hint: str
    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CelCondition:
    """A compiled expression (`extauthz.pdp.policy.Condition`)."""

    text: str
    reads_beyond_identity: bool
    arguments_read: frozenset[str] | None
    """Names of the top-level arguments that can influence the result; None: all of them. Empty without `args`."""
    _program: Any = field(repr=False, compare=False)
    _principal_fields: tuple[str, ...] = field(repr=False, compare=False)
    _request_fields: tuple[str, ...] = field(repr=False, compare=False)
    _loops: int = field(repr=False, compare=False)

    @property
    def reads_arguments(self) -> bool:
        """Whether any argument can influence the result."""
        return self.arguments_read is None or bool(self.arguments_read)

    def evaluate(self, principal: Principal, operation: Operation, request: Mapping[str, Any]) -> Truth:
        """TRUE or FALSE as the expression says; UNKNOWN for an error, a missing value, or arguments out of bounds."""
        arguments = self._arguments(operation.arguments)
        identity = {name: _plain(getattr(principal, name)) for name in self._principal_fields}
        iterated = sum(len(value) for value in identity.values() if isinstance(value, list))
        if not _within_bounds(arguments, iterated, self._loops):
            return Truth.UNKNOWN
        data: dict[str, Any] = {f"principal.{name}": value for name, value in identity.items()}
        data.update((f"request.{name}", request[name]) for name in self._request_fields if name in request)
        data["args"] = arguments
        try:
            result = self._program.eval(data=data).value()
        except _ENGINE_ERRORS:
            return Truth.UNKNOWN
        if result is True:
            return Truth.TRUE
        return Truth.FALSE if result is False else Truth.UNKNOWN

    def _arguments(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if self.arguments_read is None:
            return dict(arguments)
        return {name: arguments[name] for name in self.arguments_read if name in arguments}


def compile_condition(text: str) -> CelCondition | tuple[ConditionFault, ...]:
    """Compile and type-check one expression; it must be a boolean whatever the arguments are."""
    if len(text) > MAX_EXPRESSION_CHARS:
        message = f"the condition is longer than {MAX_EXPRESSION_CHARS} characters"
        return (ConditionFault(message=message, hint="split the rule"),)
    cel = _engine()
    try:
        program = _full_environment().compile(text)
    except _ENGINE_ERRORS as error:
        return _faults(str(error))
    if program.return_type() != cel.Type.BOOL:
        message = f"the condition is of type {program.return_type().name().lower()}, not bool"
        return (ConditionFault(message=message, hint='compare it with something, as in "args.force == true"'),)
    words = frozenset(_WORD.findall(text))
    return CelCondition(
        text=text,
        reads_beyond_identity=not _compiles(text, request=False, arguments=()),
        arguments_read=_arguments_read(text),
        _program=program,
        _principal_fields=tuple(name for name in _PRINCIPAL_FIELDS if name in words),
        _request_fields=tuple(name for name in REQUEST_FIELDS if name in words),
        _loops=len(_LOOPS.findall(text)),
    )


def _arguments_read(text: str) -> frozenset[str] | None:
    """Which top-level arguments an expression reads: proved by the type checker.

    The expression is compiled where `args` itself does not exist and only the members named in its text do. That
    succeeds only if every use of `args` is a selection of one of them.
    """
    if _compiles(text, request=True, arguments=()):
        return frozenset()
    named = frozenset(_NAMED_ARGUMENT.findall(text))
    if len(named) > _MAX_NAMED_ARGUMENTS:
        return None
    members = tuple(f"args.{name}" for name in sorted(named))
    return named if _compiles(text, request=True, arguments=members) else None


def _compiles(text: str, *, request: bool, arguments: tuple[str, ...]) -> bool:
    """Whether the expression can do with these variables beside the principal's."""
    try:
        _environment(request=request, arguments=arguments).compile(text)
    except _ENGINE_ERRORS:
        return False
    return True


def _within_bounds(arguments: dict[str, Any], iterated: int, loops: int) -> bool:
    """Whether handing the arguments over and looping over them stays cheap. Walks level by level, without recursion."""
    values = longest = 0
    level: list[Any] = [arguments]
    for _ in range(MAX_ARGUMENT_DEPTH):
        below: list[Any] = []
        for container in level:
            values += len(container)
            if values > MAX_ARGUMENT_VALUES:
                return False
            members = container
            if isinstance(container, dict):
                members = (*container, *container.values())
            for value in members:
                if isinstance(value, str):
                    longest = max(longest, len(value))
                elif isinstance(value, dict | list):
                    below.append(value)
        if not below:
            break
        level = below
    else:
        return False
    iterations = min(_ITERATIONS, max(1, values + iterated) ** min(loops, 4))
    steps: int = iterations * longest
    return steps <= MAX_CHARACTER_STEPS


def _plain(value: Any) -> Any:
    """A field in a type that CEL knows; sets in a fixed order, so that every process sees the same list."""
    return sorted(value) if isinstance(value, frozenset) else value


def _engine() -> Any:
    """The CEL package: 6 MB that only policies with conditions need."""
    from cel_expr_python import cel  # noqa: PLC0415 - see above

    return cel


@cache
def _identity_types() -> Mapping[str, Any]:
    types = _engine().Type
    return {
        **{f"principal.{name}": types.STRING for name in _STRINGS},
        **{f"principal.{name}": types.List(types.STRING) for name in _LISTS},
        "principal.machine": types.BOOL,
    }


def _environment(*, request: bool, arguments: Iterable[str]) -> Any:
    cel = _engine()
    variables = dict(_identity_types())
    if request:
        variables.update((f"request.{name}", cel.Type.STRING) for name in REQUEST_FIELDS)
    variables.update((name, cel.Type.DYN) for name in arguments)
    return cel.NewEnv(variables=variables)


@cache
def _full_environment() -> Any:
    return _environment(request=True, arguments=("args",))


def _faults(report: str) -> tuple[ConditionFault, ...]:
    """The compiler's own report, one fault per error; what follows from an error already told is left out."""
    faults: list[ConditionFault] = []
    for line, column, message in _ERROR.findall(report):
        place = (max(1, int(line)), max(1, int(column)))
        if not any((fault.line, fault.column) == place for fault in faults):
            faults.append(_fault(message.removesuffix(" [INVALID_ARGUMENT]"), *place))
    if not faults:
        deep = "recursion" in report
        faults.append(_fault("it is nested too deeply" if deep else "it cannot be compiled", 1, 1))
    return tuple(faults)


def _fault(message: str, line: int, column: int) -> ConditionFault:
    undeclared = _UNDECLARED.search(message)
    if undeclared:
        return _unknown_variable(undeclared[1], line, column)
    # The grammar's list of expected tokens is longer than the rest of the line and helps nobody.
    brief = message.partition(" expecting {")[0]
    hint = "see the CEL language definition; text stands in quotes, values are compared with =="
    if "recursion" in brief or "nested" in brief:
        hint = "simplify it, or split the rule"
    if "no matching overload" in brief:
        hint = "compare values of one type"
    return ConditionFault(message=f"in the condition: {brief}", hint=hint, line=line, column=column)


def _unknown_variable(name: str, line: int, column: int) -> ConditionFault:
    """The checker points at the last dot of a dotted name; a person looks for its beginning."""
    place = (line, max(1, column - name.rfind(".")) if "." in name else column)
    scope, _, member = name.partition(".")
    members = tuple(known.partition(".")[2] for known in VARIABLES if known.startswith(f"{scope}."))
    if members and not member:
        message, hint = f"{scope} cannot be used as a whole", f"name one field, as in {scope}.{members[0]}"
    elif members:
        message = f"the condition reads {quoted(name)}, which does not exist"
        hint = suggestion(member, members, f"{scope} has " + ", ".join(members))
    else:
        message = f"the condition reads {quoted(name)}, which does not exist"
        hint = suggestion(name, VARIABLES, "it can read principal.*, request.* and args")
    return ConditionFault(message=message, hint=hint, line=place[0], column=place[1])
