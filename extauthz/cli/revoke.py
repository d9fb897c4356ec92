"""`extauthz revoke`: tell a running service which tokens count no more, before they end.

A token itself never leaves this command: its SHA-256 and its end are all that the service needs.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import click

from extauthz.cli import EXIT_FINDINGS
from extauthz.cli.admin_client import DEFAULT_ADMIN, ask
from extauthz.cli.input import read_input
from extauthz.cli.output import learn_environment, tell, tell_json
from extauthz.config.settings.secret import secrets_setting
from extauthz.pdp.revocation.revocation import MAX_LIFE_S, TOKEN_GRACE_S, RevokedBy
from extauthz.pdp.token.signed_token import inspect, revocation_digests
from extauthz.pdp.token.token_fault import TokenFault

TIMEOUT_S: Final = 5.0
"""For one answer: the service waits for Redis for a second at most."""
MAX_DIGITS: Final = 12
"""Of a moment in Unix seconds: the year 9999 has as many."""
_CLOCKS_DIFFER_S: Final = 3_600
"""By how much the service's clock may be behind ours; it takes no end that is too far away by its own."""
TOKEN_VARIABLE: Final = "EXTAUTHZ_ADMIN_TOKEN"  # noqa: S105 - a name, not a secret

_GROUPS: Final = ("subject", "user", "client", "organization")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What is asked of each admin port."""

    method: str
    path: str
    body: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What one admin port answered; status 0: it did not."""

    admin: str
    status: int
    answer: Mapping[str, Any]

    @property
    def done(self) -> bool:
        return self.status in (200, 202)


@click.command()
@click.option("--token-file", metavar="FILE", help="The very token in FILE (- is standard input).")
@click.option("--jti", metavar="ID", help="The token with this `jti`.")
@click.option("--subject", metavar="SUB", help="Tokens of this `sub`; with --client only those for that client.")
@click.option("--user", metavar="ORG/NAME", help="Tokens of the user of this name in this organization.")
@click.option("--client", metavar="ID", help="Tokens of this client.")
@click.option("--organization", metavar="NAME", help="Tokens of everybody in this organization.")
@click.option("--issuer", metavar="NAME|URL", help="Whose tokens; needed where the policy has more than one issuer.")
@click.option(
    "--before",
    metavar="TIME",
    help="Those issued until then: 2026-11-24T16:00:00Z, Unix seconds, or now.  [default: now]",
)
@click.option("--list", "listing", is_flag=True, help="Show what is revoked.")
@click.option("--undo", metavar="ID", help="Take the revocation with this id back.")
@click.option(
    "--admin",
    "admins",
    metavar="URL",
    multiple=True,
    help="The service's admin port: http://host:port or unix:/path. Several processes that share no Redis have to be "
    f"told one by one: repeat it. [env: EXTAUTHZ_ADMIN_LISTEN; default: http://{DEFAULT_ADMIN}]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
@click.pass_context
def revoke(ctx: click.Context, /, *, admins: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Revoke tokens, list what is revoked, or take a revocation back.

    Name what to revoke with one of --token-file, --jti, --subject, --user, --client or --organization. The service
    knows the caller by EXTAUTHZ_ADMIN_TOKEN or EXTAUTHZ_ADMIN_TOKEN_FILE. Exit code 0: done; 1: not done, and why; 2:
    wrong usage.
    """
    learn_environment()
    order = _order(options, time.time())
    token = _admin_token()
    default = os.environ.get("EXTAUTHZ_ADMIN_LISTEN", "").strip() or DEFAULT_ADMIN
    told = [_told(admin, order, token) for admin in admins or (default,)]
    # An id is known where it was made, and by those who share a Redis with that process.
    elsewhere = options["undo"] is not None and any(each.done for each in told)
    failed = [each for each in told if not (each.done or (elsewhere and each.status == 404))]
    if as_json:
        tell_json([{"admin": one.admin, "status": one.status, **one.answer} for one in told])
    else:
        _tell(told)
    for each in failed:
        why = each.answer.get("error") or f"HTTP status {each.status}: is this the admin port of extauthz?"
        tell(f"extauthz: {each.admin}: {why}", err=True)
    ctx.exit(EXIT_FINDINGS if failed else 0)


def _order(options: Mapping[str, Any], now: float) -> _Order:
    named = [name for name in ("token_file", "jti", *_GROUPS, "undo") if options[name] is not None]
    if options["listing"]:
        named.append("list")
    narrowed = named == ["subject", "client"]
    if len(named) != 1 and not narrowed:
        options_named = "--token-file, --jti, --subject, --user, --client, --organization, --list and --undo"
        raise click.UsageError(f"give one of {options_named} (--client may go with --subject)")
    (what, *_) = named
    if what not in _GROUPS and options["before"] is not None:
        raise click.UsageError("--before goes with --subject, --user, --client or --organization")
    if what in ("token_file", "list", "undo") and options["issuer"] is not None:
        raise click.UsageError(f"--issuer has no use with --{what.replace('_', '-')}: leave it out")
    match what:
        case "list":
            return _Order(method="GET", path="/revocations")
        case "undo":
            return _Order(method="DELETE", path=f"/revocations/{_id(options['undo'])}")
        case "token_file":
            return _Order(method="POST", path="/revocations", body=_of_token(options["token_file"], now))
        case _:
            item = {"by": RevokedBy(what).value, "value": options[what]}
            if options["issuer"] is not None:
                item["issuer"] = options["issuer"]
            if narrowed:
                item["client"] = options["client"]
            if what in _GROUPS:
                item["before"] = _moment(options["before"] or "now", now)
            return _Order(method="POST", path="/revocations", body=item)


def _told(admin: str, order: _Order, token: str) -> _Told:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = None if order.body is None else json.dumps(order.body).encode()
    try:
        status, answer = ask(admin, order.method, order.path, timeout_s=TIMEOUT_S, headers=headers, body=body)
    except click.UsageError:
        raise
    except click.ClickException as failure:
        # The others have to be told all the same.
        return _Told(admin=admin, status=0, answer={"error": failure.message})
    return _Told(admin=admin, status=status, answer=_read(answer))


def _of_token(file: str, now: float) -> list[dict[str, Any]]:
    """The items for a token: by its digest, and for ECDSA by that of the second spelling that verifies as well."""
    token = inspect(read_input(file).decode("utf-8", "replace").strip())
    if isinstance(token, TokenFault):
        raise click.ClickException(f"{file} holds no token: {token.detail}")
    life: dict[str, int] = {}
    ends = token.claims.get("exp")
    if isinstance(ends, int | float):
        if ends + TOKEN_GRACE_S <= now:
            raise click.ClickException(f"the token ended {now - ends:.0f} s ago: there is nothing to revoke")
        life["until"] = min(int(ends) + TOKEN_GRACE_S, int(now) + MAX_LIFE_S - _CLOCKS_DIFFER_S)
    return [{"by": RevokedBy.TOKEN.value, "value": digest.hex(), **life} for digest in revocation_digests(token)]


def _moment(text: str, now: float) -> int:
    if text == "now":
        return int(now)
    if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"{text!a} is no time: write 2026-11-24T16:00:00Z, Unix seconds, or now") from None
    if moment.tzinfo is None:
        raise click.UsageError(f"{text!a} does not say in which time zone: add Z, or an offset such as +02:00")
    return int(moment.timestamp())


def _id(text: str) -> str:
    if not (text.isascii() and text.replace("-", "").replace("_", "").isalnum()):
        raise click.UsageError(f"{text!a} is no id: see `extauthz revoke --list`")
    return text


def _admin_token() -> str:
    found, complaints = secrets_setting(TOKEN_VARIABLE, os.environ, at_most=2)
    if complaints:
        where, complaint = complaints[0]
        raise click.UsageError(f"{where}: {complaint.message} ({complaint.hint})")
    if not found:
        raise click.UsageError(f"set {TOKEN_VARIABLE} or {TOKEN_VARIABLE}_FILE to what the service was started with")
    token = found[0].reveal()
    if not (token.isascii() and token.isprintable()):
        raise click.UsageError(f"{TOKEN_VARIABLE} has characters that no header can carry: make one with openssl rand")
    return token


def _read(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


_SPREAD: Final = {
    "shared": "every process that shares its Redis refuses them within a second",
    "pending": "Redis has not taken it yet: the others learn of it once it does",
    "alone": "there is no Redis: tell every other process, each by its own --admin",
}


def _tell(told: Sequence[_Told]) -> None:
    for one in told:
        if not one.done:
            continue
        if "undone" in one.answer:
            tell(f"taken back: {one.answer['undone']}")
        for item in one.answer.get("revocations", ()):
            tell(_line(item, new="spread" in one.answer))
        if "spread" in one.answer:
            tell(f"{one.admin}: {_SPREAD.get(one.answer['spread'], one.answer['spread'])}")
        elif not one.answer.get("revocations"):
            tell("nothing is revoked")


def _line(item: Mapping[str, Any], *, new: bool) -> str:
    try:
        return _told_of(item, new=new)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return f"{item!r}: not a revocation as this version knows it"


def _told_of(item: Mapping[str, Any], *, new: bool) -> str:
    parts = [f"{item['id']}  {item['by']} {_shown(item['value'])}"]
    if item.get("client"):
        parts.append(f"at client {_shown(item['client'])}")
    if item.get("issuer"):
        parts.append(f"of {_shown(item['issuer'])}")
    if item["by"] not in (RevokedBy.TOKEN, RevokedBy.JTI):
        parts.append(f"issued until {_shown_time(item['before'])}")
    parts.append(f"(ends {_shown_time(item['until'])}, from {item['source']})")
    return ("revoked: " if new else "") + " ".join(parts)


def _shown(text: str) -> str:
    """A name from elsewhere, with nothing in it that steers a terminal."""
    return text if text.isprintable() else ascii(text)


def _shown_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
