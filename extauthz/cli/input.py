"""What commands read besides the policy: files, standard input, JSON on the command line. All of it bounded."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

MAX_INPUT_BYTES: Final = 4_194_304
"""Of a token, message or key set: as much as servers read of a message."""


def json_object(name: str, text: str) -> Mapping[str, Any]:
    """A JSON object given as an option: the text itself, or `@FILE`."""
    try:
        value = json.loads(read_input(text[1:]) if text.startswith("@") else text)
    except ValueError as error:
        raise click.UsageError(f"{name} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise click.UsageError(f"{name} is not a JSON object")
    return value


def read_input(name: str) -> bytes:
    """The bytes of a file, or of standard input for `-`."""
    try:
        if name == "-":
            return sys.stdin.buffer.read(MAX_INPUT_BYTES)
        with Path(name).open("rb") as opened:
            return opened.read(MAX_INPUT_BYTES)
    except OSError as error:
        raise click.UsageError(f"{name} cannot be read: {error.strerror}") from error
