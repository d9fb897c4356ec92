"""`extauthz attack`: run the attack corpus against an MCP endpoint or gateway, and say what got through."""

import ssl
from collections.abc import Mapping
from json import dumps
from typing import Any, Final

import click
import yaml

from extauthz.attack.case import BOTH_ERAS, Case, attempts
from extauthz.attack.corpus import about_groups, load_corpus
from extauthz.attack.exchange import Connector, UnreachableError
from extauthz.attack.junit import junit_xml
from extauthz.attack.report import json_report, text_report
from extauthz.attack.run import NothingServedError, Runner, choose, run
from extauthz.attack.target import Target, Values
from extauthz.cli.input import json_object, read_input
from extauthz.cli.output import tell, tell_text
from extauthz.files import in_memory, write_file

DEFAULT_RATE: Final = 50.0
"""Requests a second: the whole corpus in some ten seconds, and no load to speak of for any gateway."""
MAX_RATE: Final = 1000.0
DEFAULT_TIMEOUT_S: Final = 5.0
"""Of one request: a tool that takes longer is no tool for this."""


@click.command()
@click.argument("url")
@click.option("--token", help="An access token that permits --tool (--token-file keeps it out of the process list).")
@click.option(
    "--token-file", type=click.Path(dir_okay=False), help="A file with the access token, or - for standard input."
)
@click.option(
    "--tokens",
    "token_set",
    type=click.Path(dir_okay=False),
    help="YAML or JSON file of tokens to be refused, by name: expired, other-audience, … (see --list).",
)
@click.option("--tool", default="", help="A harmless tool that the token may call.")
@click.option("--arguments", default="{}", help="Its arguments (a JSON object, or @FILE).")
@click.option("--forbidden-tool", default="", help="A tool that policy refuses. A gateway with a hole WILL run it.")
@click.option("--forbidden-arguments", default="{}", help="Its arguments.")
@click.option("--guarded-tool", default="", help="A tool that policy refuses for some arguments.")
@click.option(
    "--guarded-permitted", default="{}", help="Arguments for which it is permitted (a JSON object, or @FILE)."
)
@click.option(
    "--guarded-refused",
    default="{}",
    help="Arguments for which it is refused, each by itself: a number and a boolean. A hole WILL run it with them.",
)
@click.option(
    "--forbidden-uri",
    default="",
    help="A resource that policy refuses, with each of _ - ~ in its path. A gateway with a hole WILL read it.",
)
@click.option("--origin", default="", help="A browser origin that is allowed.")
@click.option(
    "--only", multiple=True, metavar="GLOB", help="Only cases whose CLASS/ID fits, as 'duplicates/*'; repeatable."
)
@click.option("--list", "as_list", is_flag=True, help="Print the cases and send nothing.")
@click.option(
    "--rate",
    type=click.FloatRange(0.1, MAX_RATE),
    default=DEFAULT_RATE,
    show_default=True,
    help="Requests a second at most.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 60),
    default=DEFAULT_TIMEOUT_S,
    show_default=True,
    help="Seconds for one request.",
)
@click.option("--ca-file", type=click.Path(exists=True, dir_okay=False), help="Trust these certificates (https).")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--junit", "junit_file", type=click.Path(dir_okay=False, writable=True), help="Write JUnit XML there.")
def attack(url: str, **options: Any) -> int:
    """Run the attack corpus against the MCP endpoint at URL.

    Attack only what is yours. Exit code 1 when something got through, or a control was refused.
    """
    cases = choose(load_corpus(), options["only"])
    if not cases:
        raise click.UsageError(f"no case fits --only {' '.join(options['only'])}: see --list")
    try:
        target = Target.of(url)
        values = _values(options)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if options["as_list"]:
        tell(*(f"{case.group}/{case.name}: {case.why}" for case in cases))
        return 0
    _announce(target, values, cases, options["rate"])
    tls = _tls(options["ca_file"]) if target.secure else None
    runner = Runner(Connector(target, options["timeout_s"], tls), values, options["rate"])
    try:
        outcomes = run(runner, cases)
    except (NothingServedError, UnreachableError) as error:
        raise click.ClickException(str(error)) from error
    if options["junit_file"] is not None:
        fault = write_file(options["junit_file"], junit_xml(outcomes))
        if fault is not None:
            raise click.ClickException(f"{options['junit_file']} cannot be written: {fault.why}")
    tell_text(json_report(target, outcomes) if options["as_json"] else text_report(target, outcomes, about_groups()))
    return int(any(outcome.verdict.failed for outcome in outcomes))


def _values(options: Mapping[str, Any]) -> Values:
    if options["token"] is not None and options["token_file"] is not None:
        raise click.UsageError("--token and --token-file are both given: give one")
    token = options["token"] or ""
    if options["token_file"] is not None:
        token = read_input(options["token_file"]).decode("ascii", "replace").strip()
    return Values(
        tool=options["tool"],
        arguments=dumps(json_object("--arguments", options["arguments"])),
        forbidden=options["forbidden_tool"],
        forbidden_arguments=dumps(json_object("--forbidden-arguments", options["forbidden_arguments"])),
        guarded=options["guarded_tool"],
        guarded_permitted=dumps(json_object("--guarded-permitted", options["guarded_permitted"])),
        guarded_refused=dumps(json_object("--guarded-refused", options["guarded_refused"])),
        forbidden_uri=options["forbidden_uri"],
        token=token,
        tokens=_token_set(options["token_set"]),
        origin=options["origin"],
    )


def _token_set(file: str | None) -> Mapping[str, str]:
    if file is None:
        return {}
    try:
        found = yaml.safe_load(read_input(file))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise click.UsageError(f"--tokens {file} is neither YAML nor JSON") from error
    if not isinstance(found, dict) or not all(isinstance(one, str) for pair in found.items() for one in pair):
        raise click.UsageError(f"--tokens {file} is no mapping of names to tokens: write `expired: eyJ…`")
    return found


def _tls(ca_file: str | None) -> ssl.SSLContext:
    if ca_file is None:
        return ssl.create_default_context()
    try:
        with in_memory(read_input(ca_file)) as content:
            return ssl.create_default_context(cafile=content)
    except ssl.SSLError as error:
        raise click.UsageError(f"--ca-file {ca_file} holds no certificate in PEM form") from error


def _announce(target: Target, values: Values, cases: tuple[Case, ...], rate: float) -> None:
    """What is about to be sent, before anything is."""
    count = len(attempts(cases, frozenset(BOTH_ERAS)))
    lines = [
        f"sending up to {count} requests ({len(cases)} cases) to {target.url}, at most {rate:g} a second",
        "  each on a connection of its own; redirects are not followed",
        f"  with {'the token given' if values.token else 'no token'}",
    ]
    if values.tool:
        lines.append(f"  tool that will be called: {values.tool} {values.arguments}")
    if values.forbidden:
        lines.append(f"  tool that will run if there is a hole: {values.forbidden} {values.forbidden_arguments}")
    if values.guarded:
        lines.append(f"  tool that will run if there is a hole: {values.guarded} {values.guarded_refused}")
    if values.forbidden_uri:
        lines.append(f"  resource that will be read if there is a hole: {values.forbidden_uri}")
    tell(*lines, err=True)
