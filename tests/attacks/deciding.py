"""The check procedure as a target: requests of the corpus as Envoy would hand them over, unnormalised."""

from collections.abc import Mapping
from typing import Final

from extauthz.adapters.cel.condition import CelCondition, compile_condition
from extauthz.attack.compose import RawRequest
from extauthz.attack.target import Target, Values
from extauthz.pdp.policy import Effect, Rule
from extauthz.pdp.revocation.revocation import Revocation, RevokedBy
from extauthz.wire import check_pb2 as wire
from tests.support import tokens
from tests.support.policies import policy, rule
from tests.support.world import RULES, World, mint, weather

ORIGIN: Final = "https://app.example.com"
TARGET: Final = Target.of("https://mcp.example.com/weather/mcp")
SESSION: Final = "11112222333344445555666677778888"

FORBIDDEN_URI: Final = "docs://vault/2026/secret_plan-v1~draft"
_URI_METHODS: Final = ("resources/*", "completion/complete", "subscriptions/listen")
RULES_WITHOUT_DENIAL: Final = (*RULES, rule(_URI_METHODS, ["weather:read"], uris=["docs://*"]))


def _when(text: str) -> CelCondition:
    condition = compile_condition(text)
    assert isinstance(condition, CelCondition)
    return condition


_RULES: Final = (
    *RULES_WITHOUT_DENIAL,
    rule(["tools/call"], ["weather:read"], tools=["transfer"]),
    rule(["tools/call"], effect=Effect.DENY, tools=["transfer"], when=_when("args.disk == 666 || args.mask == true")),
    rule(["tools/call"], effect=Effect.DENY, tools=["purge"]),
    rule(_URI_METHODS, effect=Effect.DENY, uris=[FORBIDDEN_URI]),
)

_REVOKED: Final = "7f1d4c2a-revoked"
"""The `jti` of the token that was taken back."""


def world(rules: tuple[Rule, ...] = _RULES) -> World:
    """A procedure with a policy that permits `get_*` and `docs://*`, and refuses `purge` and one of these resources.

    One token was taken back.
    """
    found = World(policy=policy(weather(rules=rules, origins=frozenset({ORIGIN}))))
    item = Revocation(
        id="revocation-1",
        by=RevokedBy.JTI,
        value=_REVOKED,
        issuer=tokens.ISSUER,
        until=tokens.NOW + 86_400,
        source="admin",
    )
    assert found.shared_state.revocations.add([item], found.now)
    return found


def values() -> Values:
    """The values of a run against `world()`."""
    return Values(
        tool="get_forecast",
        arguments='{"city": "Rome"}',
        forbidden="purge",
        guarded="transfer",
        guarded_permitted='{"disk": 1, "mask": false}',
        guarded_refused='{"disk": 666, "mask": true}',
        forbidden_uri=FORBIDDEN_URI,
        token=mint(),
        tokens=_tokens(),
        origin=ORIGIN,
    )


def _tokens() -> Mapping[str, str]:
    return {
        "expired": mint(exp=tokens.NOW - 3600, nbf=tokens.NOW - 7200, iat=tokens.NOW - 7200),
        "not-yet-valid": mint(nbf=tokens.NOW + 3600),
        "other-audience": mint(aud=["https://other.example.com/mcp"]),
        "other-issuer": mint(iss="https://attacker.invalid"),
        "other-organization": mint(owner="globex"),
        "foreign-key": tokens.mint({"scope": "weather:read"}, key=tokens.SIGNING_KEYS["attacker"], kid="cert-rs256"),
        "id-token": mint(tokenType="id-token"),
        "refresh-token": mint(tokenType="refresh-token"),
        "without-audience": mint(aud=tokens.ABSENT),
        "without-expiry": mint(exp=tokens.ABSENT),
        "without-subject": mint(sub=tokens.ABSENT),
        "without-scope": mint(scope=""),
        "revoked": mint(jti=_REVOKED),
        "other-user": mint(sub="b0000000-0000-4000-8000-000000000000", name="bob"),
    }


def check_request(request: RawRequest) -> bytes:
    """The `CheckRequest` with `encode_raw_headers` and `pack_as_bytes`, as the rendered configuration has them."""
    message = wire.CheckRequest()
    http = message.attributes.request.http
    http.method, http.path, http.scheme = request.method, request.target, "https"
    http.raw_body, http.size = request.body, len(request.body)
    for name, value in request.headers:
        if name.lower() == "host":
            http.host = value
        else:
            http.header_map.headers.add(key=name.lower(), raw_value=value.strip(" \t").encode("latin-1"))
    return message.SerializeToString()
