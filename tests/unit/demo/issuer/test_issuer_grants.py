"""The demo issuer's other grants, introspection and logout, and the issuer as a program."""

import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from extauthz.demo.issuer import DemoIssuer, demo_realm
from extauthz.demo.issuer.endpoints import INTROSPECT, LOGOUT, TOKEN
from extauthz.demo.issuer.realm import DEMO_CLIENT, DEMO_MACHINE
from extauthz.demo.processes import Program, ProgramError, answers_http, free_port
from tests.unit.demo.issuer_client import (
    RESOURCE,
    allow,
    claims_of,
    redeem,
    secret_of,
)


class TestOtherGrants:
    def test_client_credentials_need_the_secret_and_ignore_the_resource(
        self, shared_issuer: DemoIssuer, http: httpx.Client
    ) -> None:
        form = {"grant_type": "client_credentials", "scope": "weather:read", "resource": RESOURCE}
        secret = secret_of(shared_issuer, DEMO_MACHINE)
        answer = http.post(TOKEN, data=form, auth=(DEMO_MACHINE, secret)).json()
        assert answer["refresh_token"] == ""
        assert claims_of(answer["access_token"])["aud"] == [DEMO_MACHINE]
        assert claims_of(answer["access_token"])["sub"] == "admin/app-ops"

    @pytest.mark.parametrize("secret", ["", "wrong"])
    def test_client_credentials_without_the_secret_are_an_invalid_client(self, http: httpx.Client, secret: str) -> None:
        form = {"grant_type": "client_credentials", "client_id": DEMO_MACHINE, "client_secret": secret}
        answer = http.post(TOKEN, data=form)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert answer.headers["www-authenticate"].startswith("Basic")

    def test_a_refresh_rotates_and_keeps_resource_and_scope(self, http: httpx.Client) -> None:
        first = redeem(http, allow(http)["code"]).json()
        form = {"grant_type": "refresh_token", "client_id": DEMO_CLIENT, "refresh_token": first["refresh_token"]}
        second = http.post(TOKEN, data=form).json()
        claims = claims_of(second["access_token"])
        assert (claims["aud"], claims["scope"]) == ([RESOURCE], "weather:read")
        assert claims["jti"] != claims_of(first["access_token"])["jti"]
        assert http.post(TOKEN, data=form).json()["error"] == "invalid_grant"

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"scope": "weather:read weather:write"}, "invalid_scope"),
            ({"resource": "http://other.test/mcp"}, "invalid_grant"),
            ({"client_id": DEMO_MACHINE}, "invalid_grant"),
        ],
        ids=["wider scope", "other resource", "other client"],
    )
    def test_a_refresh_cannot_ask_for_more(self, http: httpx.Client, changes: dict[str, str], error: str) -> None:
        first = redeem(http, allow(http)["code"]).json()
        form = {"grant_type": "refresh_token", "client_id": DEMO_CLIENT, "refresh_token": first["refresh_token"]}
        assert http.post(TOKEN, data=form | changes).json()["error"] == error

    def test_an_access_token_is_no_refresh_token(self, http: httpx.Client) -> None:
        first = redeem(http, allow(http)["code"]).json()
        form = {"grant_type": "refresh_token", "client_id": DEMO_CLIENT, "refresh_token": first["access_token"]}
        assert http.post(TOKEN, data=form).json()["error"] == "invalid_grant"

    def test_other_grants_are_unsupported(self, http: httpx.Client) -> None:
        answer = http.post(TOKEN, data={"grant_type": "password", "client_id": DEMO_CLIENT})
        assert answer.json()["error"] == "unsupported_grant_type"


class TestIntrospectionAndLogout:
    def introspect(self, issuer: DemoIssuer, http: httpx.Client, token: str, **form: str) -> Any:
        auth = (DEMO_CLIENT, secret_of(issuer, DEMO_CLIENT))
        return http.post(INTROSPECT, data={"token": token} | form, auth=auth).json()

    def test_an_active_token_is_described_as_casdoor_does(self, shared_issuer: DemoIssuer, http: httpx.Client) -> None:
        token = shared_issuer.token("alice", resource=RESOURCE, scopes=["weather:read"]).access_token
        answer = self.introspect(shared_issuer, http, token, token_type_hint="access_token")
        assert answer.keys() == {
            *("active", "scope", "client_id", "username", "token_type"),
            *("exp", "iat", "nbf", "sub", "aud", "iss", "jti"),
        }
        assert (answer["active"], answer["username"], answer["aud"]) == (True, "alice", [RESOURCE])

    @pytest.mark.parametrize(
        ("kind", "hint", "active"),
        [
            ("access", "access_token", True),
            ("access", "refresh_token", False),
            ("refresh", "refresh_token", True),
            ("refresh", "access_token", False),
            ("access", "saml", False),
        ],
    )
    def test_the_hint_decides_what_is_looked_up(
        self, shared_issuer: DemoIssuer, http: httpx.Client, kind: str, hint: str, active: bool
    ) -> None:
        pair = shared_issuer.token()
        token = pair.access_token if kind == "access" else pair.refresh_token
        assert self.introspect(shared_issuer, http, token, token_type_hint=hint)["active"] is active

    def test_expired_unknown_and_logged_out_tokens_are_inactive(
        self, shared_issuer: DemoIssuer, http: httpx.Client
    ) -> None:
        expired = shared_issuer.token(lifetime_s=-1).access_token
        ended = shared_issuer.token().access_token
        assert http.get(LOGOUT, params={"id_token_hint": ended}).json()["data"] == "Affected"
        revoked = shared_issuer.token().access_token
        assert shared_issuer.revoke(revoked)
        for token in (expired, ended, revoked, "garbage"):
            assert self.introspect(shared_issuer, http, token) == {"active": False}

    def test_a_refresh_makes_the_old_access_token_inactive(self, shared_issuer: DemoIssuer, http: httpx.Client) -> None:
        first = redeem(http, allow(http)["code"]).json()
        form = {"grant_type": "refresh_token", "client_id": DEMO_CLIENT, "refresh_token": first["refresh_token"]}
        http.post(TOKEN, data=form)
        assert self.introspect(shared_issuer, http, first["access_token"]) == {"active": False}

    @pytest.mark.parametrize(
        ("form", "status", "error"),
        [
            ({}, 400, "invalid_request"),
            ({"client_id": DEMO_CLIENT, "client_secret": "wrong"}, 401, "invalid_client"),
            ({"client_id": "nobody", "client_secret": "x"}, 401, "invalid_client"),
        ],
    )
    def test_a_caller_without_credentials_learns_nothing(
        self, shared_issuer: DemoIssuer, http: httpx.Client, form: dict[str, str], status: int, error: str
    ) -> None:
        answer = http.post(INTROSPECT, data={"token": shared_issuer.token().access_token} | form)
        assert (answer.status_code, answer.json()) == (status, {"error": error})


class TestByItself:
    def arguments(self, port: int) -> list[str]:
        return [sys.executable, "-m", "extauthz.demo.issuer", "--port", str(port), "--algorithm", "ES256"]

    def test_it_runs_as_a_program_and_says_that_it_is_no_issuer_for_production(self, tmp_path: Path) -> None:
        port = free_port()
        ready = answers_http(f"http://127.0.0.1:{port}/.well-known/openid-configuration")
        with Program("issuer", self.arguments(port), log=tmp_path / "log", ready=ready) as program:
            pass
        assert program.stop() == 0
        assert "NOT FOR PRODUCTION" in program.output()

    def test_a_taken_port_is_one_line_that_names_the_option(self, own_issuer: DemoIssuer, tmp_path: Path) -> None:
        program = Program("issuer", self.arguments(urlsplit(own_issuer.url).port or 0), log=tmp_path / "log")
        program.start()
        assert program.wait(30) == 1
        (line,) = program.output().splitlines()
        assert "Address already in use" in line
        assert "--port" in line

    def test_a_taken_port_is_an_error_in_a_test_too(self, own_issuer: DemoIssuer) -> None:
        with pytest.raises(ProgramError, match="cannot listen"):
            DemoIssuer(demo_realm("ES256"), port=urlsplit(own_issuer.url).port or 0).start()
