"""`extauthz revoke` and the events of issuers, told to a real `extauthz serve`: the next check says what follows."""

import http.client
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from extauthz.cli import run
from extauthz.demo.processes import LOOPBACK
from extauthz.pdp.token.base64url import decode_base64url, encode_base64url
from tests.support.casdoor_notices import SSO_SECRET, WEBHOOK_SECRET, record, sso_logout
from tests.support.checks import check_request
from tests.support.http_issuer import HttpIssuer
from tests.support.served import Served, policy_text
from tests.support.tokens import SIGNING_KEYS, SUBJECT, key_set_document, mint, mint_logout

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("revoke")]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "howto" / "revoke.md").read_text(encoding="utf-8")
ADMIN_TOKEN = "admin-token-of-tests-0123456789ab"
SECRETS = {
    "EXTAUTHZ_ADMIN_TOKEN": ADMIN_TOKEN,
    "EXTAUTHZ_CASDOOR_SSO_SECRET": SSO_SECRET,
    "EXTAUTHZ_CASDOOR_WEBHOOK_SECRET": WEBHOOK_SECRET,
}


@pytest.fixture(scope="module")
def issuer() -> Iterator[HttpIssuer]:
    with HttpIssuer() as started:
        started.answer("/jwks", body=key_set_document())
        yield started


@pytest.fixture(scope="module")
def served(issuer: HttpIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("revoke")
    with Served(folder, policy_text(issuer.url), environment=SECRETS) as started:
        yield started


def token(name: str, alg: str = "RS256") -> str:
    """A good token of a user of this name, issued a while ago, so that a new one can be told from it."""
    claims = {"scope": "weather:read", "sub": f"sub-of-{name}", "name": name, "jti": f"admin/{name}"}
    return mint(claims, alg=alg, now=time.time() - 10)


def outcome(served: Served, text: str) -> str:
    answer = served.ask(check_request(token=text))
    return "allowed" if answer.allowed else f"{answer.status} {answer.reason}"


def post(served: Served, path: str, body: str, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(LOOPBACK, served.admin_port, timeout=10)
    try:
        connection.request("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@pytest.fixture
def command(served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `extauthz revoke … --json`; gives back what the service answered."""
    monkeypatch.setenv("EXTAUTHZ_ADMIN_TOKEN", ADMIN_TOKEN)
    monkeypatch.setenv("EXTAUTHZ_ADMIN_LISTEN", f"{LOOPBACK}:{served.admin_port}")

    def told(*arguments: str) -> Any:
        capsys.readouterr()
        assert run(["revoke", *arguments, "--json"]) == 0
        (document,) = json.loads(capsys.readouterr().out)
        return document

    return told


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_a_revoked_token_is_refused_by_the_next_check_until_it_is_taken_back(
    served: Served, command: Any, tmp_path: Path, alg: str
) -> None:
    text, other = token(f"file-{alg}", alg), token(f"other-{alg}", alg)
    (tmp_path / "token.txt").write_text(text)
    assert outcome(served, text) == "allowed"

    items = command("--token-file", str(tmp_path / "token.txt"))["revocations"]
    assert outcome(served, text) == "401 token_revoked"
    assert outcome(served, other) == "allowed"
    assert [item for item in command("--list")["revocations"] if item in items] == items

    for item in items:
        command("--undo", item["id"])
    assert outcome(served, text) == "allowed"
    assert not any(item in command("--list")["revocations"] for item in items)


def test_the_second_spelling_of_a_revoked_ecdsa_token_is_refused_as_well(
    served: Served, command: Any, tmp_path: Path
) -> None:
    text = token("spelling", "ES256")
    (tmp_path / "token.txt").write_text(text)
    command("--token-file", str(tmp_path / "token.txt"))
    head, _, last = text.rpartition(".")
    signature = decode_base64url(last.encode())
    assert signature is not None
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    other_s = order - int.from_bytes(signature[32:])
    twin = f"{head}.{encode_base64url(signature[:32] + other_s.to_bytes(32)).decode()}"
    assert twin != text
    assert outcome(served, twin) == "401 token_revoked"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--jti", "admin/group-0"],
        ["--subject", "sub-of-group-1"],
        ["--user", "acme/group-2"],
        ["--subject", "sub-of-group-3", "--client", "client-mcp", "--issuer", "casdoor"],
    ],
)
def test_what_was_issued_until_now_is_refused_and_what_comes_later_is_not(
    served: Served, command: Any, arguments: list[str]
) -> None:
    name = f"group-{['--jti', '--subject', '--user'].index(arguments[0]) if len(arguments) == 2 else 3}"
    text = token(name)
    assert outcome(served, text) == "allowed"
    (item,) = command(*arguments)["revocations"]
    assert outcome(served, text) == "401 token_revoked"
    newer = mint({"scope": "weather:read", "sub": f"sub-of-{name}", "name": name}, now=time.time() + 2)
    assert outcome(served, newer) == "allowed"
    command("--undo", item["id"])


@pytest.mark.parametrize("by", ["client", "organization"])
def test_everything_of_a_group_can_be_refused(served: Served, command: Any, by: str) -> None:
    text = token("everybody")
    (item,) = command(f"--{by}", {"client": "client-mcp", "organization": "acme"}[by])["revocations"]
    assert outcome(served, text) == "401 token_revoked"
    command("--undo", item["id"])
    assert outcome(served, text) == "allowed"


def test_a_logout_token_of_casdoor_ends_the_subjects_tokens_of_that_client(served: Served) -> None:
    text = mint({"scope": "weather:read"}, now=time.time() - 10)
    assert outcome(served, text) == "allowed"
    form = urlencode({"logout_token": mint_logout(now=None)})
    answer = post(served, "/events/casdoor/backchannel-logout", form, Content_Type="application/x-www-form-urlencoded")
    assert answer == (200, {"revoked": 1, "spread": "alone"})
    assert outcome(served, text) == "401 token_revoked"
    elsewhere = mint({"scope": "weather:read", "azp": "another-client"}, now=time.time() - 10)
    assert outcome(served, elsewhere) == "allowed"
    assert outcome(served, mint({"scope": "weather:read", "sub": SUBJECT}, now=time.time() + 2)) == "allowed"


def test_a_logout_token_of_a_new_key_is_taken_after_one_look_at_the_issuer(served: Served, issuer: HttpIssuer) -> None:
    text = token("rotated")
    assert outcome(served, text) == "allowed"
    new = SIGNING_KEYS["rotate-new"]
    issuer.answer("/jwks", body=key_set_document(extra=[new.jwk()]))
    form = urlencode(
        {"logout_token": mint_logout({"sub": "sub-of-rotated", "jti": "admin/rotated"}, key=new, now=None)}
    )
    answer = post(served, "/events/casdoor/backchannel-logout", form, Content_Type="application/x-www-form-urlencoded")
    assert answer == (200, {"revoked": 1, "spread": "alone"})
    assert outcome(served, text) == "401 token_revoked"


def test_a_notification_of_casdoor_ends_the_users_tokens(served: Served) -> None:
    text = token("notified")
    assert outcome(served, text) == "allowed"
    notice = sso_logout(name="notified", timestamp=int(time.time()), accessTokenHashes=[])
    form = urlencode({"notification": json.dumps(notice)})
    answer = post(served, "/events/casdoor/sso-logout", form, Content_Type="application/x-www-form-urlencoded")
    assert answer == (200, {"revoked": 1, "spread": "alone"})
    assert outcome(served, text) == "401 token_revoked"


def test_a_webhook_of_casdoor_ends_the_tokens_of_a_user_who_was_deleted(served: Served) -> None:
    text = token("deleted")
    assert outcome(served, text) == "allowed"
    sent = record("delete-user", posted={"owner": "acme", "name": "deleted"}, at=int(time.time()))
    refused = post(served, "/events/casdoor/webhook", json.dumps(sent), Authorization="Bearer guessed")
    assert refused[0] == 401
    assert outcome(served, text) == "allowed"
    answer = post(served, "/events/casdoor/webhook", json.dumps(sent), Authorization=f"Bearer {WEBHOOK_SECRET}")
    assert answer == (200, {"revoked": 1, "spread": "alone"})
    assert outcome(served, text) == "401 token_revoked"


def hook(served: Served, sent: dict[str, Any]) -> tuple[int, Any]:
    sent = {**sent, "name": f"record-{time.monotonic_ns()}"}
    return post(served, "/events/casdoor/webhook", json.dumps(sent), Authorization=f"Bearer {WEBHOOK_SECRET}")


def acting(user: str, *, admin: bool, organization: str = "acme") -> dict[str, Any]:
    row = {"owner": organization, "name": user, "isAdmin": admin}
    return {"organization": organization, "user": user, "extendedUser": row, "at": int(time.time())}


def test_a_user_of_another_tenant_locks_nobody_out(served: Served) -> None:
    text = token("victim")
    posted = '{"owner":"acme","name":"victim","isForbidden":true,"Owner":"rival","Name":"eve","IsForbidden":false}'
    eve = acting("eve", admin=False, organization="rival")
    sent = record("update-user", posted=posted, requestUri="/api/update-user?id=rival/eve", **eve)
    assert hook(served, sent) == (200, {"revoked": 0})
    organization = record("delete-organization", posted='{"owner":"zzz","name":"acme","Name":"rival"}', **eve)
    assert hook(served, organization) == (200, {"revoked": 0})
    assert outcome(served, text) == "allowed"


@pytest.mark.parametrize(
    ("claims", "posted"),
    [
        ({"name": "frank"}, {"name": "FRANK"}),
        ({"name": "before"}, {"name": "after", "id": "sub-of-before"}),
        ({"name": None, "sub": "sub-of-nameless"}, {"name": "nameless", "id": "sub-of-nameless"}),
        ({"name": "stuffed"}, {"name": "stuffed", "score": 2**53, "properties": {"p": "x" * 300_000}}),
    ],
    ids=["another case", "renamed before", "a token without a name", "a record stuffed by its user"],
)
def test_a_user_who_is_forbidden_is_refused_whatever_token_and_record_look_like(
    served: Served, claims: dict[str, Any], posted: dict[str, Any]
) -> None:
    name = claims["name"] or "nameless"
    members = {"scope": "weather:read", "sub": f"sub-of-{name}", "jti": f"admin/{name}", **claims}
    text = mint({key: value for key, value in members.items() if value is not None}, now=time.time() - 10)
    assert outcome(served, text) == "allowed"
    uri = f"/api/update-user?id=acme/{posted['name']}"
    sent = {"owner": "acme", "isForbidden": True, **posted}
    assert hook(served, record("update-user", posted=sent, requestUri=uri, **acting("root", admin=True)))[0] == 200
    assert outcome(served, text) == "401 token_revoked"


def test_every_command_of_the_page_works(
    served: Served, command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token.txt").write_text(token("of-the-page"))
    commands = re.findall(r"^(?:\|.*`)?(extauthz revoke .*?)(?:`.*)?$", PAGE, re.MULTILINE)
    assert len(commands) >= 10
    here = f"http://{LOOPBACK}:{served.admin_port}"
    for line in commands:
        listed = command("--list")["revocations"]
        words = re.sub(r"http://127\.0\.0\.1:900\d", here, line).split()
        arguments = [listed[-1]["id"] if word == "ID" else word for word in words[1:]]
        assert run(arguments) == 0, (line, capsys.readouterr())
    for item in command("--list")["revocations"]:
        command("--undo", item["id"])


def test_no_secret_stands_in_the_log(served: Served, command: Any) -> None:
    assert outcome(served, token("logged")) == "allowed"
    command("--jti", "admin/logged")
    sent = record("delete-user", posted={"owner": "acme", "name": "logged"}, at=int(time.time()))
    for secret in ("guessed", WEBHOOK_SECRET):
        post(served, "/events/casdoor/webhook", json.dumps(sent), Authorization=f"Bearer {secret}")
    log = served.program.log.read_text()
    for secret in (*SECRETS.values(), "eyJ"):
        assert secret not in log
    about = [line for line in log.splitlines() if "extauthz.revocation" in line]
    assert any("from admin" in line for line in about)
    assert any("webhook" in line for line in about)
    # Whom a revocation means is for `extauthz revoke --list`.
    assert not any("sub-of-" in line or SUBJECT in line for line in about)
