"""What is wrong with an expression, in words: the compiler's report, made readable."""

import re
from dataclasses import dataclass
from typing import Final

from extauthz.pdp.policy import REQUEST_FIELDS
from extauthz.pdp.quoting import quoted, suggestion

STRINGS: Final = ("issuer", "subject", "organization", "name", "client_id")
LISTS: Final = ("scopes", "roles", "groups")
PRINCIPAL_FIELDS: Final = (*STRINGS, *LISTS, "machine")
VARIABLES: Final = (
    *(f"principal.{name}" for name in PRINCIPAL_FIELDS),
    *(f"request.{name}" for name in REQUEST_FIELDS),
    "args",
)
"""Everything that an expression can read."""

_ERROR: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)'")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionFault:
    """What is wrong with an expression. `line` and `column` count from 1 inside the expression."""

    message: str
    hint: str
    line: int = 1
    column: int = 1


def fault_at(text: str, name: str, message: str, hint: str) -> ConditionFault:
    """A fault that is told at the first place where a name stands in an expression."""
    at = max(0, text.find(name))
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    return ConditionFault(message=f"in the condition: {message}", hint=hint, line=line, column=column)


def faults_of(report: str) -> tuple[ConditionFault, ...]:
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
