"""Functions: searching in texts, arithmetic, conversions. Each takes parts and makes a function of a frame."""

from typing import Any, Final

from extauthz.adapters.cel import texts
from extauthz.adapters.cel.arithmetic import calculate, negative, size, to_number
from extauthz.adapters.cel.comparison import kind_of
from extauthz.adapters.cel.loops import Run
from extauthz.adapters.cel.part import Part, UnsupportedError
from extauthz.adapters.cel.standard import standard_call
from extauthz.adapters.cel.steps import Frame, UnknownError

# What an argument must be for a conversion: the same, or servers would have to convert alike.
_CONVERTED: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "bytes": (str,),
    "timestamp": (str,),
    "duration": (str,),
    "bool": (bool,),
    "int": (int, float),
    "uint": (int, float),
    "double": (int, float),
}


def search(function: str, text: Part, needle: Part) -> Run:
    """`text.contains(needle)`, `startsWith`, `endsWith`."""
    one, other = text.run, needle.run
    prefix = str(needle.literal.value) if needle.literal is not None and function == "startsWith" else None

    def run(frame: Frame) -> bool:
        found = one(frame)
        if prefix is not None and type(found) is str:
            return found.startswith(prefix)
        sought = other(frame)
        for value, part in ((found, text), (sought, needle)):
            if type(value) is not str:
                raise UnknownError("{} is {}, but {} takes a string", part.path, kind_of(value), function)
        if function == "contains":
            return texts.contains(frame, found, sought)
        frame.spend(1 + (len(sought) >> 6))
        return bool(found.startswith(sought) if function == "startsWith" else found.endswith(sought))

    return run


def matching(text: Part, pattern: Part) -> Run:
    """`text.matches(pattern)`. Raises `UnsupportedError` for a literal that is none or large."""
    one, other, path = text.run, pattern.run, text.path
    compiled: texts.Pattern | None = None
    if pattern.literal is not None:
        try:
            compiled = texts.Pattern(str(pattern.literal.value))
        except texts.InvalidPatternError:
            raise UnsupportedError("matches", "matches has no valid regular expression", "use RE2 syntax") from None
        if compiled.size > texts.MAX_PROGRAM:
            message = f"the regular expression has more than {texts.MAX_PROGRAM} instructions"
            raise UnsupportedError("matches", message, "use fewer counts and classes")

    def run(frame: Frame) -> bool:
        found = one(frame)
        if type(found) is not str:
            raise UnknownError("{} is {}, but matches takes a string", path, kind_of(found))
        if compiled is not None:
            return compiled.found(frame, found)
        expression = other(frame)
        if type(expression) is not str:
            raise UnknownError("{} is {}, but matches takes a string", pattern.path, kind_of(expression))
        return texts.matches(frame, found, expression)

    return run


def calculation(operation: str, left: Part, right: Part) -> Run:
    """`left + right` and the like."""
    one, other, free = left.run, right.run, (left.free, right.free)
    return lambda frame: calculate(frame, operation, one(frame), other(frame), free=free)


def conversion(function: str, part: Part) -> Run:
    """`string(part)` and the like: of an argument only where it is of the type already."""
    of, free, path, accepted = part.run, part.free, part.path, _CONVERTED[function]

    def run(frame: Frame) -> Any:
        value = of(frame)
        if free and type(value) not in accepted:
            raise UnknownError("{} is {}, which {}() does not convert", path, kind_of(value), function)
        if type(value) is int or type(value) is float:
            if function in ("int", "double"):
                return to_number(value, whole=function == "int")
            if function == "uint" and value >= 0:
                return to_number(value, whole=True)
        if type(value) is str and function == "string":
            return value
        return standard_call(frame, function, [value])

    return run


def negation(part: Part) -> Run:
    """`-value`."""
    of, free = part.run, part.free
    return lambda frame: negative(of(frame), free=free)


def sizing(part: Part) -> Run:
    """`size(value)`."""
    of, free, path = part.run, part.free, part.path
    return lambda frame: size(frame, of(frame), free=free, path=path)


def part_of_time(function: str, parts: list[Part]) -> Run:
    """`time.getHours(zone)` and the like."""
    runs = [part.run for part in parts]
    return lambda frame: standard_call(frame, function, [run(frame) for run in runs])
