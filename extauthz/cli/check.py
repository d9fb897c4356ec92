"""`extauthz check`: everything wrong or doubtful in policy files, with line and column."""

import os
from pathlib import Path
from typing import Any

import click

from extauthz.cli import EXIT_FINDINGS
from extauthz.cli.input import is_stream, read_input
from extauthz.cli.output import tell, tell_json
from extauthz.config.policy_file.fault import Fault, PolicyFaults
from extauthz.config.policy_file.policy_build import SecretSource
from extauthz.config.policy_file.policy_file import Review, review_bytes, review_file

_FILE = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True)


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=_FILE)
@click.option("--strict", is_flag=True, help="Warnings fail the check as well.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
@click.option(
    "--without-secrets", is_flag=True, help="Do not read secret files and variables: for reviews on another machine."
)
@click.pass_context
def check(ctx: click.Context, files: tuple[str, ...], *, strict: bool, as_json: bool, without_secrets: bool) -> None:
    """Validate policy files (- is standard input).

    Prints every fault as FILE:LINE:COLUMN: what is wrong (how to mend it), and warnings about rules that are
    shadowed, too broad or never used. Exit code 0: fine; 1: faults (with --strict also warnings); 2: wrong usage.
    """
    names = dict.fromkeys(files)
    reviews = {_shown(name): _review(name, with_secrets=not without_secrets) for name in names}
    if as_json:
        tell_json([_document(name, review) for name, review in reviews.items()])
    else:
        for name, review in reviews.items():
            _tell(name, review)
    failed = any(isinstance(review.policy, PolicyFaults) or (strict and review.advice) for review in reviews.values())
    ctx.exit(EXIT_FINDINGS if failed else 0)


def _review(name: str, *, with_secrets: bool) -> Review:
    if not is_stream(name):
        return review_file(name, with_secrets=with_secrets)
    source = SecretSource(env=os.environ, folder=Path()) if with_secrets else None
    return review_bytes(read_input(name), _shown(name), source)


def _shown(name: str) -> str:
    return "<stdin>" if name == "-" else name


def _tell(name: str, review: Review) -> None:
    faults = review.policy.faults if isinstance(review.policy, PolicyFaults) else ()
    lines = [(fault.line, fault.column, str(fault)) for fault in faults]
    lines += [(one.line, one.column, _as_warning(one)) for one in review.advice]
    for _, _, line in sorted(lines):
        tell(line)
    warnings = _count(len(review.advice), "warning")
    if isinstance(review.policy, PolicyFaults):
        tell(f"{name}: {_count(len(faults), 'fault')}, {warnings}")
        return
    policy = review.policy
    rules = sum(len(resource.rules) for resource in policy.resources.values())
    sizes = (_count(len(policy.issuers), "issuer"), _count(len(policy.resources), "resource"), _count(rules, "rule"))
    tell(f"{name}: ok, {warnings}; revision {policy.revision}: {', '.join(sizes)}")


def _as_warning(one: Fault) -> str:
    return f"{one.file}:{one.line}:{one.column}: warning: {one.message} ({one.hint})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _document(name: str, review: Review) -> dict[str, Any]:
    faults = review.policy.faults if isinstance(review.policy, PolicyFaults) else ()
    return {
        "file": name,
        "ok": not isinstance(review.policy, PolicyFaults),
        "revision": None if isinstance(review.policy, PolicyFaults) else review.policy.revision,
        "faults": [_finding(fault) for fault in faults],
        "warnings": [_finding(one) for one in review.advice],
    }


def _finding(fault: Fault) -> dict[str, Any]:
    return {
        "line": fault.line,
        "column": fault.column,
        "path": fault.path,
        "message": fault.message,
        "hint": fault.hint,
    }
