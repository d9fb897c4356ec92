"""`extauthz explain`: decide one request offline by the real procedure, and tell each step. Nothing is decided here."""

import itertools
import json
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from extauthz.cli.explained_token import Credentials, read_credentials
from extauthz.cli.input import Moment, json_object, read_input
from extauthz.cli.output import tell, tell_json
from extauthz.config.policy_file.policy_file import load_policy
from extauthz.pdp.answer.verdict import Forward
from extauthz.pdp.decision.resource_index import authority_of
from extauthz.pdp.mcp.headers import METHOD_HEADER, NAME_HEADER, VERSION_HEADER
from extauthz.pdp.operation import Operation
from extauthz.pdp.policy import Policy, Resource
from extauthz.pdp.request import HttpRequest
from extauthz.service.asking import drive
from extauthz.service.call import Call
from extauthz.service.check.active_policy import ActivePolicy, Caches, SharedState
from extauthz.service.check.checked import Checked
from extauthz.service.check.codec import encode_request
from extauthz.service.check.explanation import Told
from extauthz.service.check.explanation import explain as explain_steps
from extauthz.service.check.procedure import check
from extauthz.service.keys.keyring import KeyRing
from extauthz.service.needs import Answer, Awaited, Introspected, KeysUnavailable, NeedIntrospection, NeedKeys, Resolved


@click.command()
@click.option(
    "--policy",
    "policy_file",
    default="extauthz.yaml",
    envvar="EXTAUTHZ_POLICY",
    show_default=True,
    help="The policy file.",
)
@click.option("--resource", "resource_name", help="Which resource; not needed when the policy has one.")
@click.option("--token", help="The access token (it can be seen in the process list: --token-file is better).")
@click.option(
    "--token-file", type=click.Path(dir_okay=False), help="A file with the access token, or - for standard input."
)
@click.option("--claims", help="Decide for a token with these claims (JSON, or @FILE); what is missing is filled in.")
@click.option(
    "--jwks", "jwks_file", type=click.Path(dir_okay=False), help="Check the token's signature with this key set."
)
@click.option("--at", type=Moment(), help="Decide as of this moment (Unix seconds) instead of now.")
@click.option("--method", help="The MCP method, as tools/call; or GET or DELETE.")
@click.option("--tool", help="The tool of tools/call.")
@click.option("--prompt", help="The prompt of prompts/get.")
@click.option("--uri", help="The URI of resources/read and the like.")
@click.option("--args", "arguments", help="The arguments of the tool or prompt (a JSON object).")
@click.option(
    "--body",
    "body_file",
    type=click.Path(dir_okay=False),
    help="A raw message instead, from a file or - for standard input.",
)
@click.option("--without-body", is_flag=True, help="As a proxy asks that hands no body over (header_only).")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="A further request header; repeatable.")
@click.option("--path", help="The request path; the resource's own unless given.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def explain(**options: Any) -> None:
    """Decide one request offline; print each step, why, the rule with its line, and the exact HTTP answer."""
    policy = load_policy(options["policy_file"], with_secrets=False)
    if not isinstance(policy, Policy):
        raise click.ClickException(str(policy))
    resource = _resource(policy, options["resource_name"])
    now = time.time() if options["at"] is None else options["at"]
    credentials = read_credentials(options, resource, now)
    request = _request(options, resource, credentials.token)
    checked = _decide(policy, request, credentials, now)
    told = explain_steps(checked)
    if options["as_json"]:
        tell_json(_json(checked, told, credentials))
    else:
        tell(*_text(checked, told, credentials))


def _resource(policy: Policy, name: str | None) -> Resource:
    if name is None and len(policy.resources) == 1:
        return next(iter(policy.resources.values()))
    if name is not None and name in policy.resources:
        return policy.resources[name]
    known = ", ".join(policy.resources)
    asked = "--resource is needed" if name is None else f"the policy has no resource {name!r}"
    raise click.UsageError(f"{asked}: name one of {known}")


def _request(options: Mapping[str, Any], resource: Resource, token: str | None) -> HttpRequest:
    scheme, _, rest = resource.uri.partition("://")
    host, slash, path = rest.partition("/")
    method = options["method"] or "tools/call"
    http_method = method if method in ("GET", "DELETE") else "POST"
    body = b"" if http_method != "POST" else _body(options, method)
    without_body = options["without_body"] and http_method == "POST"
    headers = {"accept": "application/json, text/event-stream"}
    if http_method == "POST":
        headers |= {"content-type": "application/json", "content-length": str(len(body))}
    if without_body:
        headers |= _mirrored(options, method)
        body = b""
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    for header in options["headers"]:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise click.UsageError(f"--header {header!r} is not NAME:VALUE")
        headers[name.strip().lower()] = value.strip()
    return HttpRequest(
        method=http_method,
        scheme=scheme,
        authority=authority_of(host, scheme),
        path=options["path"] or slash + path or "/",
        headers=headers,
        body=body,
        body_size=len(body),
    )


def _mirrored(options: Mapping[str, Any], method: str) -> dict[str, str]:
    """The headers in which a client of 2026-07-28 says what the message is about."""
    name = options["tool"] or options["prompt"] or options["uri"]
    standard = {VERSION_HEADER: "2026-07-28", METHOD_HEADER: method}
    return standard if name is None else {**standard, NAME_HEADER: name}


def _body(options: Mapping[str, Any], method: str) -> bytes:
    if options["body_file"] is not None:
        return read_input(options["body_file"])
    if method == "tools/call" and options["tool"] is None:
        raise click.UsageError("what is to be decided? give --tool NAME, another --method, or --body FILE")
    params: dict[str, Any] = {}
    name = options["tool"] or options["prompt"]
    if name is not None:
        params["name"] = name
    if options["uri"] is not None:
        params["uri"] = options["uri"]
    if options["arguments"] is not None:
        params["arguments"] = json_object("--args", options["arguments"])
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if not method.startswith("notifications/"):
        message["id"] = 1
    if method == "initialize":
        params = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "explain", "version": "0"},
        }
    if params:
        message["params"] = params
    return json.dumps(message).encode()


def _decide(policy: Policy, request: HttpRequest, credentials: Credentials, now: float) -> Checked:
    ring = KeyRing(policy.issuers.values(), policy.cache, random.random)
    for name, keys in credentials.keys.items():
        ring.adopt(policy.issuers[name], keys, now)
    numbers = itertools.count()
    shared_state = SharedState(
        ring=ring,
        caches=Caches.bounded(),
        new_id=lambda: f"explain-{next(numbers)}",
        signer=None,
        random=lambda: 0.0,
    )
    steps = check(encode_request(request), Call(int(now * 1e9)), ActivePolicy.of(policy), shared_state)
    return drive(steps, lambda need: Resolved(answer=_offline(need, ring, now), now=now))


def _offline(need: Awaited, ring: KeyRing, now: float) -> Answer:
    if isinstance(need, NeedKeys):
        return ring.held(need.issuer, now) or KeysUnavailable("none at hand: give --jwks FILE")
    return Introspected.ACTIVE if isinstance(need, NeedIntrospection) else None


def _text(checked: Checked, told: Sequence[Told], credentials: Credentials) -> list[str]:
    lines = [f"{'ok' if one.passed else '->'}  {one.step:<12} {one.found}" for one in told]
    lines.append("")
    verdict = checked.verdict
    if isinstance(verdict, Forward):
        lines.append("forwarded, with")
        lines += [f"  {name}: {value}" for name, value in verdict.set_headers]
        lines.append(f"  and without {', '.join(verdict.remove_headers)}" if verdict.remove_headers else "")
    else:
        lines.append(f"HTTP {verdict.status}")
        lines += [f"  {name}: {value}" for name, value in verdict.headers]
        lines += ["", f"  {verdict.body}"] if verdict.body else []
    lines += [f"note: {remark}" for remark in credentials.remarks]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _json(checked: Checked, told: Sequence[Told], credentials: Credentials) -> Mapping[str, Any]:
    verdict = checked.verdict
    operation = checked.operation
    answer: dict[str, Any]
    if isinstance(verdict, Forward):
        answer = {"forward": True, "set": dict(verdict.set_headers), "remove": list(verdict.remove_headers)}
    else:
        body = json.loads(verdict.body) if verdict.body else None
        answer = {"forward": False, "status": verdict.status, "headers": dict(verdict.headers), "body": body}
    return {
        "allowed": isinstance(verdict, Forward),
        "reason": checked.reason,
        "rule": checked.rule,
        "resource": None if checked.resource is None else checked.resource.name,
        "method": None if operation is None else operation.method,
        "targets": [target.name for target in operation.targets] if isinstance(operation, Operation) else [],
        "steps": [{"step": one.step, "passed": one.passed, "found": one.found} for one in told],
        "answer": answer,
        "remarks": list(credentials.remarks),
    }
