"""The steps of the walk-through, in order. Each asserts what it expects and raises OtherwiseError when it sees less."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from extauthz.demo.walk import messages
from extauthz.demo.walk.expect import OtherwiseError, expect, expect_in, expect_not_in
from extauthz.demo.walk.sign_in import challenge_scopes, metadata_url, register, sign_in
from extauthz.demo.walk.stage import Stage, result_of

PERSON: Final = "acme/alice"
READ: Final = "weather:read"
WRITE: Final = "weather:write"
CHECK_SPAN: Final = "extauthz.check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: a heading, what it shows, and the function that does it."""

    title: str
    why: str
    run: Callable[[Stage], None]


def no_token(stage: Stage) -> None:
    """401, and a challenge that names the metadata and the scope but no error."""
    response = stage.post(messages.tool_call(1, "get_forecast", city="Oslo"))
    expect("status", 401, response.status_code)
    challenge = response.headers.get("www-authenticate", "")
    expect_in("a challenge", f'scope="{READ}"', challenge)
    expect_in("a challenge", f'resource_metadata="{stage.system.url}/.well-known/', challenge)
    expect_not_in("a challenge", "error=", challenge)
    stage.challenge = challenge


def resource_metadata(stage: Stage) -> None:
    """The document behind the challenge, from Envoy itself."""
    url = metadata_url(stage.challenge)
    if not url:
        raise OtherwiseError("a challenge with resource_metadata", stage.challenge or "no challenge")
    stage.narrator.sent(f"GET {url}")
    response = stage.http.get(url)
    stage.show(response)
    expect("status", 200, response.status_code)
    document = response.json()
    expect("resource", stage.resource, document.get("resource"))
    expect("authorization_servers", [stage.system.issuer.url], document.get("authorization_servers"))


def first_token(stage: Stage) -> None:
    """Register, sign in, and get a token for this one server."""
    stage.client = register(stage.http, stage.system.issuer.url)
    scopes = challenge_scopes(stage.challenge)
    stage.narrator.sent(
        f"sign-in at {stage.client.authorization_endpoint}",
        f"scope={' '.join(sorted(scopes))} resource={stage.resource} (PKCE S256; {PERSON} says yes)",
    )
    answer = sign_in(stage.http, stage.client, user=PERSON, resource=stage.resource, scopes=scopes)
    stage.narrator.answered(
        f"a token of {len(answer['access_token'])} characters, scope {answer['scope']}, {answer['expires_in']} s",
        good=True,
    )
    expect("granted scope", READ, answer["scope"])
    stage.tokens[READ] = answer["access_token"]


def discover(stage: Stage) -> None:
    """What every client asks first, in both eras, with the baseline scope."""
    token = stage.token(READ)
    discovered = result_of(stage.post(messages.request(2, "server/discover"), token=token))
    expect_in("supported versions", messages.PROTOCOL_VERSION, str(discovered.get("supportedVersions")))
    listed = result_of(stage.post(messages.request(3, "tools/list"), token=token))
    expect("tools", ["get_forecast", "purge", "set_alert"], sorted(tool["name"] for tool in listed.get("tools", [])))
    opened = result_of(stage.post(messages.initialize(4), token=token))
    expect("protocol version", messages.LEGACY_VERSION, opened.get("protocolVersion"))


def allowed(stage: Stage) -> None:
    """A call that the scope covers; the server sees who it is, and not the token."""
    stage.trace_id = secrets.token_hex(16)
    response = stage.post(
        messages.tool_call(5, "get_forecast", city="Oslo"),
        token=stage.token(READ),
        traceparent=f"00-{stage.trace_id}-{secrets.token_hex(8)}-01",
        **{"x-auth-subject": "somebody-else"},
    )
    caller = result_of(response)["structuredContent"]["caller"]
    headers = caller["headers"]
    user = stage.system.issuer.realm.user(PERSON)
    expect("x-auth-subject", user.id if user else "", headers.get("x-auth-subject"))
    expect("x-auth-organization", "acme", headers.get("x-auth-organization"))
    expect("x-auth-scopes", READ, headers.get("x-auth-scopes"))
    expect("the token reaches the server", False, caller["token_arrived"])  # noqa: FBT003 - the value expected


def step_up(stage: Stage) -> None:
    """403 that says which scopes would do; with those, the same call goes through."""
    call = messages.tool_call(6, "set_alert", city="Oslo", below_celsius=-10)
    response = stage.post(call, token=stage.token(READ))
    expect("status", 403, response.status_code)
    challenge = response.headers.get("www-authenticate", "")
    expect_in("a challenge", 'error="insufficient_scope"', challenge)
    expect_in("a challenge", f'scope="{WRITE}"', challenge)
    expect_in("a challenge", f'resource_metadata="{metadata_url(stage.challenge)}"', challenge)
    if stage.client is None:
        raise OtherwiseError("a registered client from an earlier step", "that step did not get one")
    union = challenge_scopes(challenge) | {READ}
    stage.narrator.sent(f"sign-in again at {stage.client.authorization_endpoint}", f"scope={' '.join(sorted(union))}")
    answer = sign_in(stage.http, stage.client, user=PERSON, resource=stage.resource, scopes=union)
    stage.narrator.answered(f"a token with scope {answer['scope']}", good=True)
    stage.tokens[WRITE] = answer["access_token"]
    set_up = result_of(stage.post(call, token=stage.token(WRITE)))
    expect("the alert's city", "Oslo", set_up["structuredContent"]["city"])


def denied(stage: Stage) -> None:
    """What no token may do, and what the condition forbids: 403 without a challenge."""
    for call in (
        messages.tool_call(7, "purge"),
        messages.tool_call(8, "set_alert", city="Atlantis", below_celsius=4),
    ):
        response = stage.post(call, token=stage.token(WRITE))
        expect("status", 403, response.status_code)
        expect("www-authenticate", None, response.headers.get("www-authenticate"))


def other_audience(stage: Stage) -> None:
    """A token of the same issuer, person and scopes, for another server."""
    other = stage.system.issuer.token("alice", resource=f"{stage.system.url}/other/mcp", scopes=[READ]).access_token
    response = stage.post(messages.tool_call(9, "get_forecast", city="Oslo"), token=other)
    expect("status", 401, response.status_code)
    expect_in("a challenge", 'error="invalid_token"', response.headers.get("www-authenticate", ""))


def batch(stage: Stage) -> None:
    """Two calls in one body."""
    both = messages.batch(messages.tool_call(10, "get_forecast", city="Oslo"), messages.tool_call(11, "purge"))
    response = stage.post(both, token=stage.token(WRITE))
    expect("status", 400, response.status_code)
    expect_in("an error", "batch", response.text)


def look_alike(stage: Stage) -> None:
    """A second name that some servers would take for the first."""
    call = messages.with_look_alike(messages.tool_call(12, "get_forecast", city="Oslo"), key="Name", value="purge")
    response = stage.post(call, token=stage.token(WRITE))
    expect("status", 400, response.status_code)


def trace(stage: Stage) -> None:
    """One decision as OpenTelemetry sees it: Envoy's span, and ours below."""
    if not stage.trace_id:
        raise OtherwiseError("a traced call from an earlier step", "that step did not come so far")
    receiver = stage.system.traces
    spans = receiver.wait_for(
        lambda seen: CHECK_SPAN in {span.name for span in seen} and "envoy" in {span.service for span in seen},
        trace_id=stage.trace_id,
    )
    stage.narrator.trace(receiver.tree(stage.trace_id))
    checks = [span for span in spans if span.name == CHECK_SPAN]
    expect(f"spans called {CHECK_SPAN}", 1, len(checks))
    parents = {span.span_id: span for span in spans}
    parent = parents.get(checks[0].parent_id)
    expect("the service of its parent span", "envoy", parent.service if parent else "no parent")
    expect("extauthz.decision.outcome", "allow", checks[0].attributes.get("extauthz.decision.outcome"))
    expect("gen_ai.tool.name", "get_forecast", checks[0].attributes.get("gen_ai.tool.name"))


STEPS: Final = (
    Step(
        title="No token",
        why="A client that has never been here calls a tool. The answer tells it where to learn how to get a token "
        "(RFC 9728) and which scope to ask for. No error is named, since nothing was sent that could be wrong.",
        run=no_token,
    ),
    Step(
        title="The resource's metadata",
        why="Envoy answers this itself from the rendered configuration; nobody needs a token to read it, and neither "
        "the service nor the MCP server is asked.",
        run=resource_metadata,
    ),
    Step(
        title="A token for this server and no other",
        why="The client registers, sends the person to the issuer, and names the server in `resource` (RFC 8707): that "
        "becomes the token's audience.",
        run=first_token,
    ),
    Step(
        title="Hello",
        why="Discovery, lists and the initialize of older clients need the baseline scope only, so that no client is "
        "sent for consent before it knows what there is.",
        run=discover,
    ),
    Step(
        title="An allowed call",
        why="The server has no auth code: it learns who is calling from headers that only the check can set. The one "
        "that the client tried to smuggle in is gone, and so is the token.",
        run=allowed,
    ),
    Step(
        title="A call that needs more",
        why="403 with every scope that this call needs; the client asks for them beside those it has, and tries again. "
        "weather:write includes weather:read (`includes`), so one token does for both.",
        run=step_up,
    ),
    Step(
        title="Calls that no token helps",
        why="A deny rule, and a condition that does not hold. There is no challenge: nobody is sent through a consent "
        "that cannot help.",
        run=denied,
    ),
    Step(
        title="A token for another server",
        why="Same issuer, same person, same scopes, but another audience: a server that takes such tokens can be "
        "robbed by any other server that its users visit.",
        run=other_audience,
    ),
    Step(
        title="A batch",
        why="Two messages in one body could carry a forbidden one past the check of the first. No current revision of "
        "MCP has batches.",
        run=batch,
    ),
    Step(
        title="A look-alike key",
        why="Servers whose JSON reader ignores case would take the last of `name` and `Name`, and run another tool "
        "than was checked.",
        run=look_alike,
    ),
    Step(
        title="The trace of one decision",
        why="The allowed call of step 5, as any OpenTelemetry backend would show it.",
        run=trace,
    ),
)
