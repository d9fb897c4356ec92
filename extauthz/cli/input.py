"""What commands read besides the policy: files, standard input, JSON on the command line. All of it bounded."""

import json
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from extauthz.files import FileFault, read_regular_file
from extauthz.pdp.quoting import quoted

MAX_INPUT_BYTES: Final = 4_194_304
"""Of a token, message or key set: as much as servers read of a message."""
MAX_JSON_DEPTH: Final = 200
"""Of a JSON value on the command line; claims and arguments of people have three or four levels."""
MAX_MOMENT_S: Final = 253_402_300_799.0
"""The last second of the year 9999, as Unix time."""

_OPEN_ALREADY: Final = re.compile(r"/dev/stdin|/(?:dev|proc/self)/fd/[0-9]{1,6}")
"""What a shell hands over for `<(command)`: a pipe that this process has open."""


class Moment(click.ParamType[float]):
    """A moment in Unix seconds, within the years that a calendar has."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        try:
            moment = float(value)
        except (TypeError, ValueError):
            moment = math.nan
        if not 0 <= moment <= MAX_MOMENT_S:
            self.fail(f"{quoted(str(value))} is not a moment: write Unix seconds, as 1780000000", param, ctx)
        return moment


def json_object(name: str, text: str) -> Mapping[str, Any]:
    """A JSON object given as an option: the text itself, or `@FILE`. Raises `click.UsageError` for anything else."""
    given: str | bytes = read_input(text[1:]) if text.startswith("@") else text
    try:
        value = json.loads(given, parse_constant=_no_constant)
        json.dumps(value).encode("ascii")
    except RecursionError:
        raise click.UsageError(_too_deep(name)) from None
    except (ValueError, UnicodeError) as error:
        raise click.UsageError(f"{name} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise click.UsageError(f"{name} is not a JSON object")
    if _depth(value) > MAX_JSON_DEPTH:
        raise click.UsageError(_too_deep(name))
    return value


def read_input(name: str) -> bytes:
    """The bytes of a file, or of standard input for `-`. Raises `click.UsageError`."""
    if name == "-":
        return _bounded("standard input", sys.stdin.buffer.read(MAX_INPUT_BYTES + 1))
    if _OPEN_ALREADY.fullmatch(name):
        try:
            with Path(name).open("rb") as opened:
                return _bounded(name, opened.read(MAX_INPUT_BYTES + 1))
        except OSError as error:
            raise click.UsageError(f"{name} cannot be read: {error.strerror}") from error
    content = read_regular_file(name, MAX_INPUT_BYTES)
    if isinstance(content, FileFault):
        raise click.UsageError(f"{name} cannot be read: {content.why}")
    return content


def is_stream(name: str) -> bool:
    """Whether this is standard input, or a pipe that the shell has made for `<(command)`."""
    return name == "-" or _OPEN_ALREADY.fullmatch(name) is not None


def _bounded(name: str, content: bytes) -> bytes:
    if len(content) > MAX_INPUT_BYTES:
        raise click.UsageError(f"{name} cannot be read: larger than {MAX_INPUT_BYTES} bytes")
    return content


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


def _too_deep(name: str) -> str:
    return f"{name} is nested more than {MAX_JSON_DEPTH} levels deep: leave out what the decision does not need"


def _depth(value: Any) -> int:
    """Levels of lists and objects, counted without recursion."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return depth
