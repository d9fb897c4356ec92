"""What commands print: nothing in it steers a terminal or forges a line, and no secret is in it.

Names come from files, tokens, servers and callers. `tell` is the way out for lines, `tell_error` for what went wrong;
JSON needs neither escape. A test looks for ways around them.
"""

import json
import os
from typing import Any, Final

import click

from extauthz.pdp.quoting import visible, visible_lines
from extauthz.pdp.redaction import Redactor

REDACTOR: Final = Redactor()
"""Of this process. `serve` tells it the policy's secrets as well."""


def learn_environment() -> None:
    """Know the secrets of the environment."""
    from extauthz.config.settings.known_secrets import environment_secrets  # noqa: PLC0415 - only when there is an error

    REDACTOR.learn(environment_secrets(os.environ))


def tell(*lines: str, err: bool = False) -> None:
    """Print lines. What would end a line or steer a terminal is escaped."""
    for line in lines:
        click.echo(visible(REDACTOR.cut(line)), err=err)


def tell_json(document: Any) -> None:
    """Print a JSON document: ASCII, in which nothing steers a terminal."""
    click.echo(json.dumps(document, indent=2))


def tell_text(text: str, *, err: bool = False) -> None:
    """Print a text of several lines, of which each is one of ours."""
    tell(*text.split("\n"), err=err)


def safe(text: str) -> str:
    """A text of several lines for standard error, with nothing in it but what may be shown."""
    return visible_lines(REDACTOR.cut(text))
