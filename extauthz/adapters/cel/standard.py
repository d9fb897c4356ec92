"""Functions of the CEL standard that are left to Google's runtime: conversions of values that the policy itself wrote,
timestamps, durations and their parts.

None of them compares, and each looks at one short value; a call takes about 5 us.
"""

import re
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from extauthz.adapters.cel.steps import Frame, UnknownError

# Characters of a text that is converted. The longest timestamp has 35.
MAX_CONVERTED_CHARS: Final = 256
_CALL_STEPS: Final = 80
# Parts of a second that Python's times cannot hold: they would be cut off.
_TOO_FINE: Final = {
    "timestamp": re.compile(r"\.\d{7}"),
    "duration": re.compile(r"ns|us|µs|μs|\.\d{4}"),
}
_ENGINE_ERRORS: Final = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, SystemError, MemoryError)

PARTS: Final = (
    *("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"),
    *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
)
"""Methods of timestamps and durations, with or without a time zone."""
CONVERSIONS: Final = ("int", "uint", "double", "string", "bytes", "bool", "timestamp", "duration")


@cache
def _program(expression: str, kind: type) -> Any:
    from cel_expr_python import cel  # noqa: PLC0415 - loaded when a policy has conditions

    # Times are only taken for variables that are declared as such.
    types = {datetime: cel.Type.TIMESTAMP, timedelta: cel.Type.DURATION}
    variables = {"a": types.get(kind, cel.Type.DYN), "b": cel.Type.STRING}
    return cel.NewEnv(variables=variables).compile(expression), cel.Type.ERROR


def standard_call(frame: Frame, function: str, arguments: list[Any]) -> Any:
    """The result of one of `CONVERSIONS` or `PARTS`. Raises `UnknownError` for an error."""
    for value in arguments:
        if isinstance(value, str | bytes) and len(value) > MAX_CONVERTED_CHARS:
            raise UnknownError("{} of more than {} characters", function, str(MAX_CONVERTED_CHARS))
    if function in _TOO_FINE and isinstance(arguments[0], str) and _TOO_FINE[function].search(arguments[0]):
        raise UnknownError("{} with parts smaller than a microsecond", function)
    frame.spend(_CALL_STEPS)
    method = function in PARTS
    expression = f"a.{function}({'b' if len(arguments) > 1 else ''})" if method else f"{function}(a)"
    try:
        program, error = _program(expression, arguments[0].__class__)
        result = program.eval(data=dict(zip("ab", arguments, strict=False)))
        # An error is a value as well, and looks like a text.
        if result.type() != error:
            value = result.value()
            return bytes(value) if isinstance(value, bytearray) else value
    except _ENGINE_ERRORS:
        pass
    raise UnknownError("{} has no value here", function)
