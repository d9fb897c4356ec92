"""Code, PKCE and `resource` at the demo issuer, and clients that register themselves."""

from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from extauthz.demo.issuer import Application, DemoIssuer, Realm, demo_realm
from extauthz.demo.issuer.endpoints import AUTHORIZE, REGISTER, TOKEN
from extauthz.demo.issuer.realm import DEMO_CLIENT, DEMO_MACHINE
from tests.unit.demo.issuer_client import (
    REDIRECT,
    RESOURCE,
    VERIFIER,
    allow,
    authorization,
    claims_of,
    redeem,
)


class TestAuthorizationCode:
    def test_code_pkce_and_resource_give_a_token_for_the_resource(self, http: httpx.Client) -> None:
        got = allow(http)
        assert got["state"] == "st&te"
        answer = redeem(http, got["code"])
        assert answer.headers["cache-control"] == "no-store"
        document = answer.json()
        assert (document["token_type"], document["scope"]) == ("Bearer", "weather:read")
        assert document["id_token"] == document["access_token"]
        assert claims_of(document["access_token"])["aud"] == [RESOURCE]

    def test_without_a_resource_the_audience_is_the_client(self, http: httpx.Client) -> None:
        answer = redeem(http, allow(http, resource="")["code"], resource="")
        assert claims_of(answer.json()["access_token"])["aud"] == [DEMO_CLIENT]

    @pytest.mark.parametrize(
        ("changes", "description"),
        [
            ({"resource": RESOURCE + "/"}, f"expected: [{RESOURCE}], got: [{RESOURCE}/]"),
            ({"resource": ""}, "got: []"),
            ({"code_verifier": VERIFIER + "x"}, "verifier is invalid"),
            ({"code_verifier": ""}, "verifier is invalid"),
            ({"redirect_uri": "http://127.0.0.1:1/callback"}, "redirect_uri does not match"),
            ({"client_id": DEMO_MACHINE}, "is invalid"),
        ],
        ids=["other resource", "no resource", "other verifier", "no verifier", "other redirect", "other client"],
    )
    def test_a_token_request_that_does_not_fit_is_an_invalid_grant(
        self, http: httpx.Client, changes: dict[str, str], description: str
    ) -> None:
        answer = redeem(http, allow(http)["code"], **changes)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
        assert description in answer.json()["error_description"]

    def test_a_code_works_once(self, http: httpx.Client) -> None:
        code = allow(http)["code"]
        assert redeem(http, code).status_code == 200
        assert redeem(http, code).json()["error"] == "invalid_grant"

    def test_of_a_repeated_resource_the_first_counts(self, http: httpx.Client) -> None:
        code = allow(http)["code"]
        body = httpx.QueryParams(
            [
                ("grant_type", "authorization_code"),
                ("client_id", DEMO_CLIENT),
                ("code", code),
                ("code_verifier", VERIFIER),
                ("resource", RESOURCE),
                ("resource", "http://other.test/mcp"),
            ]
        )
        form = {"content-type": "application/x-www-form-urlencoded"}
        assert http.post(TOKEN, content=str(body), headers=form).status_code == 200

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"code_challenge": ""}, "invalid_request"),
            ({"code_challenge_method": "plain"}, "invalid_request"),
            ({"response_type": "token"}, "unsupported_response_type"),
            ({"resource": "no-scheme"}, "invalid_target"),
        ],
    )
    def test_a_faulty_request_is_sent_back_to_the_client(
        self, http: httpx.Client, changes: dict[str, str], error: str
    ) -> None:
        location = http.get(AUTHORIZE, params=authorization(**changes)).headers["location"]
        assert location.startswith(REDIRECT + "?")
        assert parse_qs(urlsplit(location).query)["error"] == [error]

    @pytest.mark.parametrize(
        "changes",
        [
            {"client_id": "nobody"},
            {"redirect_uri": "https://evil.test/callback"},
            {"redirect_uri": "http://127.0.0.1:40001/other"},
            {"redirect_uri": "https://127.0.0.1:40001/callback"},
            {"redirect_uri": "http://[broken"},
            {"redirect_uri": ""},
        ],
    )
    def test_nobody_is_sent_to_an_address_that_is_not_registered(
        self, http: httpx.Client, changes: dict[str, str]
    ) -> None:
        for answer in (
            http.get(AUTHORIZE, params=authorization(**changes)),
            http.post(AUTHORIZE, data=authorization(**changes) | {"decision": "allow", "user": "alice"}),
        ):
            assert answer.status_code == 400
            assert "location" not in answer.headers

    def test_saying_no_is_told_to_the_client(self, http: httpx.Client) -> None:
        answer = http.post(AUTHORIZE, data=authorization() | {"decision": "deny", "user": "alice"})
        assert parse_qs(urlsplit(answer.headers["location"]).query)["error"] == ["access_denied"]

    def test_the_page_names_client_scopes_and_people_and_escapes_what_the_client_wrote(
        self, http: httpx.Client
    ) -> None:
        answer = http.get(AUTHORIZE, params=authorization(scope='weather:read "><script>'))
        assert answer.status_code == 200
        assert "not for production" in answer.text
        assert "acme/alice" in answer.text
        assert "rival/mallory" in answer.text
        assert "weather:read" in answer.text
        assert "<script>" not in answer.text
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]

    def test_an_issuer_that_consents_answers_at_once_in_the_name_hinted(self) -> None:
        with (
            DemoIssuer(demo_realm("ES256"), consents=True) as issuer,
            httpx.Client(base_url=issuer.url, trust_env=False) as http,
        ):
            answer = http.get(AUTHORIZE, params=authorization(login_hint="bob"))
            code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
            assert claims_of(redeem(http, code).json()["access_token"])["name"] == "bob"

    def test_scopes_of_an_application_that_lists_them_are_a_limit(self) -> None:
        base = demo_realm("ES256")
        realm = Realm(
            users=base.users,
            applications=[
                Application(name="app", client_id="c", redirect_uris=("https://c.test/cb",), scopes=("weather:read",))
            ],
            certificates=base.certificates,
        )
        with DemoIssuer(realm) as issuer, httpx.Client(base_url=issuer.url, trust_env=False) as http:
            parameters = authorization(client_id="c", redirect_uri="https://c.test/cb", scope="weather:write")
            location = http.get(AUTHORIZE, params=parameters).headers["location"]
            assert parse_qs(urlsplit(location).query)["error"] == ["invalid_scope"]


class TestRegistration:
    METADATA: ClassVar[dict[str, Any]] = {
        "client_name": "A client",
        "redirect_uris": ["http://localhost:3000/callback"],
    }

    def test_a_registered_client_gets_a_token(self, http: httpx.Client) -> None:
        answer = http.post(REGISTER, json=self.METADATA | {"token_endpoint_auth_method": "none"})
        assert answer.status_code == 201
        client = answer.json()
        assert client["token_endpoint_auth_method"] == "none"
        redirect = "http://localhost:3000/callback"
        code = allow(http, client_id=client["client_id"], redirect_uri=redirect)["code"]
        token = redeem(http, code, client_id=client["client_id"], redirect_uri=redirect).json()["access_token"]
        assert claims_of(token)["azp"] == client["client_id"]

    def test_a_client_with_its_secret_in_basic_gets_a_token(self, http: httpx.Client) -> None:
        client = http.post(REGISTER, json=self.METADATA).json()
        redirect = "http://localhost:3000/callback"
        code = allow(http, client_id=client["client_id"], redirect_uri=redirect)["code"]
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER, "resource": RESOURCE}
        answer = http.post(TOKEN, data=form, auth=(client["client_id"], client["client_secret"]))
        assert answer.status_code == 200

    def test_an_organization_that_is_not_open_refuses(self, http: httpx.Client) -> None:
        answer = http.post(REGISTER + "?organization=rival", json=self.METADATA)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")

    @pytest.mark.parametrize(
        "uris", [None, [], "http://localhost/cb", ["javascript:alert(1)"], ["http://[broken"], [7], ["http://a"] * 21]
    )
    def test_redirect_uris_must_be_web_addresses(self, http: httpx.Client, uris: object) -> None:
        answer = http.post(REGISTER, json={"redirect_uris": uris})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_redirect_uri")

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"x":"' + b"x" * 70_000 + b'"}', b"\xff"])
    def test_a_body_that_is_no_object_is_refused(self, http: httpx.Client, body: bytes) -> None:
        answer = http.post(REGISTER, content=body)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")
