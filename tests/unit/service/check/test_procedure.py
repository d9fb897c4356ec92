"""Every reason, the order of the steps, and what each answer looks like to the proxy."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from extauthz.pdp.policy import ChallengeScopes, DenialForm, Effect, Introspection, UpstreamHeaders
from extauthz.pdp.reason import ANSWERS, Reason
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.call import Call
from extauthz.service.needs import (
    Answer,
    Introspected,
    KeysUnavailable,
    Need,
    NeedBinding,
    NeedIntrospection,
    NeedKeys,
    NeedStored,
)
from tests.support import tokens
from tests.support.checks import Seen, call_tool, check_request, message, seen
from tests.support.policies import policy, resource, rule
from tests.support.world import CASDOOR, RULES, World, key_set, kinds, mint, weather

METADATA_URL = "https://mcp.example.com/.well-known/oauth-protected-resource/weather/mcp"
APP = "https://app.example.com"


def world(**more: object) -> World:
    rules = (*RULES, rule(["tools/call"], tools=["purge"], effect=Effect.DENY))
    return World(policy=policy(weather(rules=rules, origins=frozenset({APP}), **more)))


def ask(data: bytes, where: World | None = None) -> Seen:
    return (where or world()).ask(data)


def good(**more: object) -> bytes:
    return check_request(token=mint(), **more)  # type: ignore[arg-type]


TOO_SOON = {"nbf": tokens.NOW + 300, "iat": tokens.NOW + 300, "exp": tokens.NOW + 900}
CASES: dict[Reason, Callable[[], bytes]] = {
    Reason.ALLOWED: good,
    Reason.RESOURCE_UNKNOWN: lambda: good(path="/nowhere"),
    Reason.ORIGIN_REFUSED: lambda: good(headers={"origin": "https://evil.example"}),
    Reason.HTTP_METHOD_REFUSED: lambda: good(method="PUT", body=b""),
    Reason.TOKEN_MISSING: check_request,
    Reason.CREDENTIALS_MALFORMED: lambda: good(path="/weather/mcp?access_token=x"),
    Reason.TOKEN_MALFORMED: lambda: check_request(token="a.b"),
    Reason.TOKEN_ALGORITHM: lambda: check_request(token=tokens.mint(header={"alg": "HS256"})),
    Reason.TOKEN_TYPE: lambda: check_request(token=mint(tokenType="refresh-token")),
    Reason.TOKEN_KEY_UNKNOWN: lambda: check_request(token=tokens.mint(kid="nobody")),
    Reason.TOKEN_SIGNATURE: lambda: check_request(
        token=tokens.mint(key=tokens.SIGNING_KEYS["attacker"], kid="cert-rs256")
    ),
    Reason.TOKEN_EXPIRED: lambda: check_request(
        token=mint(exp=tokens.NOW - 31, iat=tokens.NOW - 900, nbf=tokens.ABSENT)
    ),
    Reason.TOKEN_NOT_YET_VALID: lambda: check_request(token=mint(**TOO_SOON)),
    Reason.TOKEN_ISSUER: lambda: check_request(token=mint(iss="https://evil.example")),
    Reason.TOKEN_ORGANIZATION: lambda: check_request(token=mint(owner="rival")),
    Reason.TOKEN_AUDIENCE: lambda: check_request(token=mint(aud=["https://other.example/mcp"])),
    Reason.TOKEN_SUBJECT: lambda: check_request(token=mint(sub="a\nb")),
    Reason.BODY_MISSING: lambda: good(body=b""),
    Reason.BODY_TRUNCATED: lambda: good(headers={"x-envoy-auth-partial-body": "true"}),
    Reason.BODY_ENCODING: lambda: good(headers={"content-encoding": "gzip"}),
    Reason.BODY_NOT_JSON: lambda: good(body=b"{"),
    Reason.MESSAGE_INVALID: lambda: good(body=b'{"jsonrpc":"1.0","id":1,"method":"ping"}'),
    Reason.BATCH_REFUSED: lambda: good(body=b"[" + message() + b"]"),
    Reason.KEY_AMBIGUOUS: lambda: good(
        body=b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_x","Name":"purge"}}'
    ),
    Reason.HEADER_MISMATCH: lambda: good(headers={"mcp-method": "tools/list"}),
    Reason.METHOD_UNKNOWN: lambda: good(body=message("acme/thing", {})),
    Reason.OPERATION_UNCOVERED: lambda: good(body=call_tool("other")),
    Reason.POLICY_DENIED: lambda: good(body=call_tool("purge")),
    Reason.SCOPE_INSUFFICIENT: lambda: good(body=call_tool("set_alert")),
}
ELSEWHERE = {
    # an answered preflight, and reasons that need more than one request or a failing part: tests of their own below
    Reason.PREFLIGHT,
    Reason.SESSION_UNKNOWN,
    Reason.TOKEN_REVOKED,
    Reason.KEYS_UNAVAILABLE,
    Reason.INTROSPECTION_UNAVAILABLE,
    Reason.REVOCATIONS_UNAVAILABLE,
    Reason.DEADLINE_EXCEEDED,
    Reason.INTERNAL_ERROR,
}


def test_every_reason_is_covered_here() -> None:
    assert set(Reason) == set(CASES) | ELSEWHERE


@pytest.mark.parametrize("reason", CASES, ids=list(CASES))
def test_reason(reason: Reason) -> None:
    answer = ask(CASES[reason]())
    assert reason == answer.reason
    if reason is Reason.ALLOWED:
        assert answer.allowed
    else:
        expected = ANSWERS[reason]
        assert not answer.allowed
        # 404 would end the client's session in the initialize-based eras: tests/unit/pdp/answer/test_verdict.py.
        status = 400 if reason is Reason.METHOD_UNKNOWN else expected.status
        assert (answer.status, answer.body["error"]["code"]) == (status, expected.code)
        assert answer.body["error"]["data"] == {"decision": answer.headers["x-extauthz-decision"], "reason": reason}
        assert (answer.challenge is not None) == (
            expected.challenge is not None and reason is not Reason.RESOURCE_UNKNOWN
        )
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-extauthz-decision"] == answer.metadata["decision_id"]


# Each row breaks the step of its reason and everything after it, so that the order of the steps shows.
BROKEN = {
    "path": "/nowhere",
    "headers": {"origin": "https://evil.example", "mcp-method": "wrong"},
    "method": "PUT",
    "token": "a.b",
    "body": b"[",
}
ORDER = [
    (Reason.RESOURCE_UNKNOWN, {}),
    (Reason.ORIGIN_REFUSED, {"path": "/weather/mcp"}),
    (Reason.HTTP_METHOD_REFUSED, {"headers": {"mcp-method": "wrong"}}),
    (Reason.TOKEN_MALFORMED, {"method": "POST"}),
    (Reason.BODY_NOT_JSON, {"token": mint("")}),
    (Reason.HEADER_MISMATCH, {"body": call_tool("set_alert")}),
    (Reason.SCOPE_INSUFFICIENT, {"headers": {}}),
]


@pytest.mark.parametrize("mended", range(len(ORDER)))
def test_the_first_broken_step_is_the_one_that_is_told(mended: int) -> None:
    request = dict(BROKEN)
    for _, hint in ORDER[: mended + 1]:
        request |= hint
    assert ask(check_request(**request)).reason == ORDER[mended][0]  # type: ignore[arg-type]


def test_a_caller_without_a_valid_token_learns_nothing_about_its_body() -> None:
    for body in (b"[", b"[]", message(request_id=7), b""):
        answer = ask(check_request(body))
        assert (answer.status, answer.body["id"]) == (401, None)
        assert "method" not in answer.metadata


def test_the_request_id_is_echoed_to_a_caller_with_a_valid_token() -> None:
    assert ask(good(body=message(params={"name": "purge"}, request_id="r-7"))).body["id"] == "r-7"


def test_allowed_requests_carry_the_verified_identity_and_not_the_token() -> None:
    forged = {"x-auth-subject": "root", "x-auth-admin": "1", "x_auth_subject": "root", "x-other": "kept"}
    answer = ask(good(headers=forged))
    assert answer.headers == {
        "x-auth-subject": tokens.SUBJECT,
        "x-auth-issuer": tokens.ISSUER,
        "x-auth-organization": "acme",
        "x-auth-client-id": tokens.CLIENT,
        "x-auth-scopes": "weather:read",
        "x-auth-decision": "id1",
    }
    assert answer.removed == {"authorization", "x-auth-admin", "x_auth_subject"}


def test_prefix_and_token_forwarding_are_the_resources_choice() -> None:
    answer = ask(good(headers={"id-x": "1"}), world(upstream_headers=UpstreamHeaders(prefix="id-", forward_token=True)))
    assert answer.headers["id-subject"] == tokens.SUBJECT
    assert answer.removed == {"id-x"}


def test_metadata_names_no_person() -> None:
    metadata = ask(good()).metadata
    assert metadata == {
        "decision_id": "id1",
        "reason": "allowed",
        "resource": "weather",
        "method": "tools/call",
        "target": "get_forecast",
        "subject_hash": metadata["subject_hash"],
        "client_id": tokens.CLIENT,
        "organization": "acme",
        "cache": "none",
    }
    assert len(metadata["subject_hash"]) == 16


@pytest.mark.parametrize(
    ("data", "challenge"),
    [
        (check_request(), f'Bearer scope="weather:read", resource_metadata="{METADATA_URL}"'),
        (
            CASES[Reason.TOKEN_AUDIENCE](),
            (
                f'Bearer error="invalid_token", scope="weather:read", resource_metadata="{METADATA_URL}", '
                'error_description="the access token was not issued for this server"'
            ),
        ),
        (
            CASES[Reason.SCOPE_INSUFFICIENT](),
            (
                f'Bearer error="insufficient_scope", scope="weather:write", resource_metadata="{METADATA_URL}", '
                'error_description="this operation needs more scopes"'
            ),
        ),
    ],
    ids=["no token", "a token of another server", "too few scopes"],
)
def test_challenge(data: bytes, challenge: str) -> None:
    assert ask(data).challenge == challenge
    assert ask(data).challenge == challenge


def test_step_up_can_keep_what_was_granted() -> None:
    where = world(challenge_scopes=ChallengeScopes.REQUIRED_AND_GRANTED)
    assert 'scope="weather:write weather:read"' in str(ask(CASES[Reason.SCOPE_INSUFFICIENT](), where).challenge)


def test_a_denial_can_be_a_jsonrpc_error_for_clients_that_break_on_403() -> None:
    where = world(denial=DenialForm.JSONRPC)
    answer = ask(good(body=call_tool("purge")), where)
    assert (answer.status, answer.allowed, answer.body["error"]["code"]) == (200, False, -40300)
    assert ask(check_request(), where).status == 401
    notification = message("notifications/cancelled", {"requestId": 1}, request_id=None)
    assert ask(check_request(notification, token=mint("other")), where).status == 403


def test_a_preflight_of_an_allowed_origin_is_answered_and_never_forwarded() -> None:
    asked = {
        "origin": APP,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, mcp-param-city, x-evil, Mcp-Param-b",
    }
    answer = ask(check_request(method="OPTIONS", headers=asked))
    assert (answer.status, answer.allowed, answer.reason) == (204, False, "preflight")
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["access-control-allow-headers"] == (
        "authorization, content-type, accept, last-event-id, mcp-session-id, mcp-protocol-version, mcp-method, "
        "mcp-name, mcp-param-city, mcp-param-b"
    )


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        ("," * 99 + "mcp-param-last", 1),
        ("," * 100 + "mcp-param-last", 0),
        (" " * 4_000 + "mcp-param-last", 1),
        (" " * 4_096 + "mcp-param-last", 0),
        (",".join(f"mcp-param-{number}" for number in range(500)), 32),
    ],
)
def test_a_preflight_is_answered_for_a_bounded_list_of_names(asked: str, allowed: int) -> None:
    headers = {"origin": APP, "access-control-request-method": "POST", "access-control-request-headers": asked}
    answer = ask(check_request(method="OPTIONS", headers=headers))
    assert (answer.status, answer.reason) == (204, "preflight")
    assert answer.headers["access-control-allow-headers"].count("mcp-param-") == allowed


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example", "access-control-request-method": "POST"}, 403),
        ({"origin": "null", "access-control-request-method": "POST"}, 403),
        ({"origin": APP}, 405),
        ({}, 405),
    ],
)
def test_any_other_options_request_is_refused(headers: dict[str, str], status: int) -> None:
    assert ask(check_request(method="OPTIONS", headers=headers)).status == status


def test_denials_to_an_allowed_origin_can_be_read_by_its_page() -> None:
    answer = ask(check_request(headers={"origin": APP}))
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["access-control-expose-headers"] == "WWW-Authenticate, Mcp-Session-Id, x-extauthz-decision"
    assert "access-control-allow-origin" not in ask(check_request()).headers


def test_405_says_what_is_allowed() -> None:
    assert ask(CASES[Reason.HTTP_METHOD_REFUSED]()).headers["allow"] == "GET, POST, DELETE"


def test_an_upgrade_is_refused_whatever_the_method() -> None:
    answer = ask(good(method="GET", headers={"upgrade": "websocket", "connection": "upgrade"}))
    assert answer.reason == Reason.HTTP_METHOD_REFUSED


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_streams_and_ends_of_sessions_need_the_baseline(method: str) -> None:
    assert ask(good(method=method)).allowed
    assert ask(check_request(method=method)).status == 401
    assert ask(check_request(method=method, token=mint("other"))).reason == Reason.SCOPE_INSUFFICIENT


# What the procedure needs, and what it does with what it gets.


def test_with_everything_at_hand_nothing_is_needed() -> None:
    where = world()
    where.ask(good())
    assert where.needs == []


def test_without_keys_they_are_asked_for_and_without_an_answer_it_is_503_with_retry_after() -> None:
    where = replace(world(), keys=None)
    answer = ask(good(), where)
    assert kinds(where.needs) == ["NeedKeys"]
    assert (answer.reason, answer.status, answer.headers["retry-after"]) == (Reason.KEYS_UNAVAILABLE, 503, "5")
    assert answer.challenge is None


def test_keys_that_arrive_are_used() -> None:
    where = replace(world(), keys=None, answer=lambda _: key_set())
    assert ask(good(), where).allowed


@pytest.mark.parametrize("reason", [Reason.TOKEN_KEY_UNKNOWN, Reason.TOKEN_SIGNATURE])
def test_an_unknown_key_and_a_bad_signature_lead_to_one_look_for_newer_keys(reason: Reason) -> None:
    where = world()
    where.now += 60
    where.answer = lambda _: key_set()
    assert ask(CASES[reason](), where).reason == reason
    assert kinds(where.needs) == ["NeedKeys"]


def test_a_key_that_came_in_place_under_the_same_kid_is_found() -> None:
    """casdoor.md §3.2: a certificate regenerated in place keeps its name."""
    old = tokens.key_set_document([], extra=[tokens.SIGNING_KEYS["attacker"].jwk(kid="cert-rs256")])
    where = World(policy=policy(weather()), keys=key_set(old))
    where.now += 60
    where.answer = lambda _: key_set()
    assert ask(good(), where).allowed


def test_too_late_is_told_as_such_even_when_the_keys_arrived() -> None:
    where = replace(world(), keys=None, answer=lambda _: key_set())
    checked = where.check(good(), deadline=where.now + 1, takes_s=2)
    assert checked.reason is Reason.DEADLINE_EXCEEDED


@pytest.mark.parametrize("left_s", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("slow", ["NeedKeys", "NeedIntrospection", "NeedStored", "NeedBinding"])
def test_no_request_is_forwarded_after_its_deadline_whatever_took_so_long(slow: str, left_s: float) -> None:
    """The last thing that a check waits for is the session's binding, when everything else has been decided."""
    where = replace(world(issuers=(INTROSPECTED,)), keys=None, signer=Signer([b"0" * 32]))
    seen_kinds: set[str] = set()

    def answer(need: Need) -> Answer:
        if type(need).__name__ == slow and slow not in seen_kinds:
            where.now += 1
        seen_kinds.add(type(need).__name__)
        match need:
            case NeedKeys():
                return key_set()
            case NeedIntrospection():
                return Introspected.ACTIVE
            case NeedBinding():
                return need.value
            case _:
                return None

    where.answer = answer
    checked = where.check(in_session("s1", mint()), deadline=where.now + left_s)
    assert slow in kinds(where.needs)
    assert checked.reason is (Reason.ALLOWED if left_s > 1 else Reason.DEADLINE_EXCEEDED)
    assert seen(checked.response).status == (0 if left_s > 1 else 503)


def test_a_token_that_expires_while_the_check_waits_is_expired() -> None:
    where = replace(world(), keys=None, answer=lambda _: key_set())
    late = check_request(token=mint(exp=tokens.NOW + 5))
    assert where.check(late, takes_s=60).reason is Reason.TOKEN_EXPIRED


INTROSPECTED = replace(CASDOOR, introspection=Introspection(client_id="gw", client_secret="s"))


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        (Introspected.ACTIVE, Reason.ALLOWED),
        (Introspected.INACTIVE, Reason.TOKEN_REVOKED),
        (Introspected.UNAVAILABLE, Reason.INTROSPECTION_UNAVAILABLE),
        (None, Reason.INTROSPECTION_UNAVAILABLE),
    ],
)
def test_introspection_has_the_last_word(word: Introspected | None, reason: Reason) -> None:
    where = World(policy=policy(weather(issuers=(INTROSPECTED,))), answer=lambda _: word)
    assert ask(good(), where).reason == reason
    assert kinds(where.needs) == ["NeedIntrospection"]


def test_introspection_is_not_asked_about_tokens_that_fail_by_themselves() -> None:
    where = World(policy=policy(weather(issuers=(INTROSPECTED,))))
    ask(CASES[Reason.TOKEN_AUDIENCE](), where)
    ask(CASES[Reason.TOKEN_SIGNATURE](), where)
    assert "NeedIntrospection" not in kinds(where.needs)


def test_an_active_token_is_not_asked_about_again_within_the_ceiling() -> None:
    where = World(policy=policy(weather(issuers=(INTROSPECTED,))), answer=lambda _: Introspected.ACTIVE)
    for later, asked in ((0, 1), (59, 1), (61, 2)):
        where.now = tokens.NOW + later
        assert ask(good(), where).allowed
        assert len(where.needs) == asked


def test_bytes_that_are_no_check_request_are_refused() -> None:
    answer = ask(b"\xff\xff")
    assert (answer.reason, answer.status) == (Reason.INTERNAL_ERROR, 503)


# Memory.


def test_a_decision_that_was_made_is_remembered() -> None:
    where = world()
    assert [ask(good(), where).metadata["cache"] for _ in range(3)] == ["none", "memory", "memory"]


def test_memory_ends_with_the_token() -> None:
    where = world()
    token = check_request(token=mint(exp=tokens.NOW + 10))
    assert ask(token, where).allowed
    where.now += 10 + 31
    assert ask(token, where).reason == Reason.TOKEN_EXPIRED


def test_a_token_remembered_for_one_resource_is_judged_anew_for_another() -> None:
    """CVE-2021-32701: a cached authentication must not skip what the second endpoint requires."""
    other = resource(name="other", uri="https://mcp.example.com/other", rules=RULES, issuers=(CASDOOR,), includes=None)
    where = World(policy=policy(weather(), other))
    assert ask(good(), where).allowed
    assert ask(good(path="/other"), where).reason == Reason.TOKEN_AUDIENCE


def test_a_remembered_token_is_still_checked_for_scope() -> None:
    where = world()
    assert ask(good(), where).allowed
    assert ask(good(body=call_tool("set_alert")), where).reason == Reason.SCOPE_INSUFFICIENT


def test_two_tokens_that_begin_alike_are_two_tokens() -> None:
    """CVE-2026-35030: a key over the first characters of a JWT is a key over its header."""
    where = world()
    assert ask(good(), where).allowed
    other = ask(check_request(token=mint("")), where)
    assert other.reason == Reason.SCOPE_INSUFFICIENT


def test_a_withdrawn_key_works_no_longer_than_the_ceiling() -> None:
    where = world()
    assert ask(good(), where).allowed
    withdrawn = tokens.key_set_document([tokens.SIGNING_KEYS["ES256"]])
    where.shared_state.ring.adopt(CASDOOR, key_set(withdrawn), where.now)
    where.now += 59
    assert ask(good(), where).allowed
    where.now += 2
    where.answer = lambda _: key_set(withdrawn)
    assert ask(good(), where).reason == Reason.TOKEN_KEY_UNKNOWN


# Sessions.


def in_session(session: str, token: str, **more: object) -> bytes:
    return check_request(token=token, headers={"mcp-session-id": session}, **more)  # type: ignore[arg-type]


def test_a_session_belongs_to_the_first_principal_seen_with_it() -> None:
    where = world()
    assert ask(in_session("s1", mint()), where).allowed
    assert ask(in_session("s1", mint()), where).allowed
    stolen = ask(in_session("s1", mint(sub="mallory")), where)
    assert (stolen.reason, stolen.status, stolen.body["error"]["code"]) == (Reason.SESSION_UNKNOWN, 404, -32601)
    assert ask(in_session("s2", mint(sub="mallory")), where).allowed


def test_another_client_of_the_same_subject_is_another_principal() -> None:
    where = world()
    assert ask(in_session("s1", mint()), where).allowed
    assert ask(in_session("s1", mint(azp="client-other")), where).reason == Reason.SESSION_UNKNOWN


def test_binding_can_be_switched_off() -> None:
    where = world(session_binding=False)
    assert ask(in_session("s1", mint()), where).allowed
    assert ask(in_session("s1", mint(sub="mallory")), where).allowed


# The shared store.

SECRET = b"0" * 32


def fleet() -> World:
    return replace(world(), signer=Signer([SECRET]))


def test_what_one_process_found_is_a_hit_in_another_that_has_no_keys() -> None:
    one = fleet()
    assert ask(good(), one).allowed
    other = one.sibling(keys=None)
    answer = ask(good(), other)
    assert (answer.allowed, answer.metadata["cache"]) == (True, "redis")
    assert asked(other) == ["token", "decision"]


def asked(where: World) -> list[str]:
    """The kinds of entries that the store was asked for."""
    return [need.key.partition(":")[0] for need in where.needs if isinstance(need, NeedStored)]


def test_a_token_entry_counts_only_for_its_token_and_says_nothing_of_operations() -> None:
    one = fleet()
    ask(good(), one)
    other = one.sibling(keys=None)
    assert ask(check_request(token=mint("weather:write")), other).reason == Reason.KEYS_UNAVAILABLE
    assert ask(good(body=call_tool("get_other")), other).allowed
    assert ask(good(body=call_tool("set_alert")), other).reason == Reason.SCOPE_INSUFFICIENT
    assert ask(good(body=call_tool("purge")), other).reason == Reason.POLICY_DENIED


def without(where: World, kind: str) -> None:
    """All entries of this kind go from the store."""
    for key in [key for key in where.store if key.startswith(f"{kind}:")]:
        del where.store[key]


def test_a_decision_entry_says_nothing_of_the_token() -> None:
    one = fleet()
    ask(good(), one)
    without(one, "token")
    other = one.sibling(keys=None)
    assert ask(good(), other).reason == Reason.KEYS_UNAVAILABLE
    assert asked(other) == ["token"]


@pytest.mark.parametrize(
    "change",
    [
        {"body": call_tool("get_other")},
        {"method": "GET"},
        {"token": mint("weather:write")},
    ],
)
def test_a_decision_entry_counts_only_for_what_it_was_made_for(change: dict[str, object]) -> None:
    one = fleet()
    ask(good(), one)
    without(one, "token")
    other = one.sibling()
    assert ask(check_request(**{"token": mint(), **change}), other).metadata["cache"] == "none"  # type: ignore[arg-type]
    assert asked(other) == ["token", "decision"]


def test_an_entry_of_another_policy_is_not_found() -> None:
    one = fleet()
    ask(good(), one)
    other = one.sibling(keys=None, policy=replace(one.policy, revision="fedcba9876543210"))
    assert ask(good(), other).reason == Reason.KEYS_UNAVAILABLE


def test_an_entry_never_overrules_the_claims() -> None:
    one = fleet()
    token = check_request(token=mint(exp=tokens.NOW + 10))
    ask(token, one)
    other = one.sibling(keys=None, now=one.now + 45)
    assert not ask(token, other).allowed


def hostile(entry: bytes, other: bytes) -> list[bytes]:
    return [
        b"",
        b"\x00",
        entry[:-1],
        entry + b"\x00",
        entry[:-40] + bytes([entry[-40] ^ 1]) + entry[-39:],
        other,
        b'[2,"allow",0,9999999999]',
        entry.replace(b'"valid"', b'"allow"').replace(b",0,", b",1,"),
    ]


def entry_of(where: World, kind: str) -> tuple[str, bytes]:
    ((key, entry),) = ((key, entry) for key, entry in where.store.items() if key.startswith(f"{kind}:"))
    return key, entry


FORGED = {"token": b'[2,"valid",9999999999]', "decision": b'[2,"allow",0,9999999999]'}


@pytest.mark.parametrize("index", range(8))
@pytest.mark.parametrize("kind", ["token", "decision"])
def test_a_hostile_entry_is_a_miss(kind: str, index: int) -> None:
    one = fleet()
    ask(good(), one)
    key, entry = entry_of(one, kind)
    foreign = Signer([b"1" * 32]).sign(kind, key, FORGED[kind], 9999999999)
    one.store[key] = hostile(entry, foreign)[index]
    assert one.store[key] != entry
    missed(kind, one)


def missed(kind: str, one: World) -> None:
    """Another process goes by no entry of this kind: one without keys finds no token, one with keys decides itself."""
    if kind == "token":
        assert ask(good(), one.sibling(keys=None)).reason == Reason.KEYS_UNAVAILABLE
    else:
        without(one, "token")
        assert ask(good(), one.sibling()).metadata["cache"] == "none"


@pytest.mark.parametrize("kind", ["token", "decision"])
def test_an_entry_moved_to_another_key_is_a_miss(kind: str) -> None:
    one = fleet()
    ask(good(), one)
    key, _ = entry_of(one, kind)
    second = one.sibling(store={})
    ask(check_request(token=mint(jti="second")), second)
    _, other_entry = entry_of(second, kind)
    one.store[key] = other_entry
    missed(kind, one)


@pytest.mark.parametrize(("kind", "other_kind"), [("token", "decision"), ("decision", "token"), ("token", "binding")])
def test_an_entry_of_one_kind_is_never_one_of_another(kind: str, other_kind: str) -> None:
    """Neither moved, nor written under the right key with what the right kind would say."""
    one = fleet()
    ask(in_session("s1", mint()), one)
    key, _ = entry_of(one, kind)
    _, other_entry = entry_of(one, other_kind)
    signer = Signer([SECRET])
    for entry in (other_entry, signer.sign(other_kind, key, FORGED[kind], 9999999999)):
        one.store[key] = entry
        missed(kind, replace(one, store=dict(one.store)))
    # Such an entry under its own kind is what would have done.
    one.store[key] = signer.sign(kind, key, FORGED[kind], 9999999999)
    if kind == "decision":
        without(one, "token")
    assert ask(good(), one.sibling(keys=None if kind == "token" else one.keys)).metadata["cache"] == "redis"


def test_the_store_is_not_asked_about_a_token_of_an_invented_key() -> None:
    one = fleet()
    assert ask(CASES[Reason.TOKEN_KEY_UNKNOWN](), one).reason == Reason.TOKEN_KEY_UNKNOWN
    assert "NeedStored" not in kinds(one.needs)


def test_a_denial_stays_a_denial_in_another_process() -> None:
    """A cached denial must never be read as an allow."""
    one = fleet()
    ask(good(body=call_tool("purge")), one)
    other = one.sibling(keys=None)
    answer = ask(good(body=call_tool("purge")), other)
    assert (answer.reason, answer.metadata["cache"]) == (Reason.POLICY_DENIED, "redis")
    assert [key.partition(":")[0] for key in one.store] == ["token", "decision"]


def test_what_was_learnt_from_an_entry_is_forgotten_no_later_than_the_entry_says() -> None:
    one = fleet()
    ask(good(), one)
    other = one.sibling(keys=None, now=one.now + 50)
    assert ask(good(), other).allowed
    other.store.clear()
    other.now += 9
    assert ask(good(), other).allowed
    other.now += 2
    assert ask(good(), other).reason == Reason.KEYS_UNAVAILABLE


def test_nothing_in_the_store_names_token_subject_scope_or_session() -> None:
    one = fleet()
    token = mint()
    ask(in_session("session-1", token), one)
    text = json.dumps({key: value.decode("latin-1") for key, value in one.store.items()})
    assert sorted(key.partition(":")[0] for key in one.store) == ["binding", "decision", "token"]
    for secret in (token, token[-40:], tokens.SUBJECT, "weather:read", "session-1", "acme", tokens.CLIENT):
        assert secret not in text


def test_a_session_bound_in_one_process_is_bound_in_all() -> None:
    one = fleet()
    assert ask(in_session("s1", mint()), one).allowed
    other = one.sibling()
    assert ask(in_session("s1", mint(sub="mallory")), other).reason == Reason.SESSION_UNKNOWN
    assert ask(in_session("s1", mint()), other).allowed


@pytest.mark.parametrize("cause", ["scripted", ""])
def test_the_cause_of_missing_keys_goes_to_the_operator_only(cause: str) -> None:
    def nothing(_: Need) -> KeysUnavailable:
        return KeysUnavailable(cause)

    where = replace(world(), keys=None, answer=nothing)
    checked = where.check(good())
    details = checked.details(Call(1), ended_ns=2)
    assert cause in details.detail
    assert b"scripted" not in checked.response
