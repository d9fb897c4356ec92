"""Other arguments for a call that policy refuses for its arguments, of which some server makes the same call.

Servers convert: pydantic takes `"666"` and `1` for a number and a boolean, struct decoders of Go and .NET take
`Account` for `account`. Changes get the permitted and the refused arguments, and return a JSON object as text.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

_Json = dict[str, Any]
_Change = Callable[[_Json, _Json], str]

_FULL_WIDTH: Final = 0xFEE0
_LOOK_ALIKE_LETTERS: Final = {"s": "\u017f", "k": "\u212a", "i": "\u2170", "c": "\u217d", "d": "\u217e", "m": "\u217f"}
"""Letters that case folding or NFKC makes plain ones."""


def reargue(permitted: str, refused: str, change: str) -> str | None:
    """The arguments after one of `ARGUMENT_CHANGES`; None when there is nothing in them that it could change.

    Raises ValueError when there is no such change.
    """
    if change not in ARGUMENT_CHANGES:
        raise ValueError(f"no change of arguments is called {change}: use one of {', '.join(ARGUMENT_CHANGES)}")
    good, bad = json.loads(permitted), json.loads(refused)
    changed = ARGUMENT_CHANGES[change](good, bad)
    # As texts: 1 and true are equal to Python.
    return None if json.dumps(json.loads(changed)) in (json.dumps(good), json.dumps(bad)) else changed


def _number(write: Callable[[str], str]) -> _Change:
    """Each refused number as the JSON text that is written for its digits; all else as permitted."""

    def change(permitted: _Json, refused: _Json) -> str:
        numbers = {name: write(str(value)) for name, value in refused.items() if _is_number(value)}
        return _with(permitted, numbers)

    return change


def _boolean(for_true: str, for_false: str) -> _Change:
    """Each refused boolean as one of these JSON texts; all else as permitted."""

    def change(permitted: _Json, refused: _Json) -> str:
        booleans = {name: value for name, value in refused.items() if isinstance(value, bool)}
        return _with(permitted, {name: for_true if value else for_false for name, value in booleans.items()})

    return change


def _each(write: Callable[[Any], Any]) -> _Change:
    """Each refused value otherwise."""
    return lambda permitted, refused: _with(
        permitted, {name: json.dumps(write(each)) for name, each in refused.items()}
    )


def _scalar_text(value: Any) -> Any:
    return value if isinstance(value, str) else json.dumps(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _with(permitted: _Json, texts: dict[str, str]) -> str:
    """The permitted arguments, with these JSON texts in the place of some."""
    members = {name: json.dumps(value) for name, value in permitted.items()} | texts
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in members.items()) + "}"


def _beside(rename: Callable[[str], str], *, first: bool = False) -> _Change:
    """The permitted arguments, and beside them the refused ones under names that look alike."""

    def change(permitted: _Json, refused: _Json) -> str:
        others = {rename(name): value for name, value in refused.items() if rename(name) not in permitted}
        return json.dumps(others | permitted if first else permitted | others)

    return change


def _exponent(digits: str) -> str:
    return json.dumps(f"{float(digits):e}")


def _swapped_letter(name: str) -> str:
    at = next((at for at, letter in enumerate(name) if letter in _LOOK_ALIKE_LETTERS), None)
    return name if at is None else name[:at] + _LOOK_ALIKE_LETTERS[name[at]] + name[at + 1 :]


ARGUMENT_CHANGES: Final[Mapping[str, _Change]] = {
    "text": _each(_scalar_text),
    "text-padded": _each(lambda value: f" {_scalar_text(value)} "),
    "text-newline": _each(lambda value: f"{_scalar_text(value)}\n"),
    "text-plus": _number(lambda digits: f'"+{digits}"'),
    "text-zero": _number(lambda digits: f'"0{digits}"'),
    "text-fraction": _number(lambda digits: f'"{digits}.0"'),
    "text-exponent": _number(_exponent),
    "text-full-width": _number(lambda digits: '"' + "".join(chr(ord(one) + _FULL_WIDTH) for one in digits) + '"'),
    "boolean-title": _boolean('"True"', '"False"'),
    "boolean-upper": _boolean('"TRUE"', '"FALSE"'),
    "boolean-letter": _boolean('"t"', '"f"'),
    "boolean-yes": _boolean('"yes"', '"no"'),
    "boolean-on": _boolean('"on"', '"off"'),
    "boolean-number": _boolean("1", "0"),
    "boolean-number-text": _boolean('"1"', '"0"'),
    "boolean-fraction": _boolean("1.0", "0.0"),
    "array": _each(lambda value: [value]),
    "array-of-text": _each(lambda value: [_scalar_text(value)]),
    "member-title": _beside(str.title),
    "member-upper": _beside(str.upper),
    "member-upper-first": _beside(str.upper, first=True),
    "member-last-upper": _beside(lambda name: name[:-1] + name[-1].upper()),
    "member-underscore": _beside(lambda name: f"{name[0]}_{name[1:]}"),
    "member-underscore-before": _beside(lambda name: f"_{name}"),
    "member-hyphen": _beside(lambda name: f"{name[0]}-{name[1:]}"),
    "member-full-width": _beside(lambda name: chr(ord(name[0]) + _FULL_WIDTH) + name[1:]),
    "member-full-width-first": _beside(lambda name: chr(ord(name[0]) + _FULL_WIDTH) + name[1:], first=True),
    "member-letter": _beside(_swapped_letter),
    "member-title-underscore": _beside(lambda name: f"{name[0].upper()}_{name[1:].title()}"),
}
