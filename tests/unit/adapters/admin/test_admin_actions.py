"""Revoking at the admin port over real HTTP: orders of operators, and events of issuers."""

import json
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.adapters.admin import server as admin_http
from extauthz.adapters.admin.actions import MAX_BODY_BYTES, MAX_NOTICE_BYTES, AdminRequest
from extauthz.pdp.policy import WhenStale
from extauthz.pdp.principal import Principal, VerifiedToken
from extauthz.pdp.revocation.revocation import keys_of
from extauthz.service.endpoint import TcpEndpoint
from extauthz.service.needs import KeysCause, NeedKeys
from extauthz.service.revocation import bounds, revocations
from extauthz.service.revocation import events as events_module
from extauthz.service.revocation.events import EventSecrets
from tests.support.admin_port import ADMIN_TOKEN, AdminPort, Answered
from tests.support.casdoor_notices import HASHES, SSO_SECRET, WEBHOOK_SECRET, record, sso_logout
from tests.support.policies import policy
from tests.support.tokens import CLIENT, ISSUER, NOW, SIGNING_KEYS, SUBJECT, key_set_document, mint, mint_logout
from tests.support.world import CASDOOR, key_set, weather

FORM = "application/x-www-form-urlencoded"
LOGOUT = "/events/casdoor/backchannel-logout"
SSO_LOGOUT = "/events/casdoor/sso-logout"
WEBHOOK = "/events/casdoor/webhook"


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second for each server to notice that it is to stop would add up."""
    monkeypatch.setattr(admin_http, "LOOK_EVERY_S", 0.02)


@pytest.fixture
def port() -> Iterator[AdminPort]:
    with AdminPort() as started:
        yield started


def log_out(port: AdminPort, token: str, path: str = LOGOUT) -> Answered:
    return port.ask("POST", path, urlencode({"logout_token": token}), Content_Type=FORM)


def notify(port: AdminPort, notice: Any, path: str = SSO_LOGOUT) -> Answered:
    return port.ask("POST", path, urlencode({"notification": json.dumps(notice)}), Content_Type=FORM)


def hook(port: AdminPort, sent: Any, secret: str = WEBHOOK_SECRET) -> Answered:
    return port.ask(
        "POST", WEBHOOK, json.dumps(sent), Content_Type="application/json", Authorization=f"Bearer {secret}"
    )


class TestOrders:
    def test_what_is_revoked_is_in_force_at_once_and_listed_until_taken_back(self, port: AdminPort) -> None:
        done = port.order("POST", "/revocations", {"by": "subject", "value": SUBJECT})
        (item,) = done.told["revocations"]
        assert (done.status, done.told["spread"]) == (200, "alone")
        assert port.in_force == {("subject", SUBJECT, "")}
        assert port.revocations.refuse([("subject", ISSUER, SUBJECT)], NOW, WhenStale.ALLOW, NOW) is not None
        assert port.order("GET", "/revocations").told == {"revocations": [item]}

        undone = port.order("DELETE", f"/revocations/{item['id']}")
        assert (undone.status, undone.told) == (200, {"undone": item["id"], "spread": "alone"})
        assert port.order("GET", "/revocations").told == {"revocations": []}

    def test_an_answer_is_json_that_no_cache_keeps(self, port: AdminPort) -> None:
        answer = port.order("GET", "/revocations")
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"

    def test_an_unknown_id_cannot_be_taken_back(self, port: AdminPort) -> None:
        answer = port.order("DELETE", "/revocations/not-there")
        assert answer.status == 404
        assert "extauthz revoke --list" in answer.told["error"]

    def test_what_is_no_revocation_is_told_why(self, port: AdminPort) -> None:
        answer = port.order("POST", "/revocations", {"by": "token", "value": "eyJ"})
        assert answer.status == 400
        assert "SHA-256" in answer.told["error"]

    def test_a_full_list_says_so(self, port: AdminPort, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(revocations, "MAX_REVOCATIONS", 1)
        assert port.order("POST", "/revocations", {"by": "jti", "value": "j"}).status == 200
        answer = port.order("POST", "/revocations", {"by": "jti", "value": "k"})
        assert answer.status == 507
        assert "as many as it can" in answer.told["error"]

    @pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", ""), ("DELETE", "/admin-00000000")])
    @pytest.mark.parametrize(
        "authorization",
        [
            {},
            {"Authorization": "Bearer"},
            {"Authorization": f"Basic {ADMIN_TOKEN}"},
            {"Authorization": f"Bearer {ADMIN_TOKEN[:-1]}"},
            {"Authorization": f"Bearer {ADMIN_TOKEN}x"},
            {"Authorization": f"Bearer {WEBHOOK_SECRET}"},
        ],
    )
    def test_without_the_admin_token_nothing_is_done_or_told(
        self, port: AdminPort, method: str, path: str, authorization: dict[str, str]
    ) -> None:
        port.order("POST", "/revocations", {"by": "jti", "value": "j"})
        answer = port.ask(
            method, f"/revocations{path}", '{"by":"jti","value":"k"}', Content_Type="application/json", **authorization
        )
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert port.in_force == {("jti", "j", "")}

    def test_two_authorization_headers_are_none(self, port: AdminPort) -> None:
        assert isinstance(port.server.address, TcpEndpoint)
        with socket.create_connection(("127.0.0.1", port.server.address.port), timeout=20) as client:
            header = f"Authorization: Bearer {ADMIN_TOKEN}\r\n"
            client.sendall(f"GET /revocations HTTP/1.0\r\n{header}{header}\r\n".encode())
            assert client.makefile("rb").read().startswith(b"HTTP/1.0 401 ")

    def test_a_second_token_counts_while_the_first_is_replaced(self) -> None:
        with AdminPort(admin_tokens=(b"n" * 32, ADMIN_TOKEN.encode())) as port:
            assert port.order("GET", "/revocations").status == 200

    def test_where_no_token_is_set_the_way_in_is_closed_and_it_is_told_how_to_open_it(self) -> None:
        with AdminPort(admin_tokens=()) as port:
            answer = port.order("POST", "/revocations", {"by": "jti", "value": "j"})
        assert answer.status == 403
        assert "set EXTAUTHZ_ADMIN_TOKEN" in answer.told["error"]

    @pytest.mark.parametrize("content_type", ["text/plain", FORM, "multipart/form-data", ""])
    def test_a_body_of_another_type_is_refused(self, port: AdminPort, content_type: str) -> None:
        answer = port.order("POST", "/revocations", {"by": "jti", "value": "j"}, Content_Type=content_type)
        assert answer.status == 415

    @pytest.mark.parametrize(
        ("method", "path"), [("POST", "/revocations"), ("GET", "/revocations"), ("POST", LOGOUT), ("POST", WEBHOOK)]
    )
    def test_web_pages_cannot_ask(self, port: AdminPort, method: str, path: str) -> None:
        answer = port.order(method, path, {"by": "jti", "value": "j"}, Origin="https://attacker.example")
        assert answer.status == 403
        assert port.in_force == set()

    def test_a_name_of_somebody_elses_is_refused(self, port: AdminPort) -> None:
        assert port.order("GET", "/revocations", Host="attacker.example").status == 421

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("PUT", "/revocations", "GET, POST"),
            ("HEAD", "/revocations", "GET, POST"),
            ("GET", "/revocations/abcdefgh", "DELETE"),
            ("GET", LOGOUT, "POST"),
            ("DELETE", WEBHOOK, "POST"),
            ("POST", "/livez", "GET, HEAD"),
            ("POST", "/events/casdoor/other", "GET, HEAD"),
            ("POST", "/events/casdoor/webhook/", "GET, HEAD"),
        ],
    )
    def test_other_methods_are_told_which_there_are(
        self, port: AdminPort, method: str, path: str, allowed: str
    ) -> None:
        answer = port.order(method, path)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)

    def test_no_secret_is_logged_or_answered(self, port: AdminPort, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        told = [
            port.order("POST", "/revocations", {"by": "subject", "value": "personal-subject"}),
            port.order("POST", "/revocations", {"by": "x", "value": "personal-subject"}),
            log_out(port, mint_logout({"sub": "personal-subject"})),
            log_out(port, mint_logout({"sub": "personal-subject", "iat": 0})),
            hook(port, record("logout", organization="acme", user="personal-subject")),
            hook(port, {}, secret="x" * 40),
            notify(port, sso_logout(name="personal-subject")),
            notify(port, sso_logout(secret="x" * 40)),
        ]
        for secret in (ADMIN_TOKEN, WEBHOOK_SECRET, SSO_SECRET, "personal-subject", HASHES[0]):
            assert secret not in caplog.text
            assert secret not in "".join(answer.body.decode() for answer in told[1:])


class TestBodies:
    @pytest.mark.parametrize(
        ("path", "most"),
        [
            ("/revocations", MAX_BODY_BYTES),
            (LOGOUT, MAX_BODY_BYTES),
            (SSO_LOGOUT, MAX_NOTICE_BYTES),
            (WEBHOOK, MAX_BODY_BYTES),
        ],
    )
    def test_a_body_that_is_too_large_is_refused(self, port: AdminPort, path: str, most: int) -> None:
        assert port.ask("POST", path, b"x" * (most + 1)).status == 413

    @pytest.mark.parametrize(
        "headers",
        [
            b"",
            b"Content-Length: -1\r\n",
            b"Content-Length: 1x\r\n",
            b"Content-Length: 99999999999\r\n",
            b"Content-Length: 2\r\nContent-Length: 3\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        ],
    )
    def test_a_body_without_one_length_is_refused(self, port: AdminPort, headers: bytes) -> None:
        assert self.raw(port, headers + b"\r\n{}").startswith(b"HTTP/1.0 411 ")

    def test_a_body_that_breaks_off_is_refused(self, port: AdminPort) -> None:
        assert self.raw(port, b"Content-Length: 10\r\n\r\n{}").startswith(b"HTTP/1.0 400 ")

    def test_a_body_that_does_not_come_is_cut_off(self, port: AdminPort, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(admin_http, "MAX_CONNECTION_S", 0.2)
        assert self.raw(port, b"Content-Length: 10\r\n\r\n{", end=False)[:13] in (
            b"",
            b"HTTP/1.0 408 ",
            b"HTTP/1.0 400 ",
        )
        assert port.ask("GET", "/livez").status == 200

    @staticmethod
    def raw(port: AdminPort, rest: bytes, *, end: bool = True) -> bytes:
        assert isinstance(port.server.address, TcpEndpoint)
        with socket.create_connection(("127.0.0.1", port.server.address.port), timeout=20) as client:
            client.sendall(b"POST /events/casdoor/webhook HTTP/1.0\r\n" + rest)
            if end:
                client.shutdown(socket.SHUT_WR)
            return client.makefile("rb").read()


class TestHostile:
    @given(
        path=st.sampled_from([LOGOUT, SSO_LOGOUT, WEBHOOK, "/revocations", "/revocations/abcdefgh"]),
        get=st.booleans(),
        query=st.text(max_size=40),
        headers=st.dictionaries(
            st.sampled_from(["authorization", "content-type", "origin"]),
            st.sampled_from([FORM, "application/json", "Bearer x", "Bearer", ""]) | st.text(max_size=20),
        ),
        body=st.binary(max_size=120)
        | st.sampled_from([b"logout_token=", b"notification="]).flatmap(lambda name: st.just(name + b"%7B%7D")),
    )
    def test_nothing_that_is_sent_without_a_secret_raises_or_revokes(
        self, path: str, get: bool, query: str, headers: dict[str, str], body: bytes
    ) -> None:
        port = AdminPort()
        methods = port.actions.methods(path)
        request = AdminRequest(method=methods[0 if get else -1], path=path, query=query, headers=headers, body=body)
        answer = port.actions.answer(request)
        assert 400 <= answer.status < 500
        assert "error" in json.loads(answer.body)
        assert port.in_force == set()


class TestBackchannelLogout:
    def test_a_logout_revokes_the_subjects_tokens_for_that_client(self, port: AdminPort) -> None:
        answer = log_out(port, mint_logout())
        assert (answer.status, answer.told) == (200, {"revoked": 1, "spread": "alone"})
        assert answer.headers["Cache-Control"] == "no-store"
        assert port.in_force == {("subject", SUBJECT, CLIENT)}

    def test_the_same_token_again_changes_nothing_even_when_it_was_taken_back(self, port: AdminPort) -> None:
        token = mint_logout()
        log_out(port, token)
        (item,) = port.revocations.in_force(NOW)
        port.order("DELETE", f"/revocations/{item.id}")
        again = log_out(port, token)
        assert (again.status, again.told) == (200, {"revoked": 0})
        assert port.in_force == set()

    def test_a_later_logout_counts_anew_and_an_earlier_one_adds_nothing(self, port: AdminPort) -> None:
        log_out(port, mint_logout({"jti": "one"}))
        assert log_out(port, mint_logout({"jti": "two", "iat": NOW - 5})).told["revoked"] == 0
        assert log_out(port, mint_logout({"jti": "three", "iat": NOW + 5})).told["revoked"] == 1

    def test_an_earlier_logout_counts_when_the_later_one_is_taken_back(self, port: AdminPort) -> None:
        log_out(port, mint_logout({"jti": "later"}))
        (later,) = port.revocations.in_force(NOW)
        log_out(port, mint_logout({"jti": "earlier", "iat": NOW - 5}))
        assert port.order("DELETE", f"/revocations/{later.id}").status == 200
        assert refused_in(port, 0)

    def test_two_issuers_may_give_their_tokens_the_same_id(self) -> None:
        other = replace(CASDOOR, name="other", issuer="https://other.example.com")
        with AdminPort(policy=policy(weather(issuers=(CASDOOR, other)))) as port:
            assert log_out(port, mint_logout()).told["revoked"] == 1
            token = mint_logout({"iss": other.issuer})
            assert log_out(port, token, "/events/other/backchannel-logout").told["revoked"] == 1
            assert log_out(port, token).status == 400

    def test_a_key_that_is_not_held_is_asked_for_once(self, port: AdminPort) -> None:
        port.supply = lambda _: key_set(key_set_document([SIGNING_KEYS["rotate-new"]]))
        assert log_out(port, mint_logout(key=SIGNING_KEYS["rotate-new"])).status == 200
        assert port.needs == [NeedKeys(issuer=CASDOOR, cause=KeysCause.UNKNOWN_KEY)]

    def test_while_keys_cannot_be_had_the_issuer_is_told_to_come_again(self) -> None:
        with AdminPort(keys=None) as port:
            assert log_out(port, mint_logout()).status == 503

    def test_any_profile_of_issuer_may_send_one(self) -> None:
        issuer = replace(CASDOOR, name="key_cloak-1", profile="keycloak")
        with AdminPort(policy=policy(weather(issuers=(issuer,)))) as port:
            assert log_out(port, mint_logout(), "/events/key_cloak-1/backchannel-logout").status == 200

    @pytest.mark.parametrize(
        "token",
        [
            pytest.param(mint_logout(key=SIGNING_KEYS["attacker"], header={"kid": "cert-rs256"}), id="another key"),
            pytest.param(mint_logout()[:-4] + "AAAA", id="another signature"),
            pytest.param(mint_logout(header={"alg": "none"}), id="alg none"),
            pytest.param(mint_logout({"iss": "https://door.rival.test"}), id="another issuer"),
            pytest.param(mint_logout({"iat": NOW - 301}), id="old"),
            pytest.param(mint_logout({"nonce": "n"}), id="nonce"),
            pytest.param(mint(), id="an access token"),
            pytest.param("", id="nothing"),
            pytest.param("a.b.c", id="no token"),
        ],
    )
    def test_whatever_is_not_the_issuers_word_is_refused(self, port: AdminPort, token: str) -> None:
        """Back-Channel Logout 1.0 §2.6, §2.8."""
        answer = log_out(port, token)
        assert (answer.status, answer.told["error"]) == (400, "invalid_request")
        assert answer.headers["Cache-Control"] == "no-store"
        assert port.in_force == set()

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            ("", FORM),
            ("logout_token=a&logout_token=b", FORM),
            ("other=a", FORM),
            ("&".join(["logout_token=a"] + ["x=y"] * 20), FORM),
            (b"logout_token=\xff", FORM),
            ("logout_token=%ff", FORM),
            (urlencode({"logout_token": mint_logout()}), "text/plain"),
            (urlencode({"logout_token": mint_logout()}), "multipart/form-data"),
            (urlencode([("logout_token", mint_logout())] * 2), FORM),
        ],
    )
    def test_whatever_is_no_form_with_one_token_is_refused(
        self, port: AdminPort, body: str | bytes, content_type: str
    ) -> None:
        assert port.ask("POST", LOGOUT, body, Content_Type=content_type).told["error"] == "invalid_request"
        assert port.in_force == set()

    def test_an_unknown_issuer_has_no_address(self, port: AdminPort) -> None:
        assert log_out(port, mint_logout(), "/events/door/backchannel-logout").status == 404


NEWS_OF_ALICE: dict[str, Callable[[AdminPort], Answered]] = {
    "back-channel logout": lambda port: log_out(port, mint_logout()),
    "notification": lambda port: notify(port, sso_logout(accessTokenHashes=[HASHES[0]])),
    "webhook": lambda port: hook(port, record("logout", organization="acme", user="alice")),
    "token deleted": lambda port: hook(port, record("delete-token", posted={"owner": "admin", "name": "t"})),
    "organization deleted": lambda port: hook(
        port, record("delete-organization", posted={"owner": "admin", "name": "acme"})
    ),
}
ORDERS_LIKE_IT: dict[str, dict[str, Any]] = {
    "back-channel logout": {"by": "subject", "value": SUBJECT, "client": CLIENT},
    "notification": {"by": "user", "value": "acme/alice"},
    "webhook": {"by": "user", "value": "acme/alice"},
    "token deleted": {"by": "jti", "value": "admin/t"},
    "organization deleted": {"by": "organization", "value": "acme"},
}


def refused_in(port: AdminPort, seconds: float, *, name: str = "alice", **claims: Any) -> bool:
    """Whether a token of alice that was issued before the event is refused so much later."""
    principal = Principal(
        issuer=ISSUER,
        subject=claims.get("subject", SUBJECT),
        organization=claims.get("organization", "acme"),
        name=name,
        client_id=CLIENT,
        scopes=frozenset(),
        roles=frozenset(),
        groups=frozenset(),
        machine=False,
    )
    token = VerifiedToken(principal=principal, issued_at=NOW - 60, expires_at=NOW, token_id="admin/t", digests=(b"d",))
    return port.revocations.revoked(keys_of(token), token.issued_at, port.now + seconds) is not None


@pytest.mark.parametrize("kind", NEWS_OF_ALICE)
class TestNews:
    """What an event says counts whatever else is in force about the same tokens."""

    def test_an_order_that_ends_soon_does_not_swallow_an_event(self, port: AdminPort, kind: str) -> None:
        assert port.order("POST", "/revocations", {**ORDERS_LIKE_IT[kind], "until": NOW + 60}).status == 200
        answer = NEWS_OF_ALICE[kind](port)
        assert (answer.status, answer.told["revoked"] > 0) == (200, True)
        assert refused_in(port, 61)

    def test_taking_back_what_hid_an_event_leaves_the_event_in_force(self, port: AdminPort, kind: str) -> None:
        order = port.order("POST", "/revocations", {**ORDERS_LIKE_IT[kind], "until": NOW + 40 * 86_400})
        assert NEWS_OF_ALICE[kind](port).status == 200
        (item,) = order.told["revocations"]
        assert port.order("DELETE", f"/revocations/{item['id']}").status == 200
        assert refused_in(port, 0)

    def test_the_same_event_again_is_not_kept_twice(self, port: AdminPort, kind: str) -> None:
        NEWS_OF_ALICE[kind](port)
        held = len(port.revocations)
        NEWS_OF_ALICE[kind](port)
        assert len(port.revocations) == held


class TestSsoLogout:
    def test_a_notification_revokes_the_user_and_the_tokens(self, port: AdminPort) -> None:
        assert notify(port, sso_logout()).told == {"revoked": 3, "spread": "alone"}
        assert port.in_force == {("user", "acme/alice", ""), *(("token", each, "") for each in HASHES)}

    def test_casdoor_may_send_it_as_a_query(self, port: AdminPort) -> None:
        query = urlencode({"notification": json.dumps(sso_logout()), "recipient": "x"})
        assert port.ask("GET", f"{SSO_LOGOUT}?{query}").told["revoked"] == 3

    def test_the_same_again_changes_nothing(self, port: AdminPort) -> None:
        notify(port, sso_logout())
        assert notify(port, sso_logout()).told == {"revoked": 0}

    def test_a_later_one_adds_only_what_is_new(self, port: AdminPort) -> None:
        notify(port, sso_logout())
        later = sso_logout(nonce="another", timestamp=NOW + 1, accessTokenHashes=[*HASHES, "c" * 64])
        assert notify(port, later).told["revoked"] == 2

    def test_more_tokens_than_are_taken_one_by_one_end_by_user_and_subject(
        self, port: AdminPort, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        hashes = [f"{number:064x}" for number in range(3_400)]
        assert notify(port, sso_logout(accessTokenHashes=hashes)).told["revoked"] == 2
        assert refused_in(port, 0)
        assert refused_in(port, 0, name="", organization="")
        assert not refused_in(port, 0, organization="rival")
        assert len(caplog.records) < 30

    def test_a_user_with_ten_thousand_tokens_fits(self, port: AdminPort) -> None:
        hashes = [f"{number:064x}" for number in range(10_000)]
        assert notify(port, sso_logout(accessTokenHashes=hashes)).status == 200
        assert refused_in(port, 0)

    def test_many_notifications_fill_no_more_than_their_share(
        self, port: AdminPort, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(events_module, "MAX_OF_TOKENS", 250)
        for number in range(14):
            hashes = [f"{number:032x}{each:032x}" for each in range(90)]
            assert (
                notify(port, sso_logout(nonce=f"n{number}", name=f"u{number}", accessTokenHashes=hashes)).status == 200
            )
        assert sum(by == "token" for by, _, _ in port.in_force) == 180
        assert {value for by, value, _ in port.in_force if by == "user"} == {f"acme/u{number}" for number in range(14)}
        assert refused_in(port, 0, name="")

    def test_another_secret_is_refused(self, port: AdminPort) -> None:
        assert notify(port, sso_logout(secret="x" * 40)).status == 400
        assert port.in_force == set()

    def test_without_a_secret_the_way_in_is_closed_and_the_log_says_how_to_open_it(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with AdminPort(secrets=EventSecrets()) as port:
            assert [notify(port, sso_logout()).status, hook(port, record("logout")).status] == [403, 403]
        assert "set EXTAUTHZ_CASDOOR_SSO_SECRET" in caplog.text
        assert "set EXTAUTHZ_CASDOOR_WEBHOOK_SECRET" in caplog.text

    @pytest.mark.parametrize("body", ["", "content=x", "notification=a&notification=b"])
    def test_without_one_notification_it_is_told_how_to_name_the_field(self, port: AdminPort, body: str) -> None:
        answer = port.ask("POST", SSO_LOGOUT, body, Content_Type=FORM)
        assert answer.status == 400
        assert "Parameter" in answer.told["error"]


class TestWebhook:
    def test_a_record_revokes_what_follows_from_it(self, port: AdminPort) -> None:
        sent = record("delete-user", posted={"owner": "acme", "name": "alice"})
        assert hook(port, sent).told == {"revoked": 1, "spread": "alone"}
        assert port.in_force == {("user", "acme/alice", "")}

    def test_a_record_that_casdoor_sends_again_changes_nothing(self, port: AdminPort) -> None:
        sent = record("delete-user", posted={"owner": "acme", "name": "alice"})
        hook(port, sent)
        assert hook(port, sent).told == {"revoked": 0}

    def test_a_record_from_which_nothing_follows_is_taken_so_that_it_does_not_come_again(self, port: AdminPort) -> None:
        answer = hook(port, record("login"))
        assert (answer.status, answer.told) == (200, {"revoked": 0})

    @pytest.mark.parametrize("secret", ["", "x" * 34, WEBHOOK_SECRET + "x", SSO_SECRET, ADMIN_TOKEN])
    def test_without_the_secret_nothing_is_believed(self, port: AdminPort, secret: str) -> None:
        assert hook(port, record("logout", organization="acme", user="alice"), secret).status == 401
        assert port.in_force == set()

    def test_what_is_no_record_is_refused(self, port: AdminPort) -> None:
        assert hook(port, []).status == 400

    def test_only_issuers_that_are_casdoors_have_an_address(self) -> None:
        issuer = replace(CASDOOR, profile="keycloak")
        with AdminPort(policy=policy(weather(issuers=(issuer,)))) as port:
            assert [hook(port, record("logout")).status, notify(port, sso_logout()).status] == [404, 404]

    def test_a_forged_record_revokes_nobody(self, port: AdminPort) -> None:
        """Casdoor changed eve alone, who sent both spellings, and the webhook carries both."""
        eve = {
            "organization": "rival",
            "user": "eve",
            "extendedUser": {"owner": "rival", "name": "eve", "isAdmin": False},
        }
        posted = '{"owner":"acme","name":"bob","isForbidden":true,"Owner":"rival","Name":"eve","IsForbidden":false}'
        sent = record("update-user", posted=posted, requestUri="/api/update-user?id=rival/eve", **eve)
        assert (hook(port, sent).status, port.in_force) == (200, set())

    def test_an_administrator_without_her_row_is_told_of_at_casdoor_and_in_the_log(
        self, port: AdminPort, caplog: pytest.LogCaptureFixture
    ) -> None:
        sent = record("delete-user", posted={"owner": "acme", "name": "bob"}, organization="acme", user="root")
        assert (hook(port, sent).status, port.in_force) == (400, set())
        assert "User extended" in caplog.text

    @pytest.mark.parametrize("score", [str(2**53), "1e999"])
    def test_nobody_hides_in_her_own_record(self, port: AdminPort, score: str) -> None:
        large = "x" * 300_000
        posted = f'{{"owner":"acme","name":"alice","score":{score},"properties":{{"p":"{large}"}},"isForbidden":true}}'
        sent = record("update-user", posted=posted, requestUri="/api/update-user?id=acme/alice")
        assert hook(port, sent).told["revoked"] == 1
        assert refused_in(port, 0)

    def test_a_large_record_is_read_for_the_secret_alone(
        self, port: AdminPort, caplog: pytest.LogCaptureFixture
    ) -> None:
        sent = record("logout", organization="acme", user="alice", detail="x" * (3 * 1024 * 1024))
        assert hook(port, sent, "x" * 40).status == 413
        assert "was not read" in caplog.text
        assert hook(port, sent).told["revoked"] == 1
        assert port.ask("POST", WEBHOOK, b"x" * (MAX_BODY_BYTES + 1)).status == 413

    @pytest.mark.parametrize("name", ["alice", "ALICE", "Alice"])
    def test_a_name_in_any_case_is_the_users(self, port: AdminPort, name: str) -> None:
        assert hook(port, record("delete-user", posted={"owner": "acme", "name": name})).told["revoked"] == 1
        assert refused_in(port, 0)
        assert not refused_in(port, 0, name="alicia", subject="another")

    def test_a_token_without_organization_and_name_ends_with_its_subject(self, port: AdminPort) -> None:
        hook(port, record("delete-user", posted={"owner": "acme", "name": "alice", "id": SUBJECT}))
        assert refused_in(port, 0, name="", organization="")
        assert refused_in(port, 0, name="before-the-rename")
        assert not refused_in(port, 0, name="", organization="rival")

    def test_a_flood_of_events_leaves_room_for_an_operator_and_loses_nobody(
        self, port: AdminPort, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        for name, value in (("MAX_OF_SOURCE", 40), ("MAX_OF_EVENTS", 60)):
            monkeypatch.setattr(bounds, name, value)
        monkeypatch.setattr(revocations, "MAX_REVOCATIONS", 70)
        for number in range(100):
            sent = record("delete-user", posted={"owner": "acme", "name": f"u{number}"}, name=f"record-{number}")
            assert hook(port, sent).status == 200
        assert hook(port, record("delete-user", posted={"owner": "acme", "name": "alice"})).status == 200
        assert refused_in(port, 0)
        assert "stand for several others" in caplog.text
        orders = [{"by": "jti", "value": f"j{number}"} for number in range(10)]
        assert port.order("POST", "/revocations", orders).status == 200
        (wide,) = [item for item in port.order("GET", "/revocations").told["revocations"] if item["source"] == "merged"]
        refused = port.order("DELETE", f"/revocations/{wide['id']}")
        assert (refused.status, "cannot be taken back" in refused.told["error"]) == (409, True)
        assert refused_in(port, 0)

    def test_what_could_not_be_kept_may_come_again(self, port: AdminPort, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(revocations, "MAX_REVOCATIONS", 0)
        sent = record("logout", organization="acme", user="alice")
        assert hook(port, sent).status == 503
        monkeypatch.setattr(revocations, "MAX_REVOCATIONS", 1)
        assert hook(port, sent).told["revoked"] == 1

    def test_a_flood_of_refusals_is_logged_once_in_a_while(
        self, port: AdminPort, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(20):
            hook(port, record("logout"), "x" * 40)
        assert len(caplog.records) == 1
        port.now += 11
        hook(port, record("logout"), "x" * 40)
        assert len(caplog.records) == 2
