"""`extauthz explain`: every row is decided by the real procedure; here is tested what it prints."""

import json
from pathlib import Path

import pytest

from extauthz.cli import run
from tests.support import tokens

POLICY = """\
version: 1
issuers:
  casdoor: {issuer: "https://door.casdoor.test", jwks_uri: "https://door.casdoor.test/jwks", organizations: [acme]}
resources:
  weather:
    uri: https://mcp.acme.test/mcp
    issuers: [casdoor]
    scopes:
      weather:read:  {description: Read forecasts}
      weather:write: {description: Change alerts, includes: [weather:read]}
    baseline: [weather:read]
    rules:
      - {methods: [tools/call], tools: [get_*], scopes: [weather:read]}
      - {methods: [tools/call], tools: [set_alert], scopes: [weather:write], when: "args.city != 'Atlantis'"}
      - {methods: [tools/call], tools: [purge], effect: deny}
"""


@pytest.fixture
def policy(tmp_path: Path) -> str:
    file = tmp_path / "p.yaml"
    file.write_text(POLICY)
    return str(file)


def explained(capsys: pytest.CaptureFixture[str], policy: str, *arguments: str) -> dict[str, object]:
    assert run(["explain", "--policy", policy, "--json", *arguments]) == 0
    answer: dict[str, object] = json.loads(capsys.readouterr().out)
    return answer


READ, WRITE = '{"scope": "weather:read"}', '{"scope": "weather:write"}'


@pytest.mark.parametrize(
    ("arguments", "reason", "line"),
    [
        (("--claims", READ, "--tool", "get_forecast"), "allowed", 13),
        (("--claims", READ, "--tool", "set_alert", "--args", '{"city": "Rome"}'), "scope_insufficient", 14),
        (("--claims", WRITE, "--tool", "set_alert", "--args", '{"city": "Rome"}'), "allowed", 14),
        (("--claims", WRITE, "--tool", "set_alert", "--args", '{"city": "Atlantis"}'), "policy_denied", None),
        (("--claims", WRITE, "--tool", "set_alert"), "policy_denied", None),
        (("--claims", WRITE, "--tool", "purge"), "policy_denied", 15),
        (("--claims", WRITE, "--tool", "other"), "operation_uncovered", None),
        (("--claims", '{"scope": "weather:read", "owner": "rival"}', "--tool", "get_x"), "token_organization", None),
        (("--claims", '{"exp": 1}', "--tool", "get_x"), "token_expired", None),
        (("--claims", READ, "--method", "tools/list"), "allowed", None),
        (("--claims", READ, "--method", "initialize"), "allowed", None),
        (("--claims", READ, "--method", "GET"), "allowed", None),
        (("--claims", READ, "--tool", "get_x", "--header", "Origin: https://evil.example"), "origin_refused", None),
        (("--claims", READ, "--tool", "get_x", "--path", "/mcp//"), "resource_unknown", None),
        (("--tool", "get_x"), "token_missing", None),
        (("--token", "nonsense", "--tool", "get_x"), "token_malformed", None),
    ],
)
def test_reason_and_rule(
    capsys: pytest.CaptureFixture[str], policy: str, arguments: tuple[str, ...], reason: str, line: int | None
) -> None:
    answer = explained(capsys, policy, *arguments)
    assert answer["reason"] == reason
    assert answer["rule"] == (f"{policy}:{line}" if line else "baseline" if reason == "allowed" else "")
    assert answer["allowed"] == (reason == "allowed")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--uri", "weather://rome", "--method", "resources/read"), "allowed"),
        (("--method", "tools/list"), "allowed"),
        (("--method", "completion/complete"), "body_missing"),
        (("--tool", "get_forecast"), "body_missing"),
        (("--method", "tools/list", "--header", "MCP-Protocol-Version: 2025-11-25"), "body_missing"),
        (("--method", "GET"), "allowed"),
    ],
)
def test_a_proxy_that_hands_no_body_over_is_told_apart(
    capsys: pytest.CaptureFixture[str], policy: str, arguments: tuple[str, ...], reason: str
) -> None:
    """A rule of tools/call reads arguments, so that it needs the body."""
    text = Path(policy).read_text() + '      - {methods: [resources/read], uris: ["weather://*"]}\n'
    Path(policy).write_text(text.replace("    baseline", "    header_only: true\n    baseline"))
    answer = explained(capsys, policy, "--claims", READ, "--without-body", *arguments)
    assert answer["reason"] == reason
    told = {step["step"]: step["found"] for step in answer["steps"]}  # type: ignore[attr-defined]
    assert ("decided on headers" in told["body"]) is (reason == "allowed" and "GET" not in arguments)


def test_without_the_setting_a_body_is_needed(capsys: pytest.CaptureFixture[str], policy: str) -> None:
    assert explained(capsys, policy, "--claims", READ, "--without-body", "--tool", "get_x")["reason"] == "body_missing"


def test_the_last_step_is_the_one_that_decided(capsys: pytest.CaptureFixture[str], policy: str) -> None:
    steps = explained(capsys, policy, "--claims", READ, "--tool", "purge")["steps"]
    assert isinstance(steps, list)
    assert [step["step"] for step in steps] == [
        "resource",
        "origin",
        "credentials",
        "token",
        "body",
        "operation",
        "policy",
    ]
    assert [step["passed"] for step in steps] == [True] * 6 + [False]


def test_a_real_token_is_judged_but_its_signature_only_with_keys(
    capsys: pytest.CaptureFixture[str], policy: str, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(tokens.mint({"scope": "weather:read"}) + "\n")
    common = ("--token-file", str(token), "--at", str(tokens.NOW), "--tool", "get_x")
    unchecked = explained(capsys, policy, *common)
    assert unchecked["reason"] == "allowed"
    assert "NOT checked" in str(unchecked["remarks"])
    keys = tmp_path / "jwks.json"
    keys.write_bytes(tokens.key_set_document())
    assert explained(capsys, policy, *common, "--jwks", str(keys))["remarks"] == []
    keys.write_bytes(tokens.key_set_document([tokens.SIGNING_KEYS["ES256"]]))
    assert explained(capsys, policy, *common, "--jwks", str(keys))["reason"] == "token_key_unknown"


@pytest.mark.parametrize(
    ("jwks_uri", "more", "vouches"),
    [
        ("https://door.casdoor.test/.well-known/gw/jwks", "", "keys: the key set of application gw, https://door."),
        ("https://door.casdoor.test/.well-known/jwks", "", "keys: the key set of every organization of the instance, "),
        ("https://door.casdoor.test/jwks", ", shared_keys: true", "of every organization of the instance (accepted: "),
    ],
)
def test_the_token_step_names_the_key_set_that_vouches(
    capsys: pytest.CaptureFixture[str], policy: str, jwks_uri: str, more: str, vouches: str
) -> None:
    changed = POLICY.replace("https://door.casdoor.test/jwks", jwks_uri).replace("[acme]}", f"[acme]{more}}}")
    Path(policy).write_text(changed)
    steps = explained(capsys, policy, "--claims", READ, "--tool", "get_x")["steps"]
    assert isinstance(steps, list)
    (token,) = [step["found"] for step in steps if step["step"] == "token"]
    assert vouches in token


def test_for_people_it_shows_the_exact_answer(capsys: pytest.CaptureFixture[str], policy: str) -> None:
    assert (
        run(["explain", "--policy", policy, "--claims", READ, "--tool", "set_alert", "--args", '{"city":"Rome"}']) == 0
    )
    out = capsys.readouterr().out
    assert "HTTP 403" in out
    assert 'www-authenticate: Bearer error="insufficient_scope", scope="weather:write"' in out
    assert "ok  token" in out


def test_a_raw_body_is_decided_as_it_is(capsys: pytest.CaptureFixture[str], policy: str, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"[1]")
    assert explained(capsys, policy, "--claims", READ, "--body", str(body))["reason"] == "batch_refused"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--claims", "{", "--tool", "x"), 2, "--claims is not JSON"),
        (("--claims", "[]", "--tool", "x"), 2, "not a JSON object"),
        (("--claims", READ), 2, "give --tool NAME"),
        (("--claims", READ, "--token", "x", "--tool", "x"), 2, "more than one of"),
        (("--resource", "nobody", "--tool", "x"), 2, "name one of weather"),
        (("--token-file", "/nowhere", "--tool", "x"), 2, "cannot be read"),
        (("--claims", READ, "--tool", "x", "--header", "nocolon"), 2, "NAME:VALUE"),
    ],
)
def test_wrong_usage_is_one_line(
    capsys: pytest.CaptureFixture[str], policy: str, arguments: tuple[str, ...], code: int, says: str
) -> None:
    assert run(["explain", "--policy", policy, *arguments]) == code
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1


def test_a_broken_policy_is_told_with_its_faults(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("version: 3\n")
    assert run(["explain", "--policy", str(file), "--tool", "x"]) == 1
    assert f"{file}:1:" in capsys.readouterr().err


def test_the_token_is_never_printed(capsys: pytest.CaptureFixture[str], policy: str) -> None:
    token = tokens.mint()
    run(["explain", "--policy", policy, "--token", token, "--tool", "get_x"])
    captured = capsys.readouterr()
    assert token not in captured.out + captured.err
    assert token.split(".")[2] not in captured.out
