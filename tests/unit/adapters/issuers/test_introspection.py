"""Asking a real HTTP server on loopback about tokens."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from extauthz.adapters.issuers import introspection
from extauthz.adapters.issuers.discovery import Discovery
from extauthz.adapters.issuers.introspection import OPEN_S, TELL_EVERY_S, IntrospectionHttp
from extauthz.pdp.policy import Introspection, Issuer
from extauthz.service.needs import Introspected
from tests.support.http_issuer import HttpIssuer, self_signed

SECRET = "TOPSECRET-of-the-client"
TOKEN = "TOPSECRET.access.token"
GENEROUS_S = 10.0
YES = {"active": True, "token_type": "Bearer", "sub": "alice"}

ACTIVE, INACTIVE, UNAVAILABLE = Introspected


@pytest.fixture
def server() -> Iterator[HttpIssuer]:
    with HttpIssuer() as running:
        yield running


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def of(server: HttpIssuer, *, endpoint: str | None = None) -> Issuer:
    return Issuer(
        name="casdoor",
        issuer=server.url,
        jwks_uri="",
        introspection=Introspection(
            client_id="gw",
            client_secret=SECRET,
            endpoint=f"{server.url}/introspect" if endpoint is None else endpoint,
        ),
    )


class Listener(logging.Handler):
    def __init__(self, told: list[str]) -> None:
        super().__init__()
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        self._told.append(record.getMessage())


class Asker:
    def __init__(self, *, total_s: float = GENEROUS_S, ca_file: str = "") -> None:
        self.now = time.monotonic()
        discovery = Discovery(clock=lambda: self.now, ca_file=ca_file)
        self.adapter = IntrospectionHttp(discovery=discovery, clock=lambda: self.now, total_s=total_s)
        self.told: list[str] = []
        """What the operator's log says."""
        self._listener = Listener(self.told)
        logging.getLogger("extauthz.issuers").addHandler(self._listener)
        logging.getLogger("extauthz.issuers").setLevel(logging.INFO)

    async def close(self) -> None:
        logging.getLogger("extauthz.issuers").removeHandler(self._listener)
        await self.adapter.close()

    async def ask(self, issuer: Issuer, token: str = TOKEN, caller: str = "alice") -> Introspected:
        return await self.adapter.introspect(issuer, token, caller)


def with_asker(body: Callable[[Asker], Coroutine[Any, Any, None]], **options: Any) -> None:
    async def main() -> None:
        asker = Asker(**options)
        try:
            await body(asker)
        finally:
            await asker.close()

    asyncio.run(main())


def word(issuer: Issuer, **options: Any) -> tuple[Introspected, str]:
    """The issuer's word, and the fault that the operator sees."""
    said: list[tuple[Introspected, str]] = []

    async def body(asker: Asker) -> None:
        answer = await asker.ask(issuer)
        said.append((answer, asker.told[-1] if asker.told else ""))

    with_asker(body, **options)
    return said[0]


# Ordinary.


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (YES, ACTIVE),
        ({"active": True}, ACTIVE),
        ({"active": True, "token_type": "bearer"}, ACTIVE),
        ({"active": False}, INACTIVE),
        ({"active": False, "token_type": "Bearer", "exp": 1}, INACTIVE),
    ],
)
def test_a_boolean_active_is_the_issuers_word(
    server: HttpIssuer, document: dict[str, Any], expected: Introspected
) -> None:
    server.answer("/introspect", body=document)
    assert word(of(server)) == (expected, "")


@pytest.mark.parametrize(
    "document",
    [
        {"active": True, "token_type": "DPoP", "cnf": {"jkt": "x"}},
        {"active": True, "token_type": "DPoP"},
        {"active": True, "token_type": "Bearer", "cnf": {"x5t#S256": "x"}},
        {"active": True, "token_type": 5},
        {"active": True, "token_type": None},
    ],
)
def test_a_token_bound_to_a_key_is_not_active_as_a_bearer_token(server: HttpIssuer, document: dict[str, Any]) -> None:
    server.answer("/introspect", body=document)
    assert word(of(server))[0] is INACTIVE


def test_the_request_is_a_form_with_hint_and_credentials_and_nothing_in_the_headers(server: HttpIssuer) -> None:
    """casdoor.md §7.1: no hint finds refresh tokens active, Basic opens an administrator's session."""
    server.answer("/introspect", body=YES)
    word(of(server))
    (seen,) = server.seen
    assert seen.method == "POST"
    assert seen.path == "/introspect"
    assert seen.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(seen.body.decode(), strict_parsing=True) == {
        "token": [TOKEN],
        "token_type_hint": ["access_token"],
        "client_id": ["gw"],
        "client_secret": [SECRET],
    }
    assert not {"authorization", "cookie"} & set(seen.headers)


def test_a_session_cookie_is_never_sent_back(server: HttpIssuer) -> None:
    server.answer("/introspect", body=YES, headers={"set-cookie": "casdoor_session_id=admin; Path=/"})

    async def body(asker: Asker) -> None:
        for _ in range(3):
            assert await asker.ask(of(server)) is ACTIVE

    with_asker(body)
    assert ["cookie" in seen.headers for seen in server.seen] == [False] * 3


def test_the_endpoint_is_found_by_discovery_and_remembered(server: HttpIssuer) -> None:
    document = {"issuer": server.url, "introspection_endpoint": f"{server.url}/found"}
    server.answer("/.well-known/openid-configuration", body=document)
    server.answer("/found", body=YES)

    async def body(asker: Asker) -> None:
        for _ in range(3):
            assert await asker.ask(of(server, endpoint="")) is ACTIVE

    with_asker(body)
    assert server.count("/.well-known/openid-configuration") == 1


def test_https_is_verified(tmp_path: Path) -> None:
    ca, context = self_signed(tmp_path)
    with HttpIssuer(tls=context) as server:
        server.answer("/introspect", body=YES)
        said, fault = word(of(server))
        assert said is UNAVAILABLE
        assert "give its CA in SSL_CERT_FILE" in fault
        assert server.seen == []
        assert word(of(server), ca_file=str(ca)) == (ACTIVE, "")


def test_a_renewed_ca_file_is_read_after_a_failure(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    ca, _ = self_signed(old)
    renewed, context = self_signed(new)
    with HttpIssuer(tls=context) as server:
        server.answer("/introspect", body=YES)

        async def body(asker: Asker) -> None:
            assert await asker.ask(of(server)) is UNAVAILABLE
            ca.write_bytes(renewed.read_bytes())
            assert await asker.ask(of(server)) is ACTIVE

        with_asker(body, ca_file=str(ca))


# What is no answer.

NO_ANSWERS: dict[str, dict[str, Any]] = {
    "Casdoor's error with status 200": {"body": {"status": "error", "msg": "x", "data": None}},
    "active as a word": {"body": {"active": "true"}},
    "active as a number": {"body": {"active": 1}},
    "active null": {"body": {"active": None}},
    "active twice": {"body": b'{"active":false,"active":true}'},
    "Active": {"body": {"Active": True}},
    "a list": {"body": [True]},
    "true": {"body": b"true"},
    "a web page": {"body": b"<html>"},
    "nothing": {"body": b""},
    "invalid_client": {"status": 401, "body": {"error": "invalid_client", "active": True}},
    "status 500": {"status": 500, "body": YES},
    "status 201": {"status": 201, "body": YES},
    "a redirect": {"status": 307, "body": YES, "headers": {"location": "/introspect"}},
    "too large": {"body": {"active": True, "x": "x" * 100_000}},
    "unreadable": {"body": b"\x1f\x8b", "headers": {"content-encoding": "gzip"}},
}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_anything_but_a_boolean_active_with_status_200_is_unavailable(server: HttpIssuer, name: str) -> None:
    answer = dict(NO_ANSWERS[name])
    if isinstance(answer["body"], list):
        answer["body"] = json.dumps(answer["body"]).encode()
    server.answer("/introspect", **answer)
    said, fault = word(of(server))
    assert said is UNAVAILABLE
    assert ": " in fault
    assert SECRET not in fault
    assert TOKEN not in fault


def test_an_issuer_that_hangs_is_unavailable_in_time(server: HttpIssuer) -> None:
    server.answer("/introspect", hang=True)
    said, fault = word(of(server), total_s=0.2)
    assert said is UNAVAILABLE
    assert "no whole answer within 0.2 s" in fault


def test_an_issuer_without_introspection_is_unavailable(server: HttpIssuer) -> None:
    assert word(replace(of(server), introspection=None))[0] is UNAVAILABLE


def test_the_secret_goes_to_no_other_origin_that_discovery_names(server: HttpIssuer) -> None:
    with HttpIssuer() as thief:
        document = {"issuer": server.url, "introspection_endpoint": f"{thief.url}/introspect"}
        server.answer("/.well-known/openid-configuration", body=document)
        thief.answer("/introspect", body=YES)
        said, _ = word(of(server, endpoint=""))
        assert said is UNAVAILABLE
        assert thief.seen == []


def test_the_secret_goes_to_no_other_public_host_that_discovery_names() -> None:
    from extauthz.adapters.issuers.http_client import HttpFault

    async def resolver(host: str, port: int) -> tuple[str, ...]:
        return ("93.184.216.34",)

    async def main() -> None:
        with HttpIssuer() as server:
            document = {"issuer": server.url, "introspection_endpoint": "https://thief.example/introspect"}
            server.answer("/.well-known/openid-configuration", body=document)
            discovery = Discovery(clock=time.monotonic, resolver=resolver)
            with pytest.raises(HttpFault, match="no client secret is sent unasked"):
                await discovery.introspection_target(of(server, endpoint=""))

    asyncio.run(main())


@pytest.mark.parametrize("endpoint", ["https://user:pw@127.0.0.1/i", "file:///etc/passwd"])
def test_an_endpoint_that_is_no_plain_url_is_not_asked(server: HttpIssuer, endpoint: str) -> None:
    said, fault = word(of(server, endpoint=endpoint))
    assert said is UNAVAILABLE
    assert "no plain http" in fault


# The breaker.


def test_an_issuer_that_is_down_is_left_alone_then_tried_with_one_token_at_a_time(server: HttpIssuer) -> None:
    server.answer("/introspect", status=503, body=b"")

    async def body(asker: Asker) -> None:
        for _ in range(20):
            assert await asker.ask(of(server)) is UNAVAILABLE
        assert len(server.seen) == 5
        asker.now += OPEN_S
        answers = await asyncio.gather(*(asker.ask(of(server)) for _ in range(10)))
        assert answers == [UNAVAILABLE] * 10
        assert len(server.seen) == 6
        server.answer("/introspect", body=YES)
        asker.now += OPEN_S
        assert await asker.ask(of(server)) is ACTIVE
        assert await asyncio.gather(*(asker.ask(of(server)) for _ in range(10))) == [ACTIVE] * 10

    with_asker(body)


def test_a_token_over_which_the_issuer_stumbles_does_not_stop_the_others(server: HttpIssuer) -> None:
    """casdoor.md §2.5: a JWT-Custom token without a user field makes Casdoor answer 500."""

    async def body(asker: Asker) -> None:
        for _ in range(50):
            server.answer("/introspect", status=500, body=b"")
            assert await asker.ask(of(server)) is UNAVAILABLE
        server.answer("/introspect", body=YES)
        assert await asker.ask(of(server)) is ACTIVE

    with_asker(body)


ODD: dict[str, dict[str, Any]] = {
    "64 KB and more": {"body": b" " * 70_000},
    "a redirect": {"status": 302, "headers": {"location": "https://elsewhere.example"}},
    "bad gateway": {"status": 502, "body": b""},
    "busy": {"status": 429, "body": b""},
    "silence": {"hang": True},
    "an encoding that nobody asked for": {"headers": {"content-encoding": "br"}, "body": b"x"},
}


@pytest.mark.parametrize("name", ODD)
def test_odd_answers_about_one_callers_tokens_stop_that_caller_alone(server: HttpIssuer, name: str) -> None:
    async def body(asker: Asker) -> None:
        server.answer("/introspect", **ODD[name])
        for number in range(6):
            assert await asker.ask(of(server), token=f"{TOKEN}-{number}", caller="mallory") is UNAVAILABLE
        assert server.count("/introspect") == 5
        server.answer("/introspect", body=YES)
        for _ in range(3):
            assert await asker.ask(of(server), caller="alice") is ACTIVE
            assert await asker.ask(of(server), caller="mallory") is UNAVAILABLE
        assert server.count("/introspect") == 8
        asker.now += OPEN_S
        assert await asker.ask(of(server), caller="mallory") is ACTIVE

    with_asker(body, total_s=0.2 if "hang" in ODD[name] else GENEROUS_S)


@pytest.mark.parametrize("name", ["a redirect", "bad gateway"])
def test_odd_answers_to_callers_who_are_strangers_stop_all(server: HttpIssuer, name: str) -> None:
    async def body(asker: Asker) -> None:
        server.answer("/introspect", **ODD[name])
        for number in range(10):
            assert await asker.ask(of(server), caller=f"caller-{number}") is UNAVAILABLE
        assert server.count("/introspect") == 5
        server.answer("/introspect", body=YES)
        assert await asker.ask(of(server), caller="alice") is UNAVAILABLE
        asker.now += OPEN_S
        assert await asker.ask(of(server), caller="alice") is ACTIVE

    with_asker(body)


def test_an_endpoint_that_cannot_be_reached_stops_all_whoever_asked(
    server: HttpIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpIssuer() as other:
        gone = of(server, endpoint=f"{other.url}/introspect")

    async def body(asker: Asker) -> None:
        for _ in range(5):
            assert await asker.ask(gone, caller="mallory") is UNAVAILABLE
        (told,) = asker.told
        assert "cannot connect" in told
        monkeypatch.setattr(introspection, "exchange", unreachable)
        assert await asker.ask(gone, caller="alice") is UNAVAILABLE

    async def unreachable(*_: object, **__: object) -> None:
        raise AssertionError("nobody asks while the breaker is open")

    with_asker(body)


def test_one_issuers_failure_is_not_anothers(server: HttpIssuer) -> None:
    with HttpIssuer() as well:
        server.answer("/introspect", status=503, body=b"")
        well.answer("/introspect", body=YES)

        async def body(asker: Asker) -> None:
            for _ in range(10):
                assert await asker.ask(of(server)) is UNAVAILABLE
                assert await asker.ask(replace(of(well), name="well")) is ACTIVE
            assert [told.split(" ", 2)[:2] for told in asker.told] == [["issuer", "casdoor"]]

        with_asker(body)


def test_the_log_says_when_an_issuer_begins_to_fail_and_when_it_answers_again(server: HttpIssuer) -> None:
    async def body(asker: Asker) -> None:
        for _ in range(3):
            server.answer("/introspect", status=500, body=b"")
            for _ in range(3):
                assert await asker.ask(of(server)) is UNAVAILABLE
            server.answer("/introspect", body=YES)
            for _ in range(3):
                assert await asker.ask(of(server)) is ACTIVE
            asker.now += TELL_EVERY_S / 2
        assert [told.split(" about")[0] for told in asker.told] == [
            "issuer casdoor does not answer",
            "issuer casdoor answers",
        ] * 2
        assert "status 500" in asker.told[0]
        assert SECRET not in "".join(asker.told)
        assert TOKEN not in "".join(asker.told)

    with_asker(body)


def test_neither_secret_nor_token_is_logged(server: HttpIssuer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.answer("/introspect", status=500, body=b"")
    said, fault = word(of(server))
    server.answer("/introspect", hang=True)
    word(of(server), total_s=0.1)
    assert said is UNAVAILABLE
    assert "TOPSECRET" not in f"{caplog.text} {fault} {of(server)!r}"
