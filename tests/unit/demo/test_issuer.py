"""The demo issuer speaks what Casdoor speaks: shape of documents and tokens, flows, and what goes wrong."""

import base64
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from extauthz.demo.issuer import Application, DemoIssuer, JwksAnswer, Realm, demo_realm
from extauthz.demo.issuer.endpoints import AUTHORIZE, INTROSPECT, JWKS, LOGOUT, REGISTER, TOKEN
from extauthz.demo.issuer.realm import DEMO_CLIENT, DEMO_MACHINE
from extauthz.demo.processes import Program, ProgramError, answers_http, free_port

CORPUS = Path(__file__).parents[2] / "data" / "casdoor" / "corpus.json"
RESOURCE = "http://127.0.0.1:8080/weather/mcp"
REDIRECT = "http://127.0.0.1:40001/callback"
VERIFIER = "a-verifier-that-is-long-enough-to-be-one-by-rfc-7636"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


@pytest.fixture(scope="module")
def shared_issuer() -> Iterator[DemoIssuer]:
    with DemoIssuer(demo_realm("ES256")) as issuer:
        yield issuer


@pytest.fixture
def own_issuer() -> Iterator[DemoIssuer]:
    with DemoIssuer(demo_realm("ES256")) as issuer:
        yield issuer


@pytest.fixture
def http(shared_issuer: DemoIssuer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared_issuer.url, trust_env=False) as client:
        yield client


def authorization(**changes: str) -> dict[str, str]:
    parameters = {
        "client_id": DEMO_CLIENT,
        "response_type": "code",
        "redirect_uri": REDIRECT,
        "scope": "weather:read",
        "state": "st&te",
        "resource": RESOURCE,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    } | changes
    return {name: value for name, value in parameters.items() if value}


def allow(http: httpx.Client, user: str = "acme/alice", **changes: str) -> dict[str, str]:
    """What the client gets back when a person says yes."""
    answer = http.post(AUTHORIZE, data=authorization(**changes) | {"decision": "allow", "user": user})
    assert answer.status_code == 302, answer.text
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def redeem(http: httpx.Client, code: str, **changes: str) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "client_id": DEMO_CLIENT,
        "code": code,
        "code_verifier": VERIFIER,
        "redirect_uri": REDIRECT,
        "resource": RESOURCE,
    } | changes
    return http.post(TOKEN, data={name: value for name, value in form.items() if value})


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def secret_of(issuer: DemoIssuer, client_id: str) -> str:
    application = issuer.realm.application(client_id)
    assert application is not None
    return application.client_secret


class TestDiscovery:
    @pytest.mark.parametrize("document", ["openid-configuration", "oauth-authorization-server"])
    def test_both_documents_name_the_issuer_and_casdoors_paths(
        self, shared_issuer: DemoIssuer, http: httpx.Client, document: str
    ) -> None:
        found = http.get(f"/.well-known/{document}").json()
        assert found["issuer"] == shared_issuer.url
        assert found["authorization_endpoint"] == shared_issuer.url + "/login/oauth/authorize"
        assert found["token_endpoint"] == shared_issuer.url + "/api/login/oauth/access_token"
        assert found["introspection_endpoint"] == shared_issuer.url + "/api/login/oauth/introspect"
        assert found["registration_endpoint"] == shared_issuer.url + "/api/oauth/register"
        assert found["jwks_uri"] == shared_issuer.url + "/.well-known/jwks"
        assert found["code_challenge_methods_supported"] == ["S256"]

    def test_an_applications_document_has_its_own_key_set_but_the_same_issuer(
        self, shared_issuer: DemoIssuer, http: httpx.Client
    ) -> None:
        found = http.get("/.well-known/app-demo/openid-configuration").json()
        assert found["issuer"] == shared_issuer.url
        assert found["jwks_uri"] == shared_issuer.url + "/.well-known/app-demo/jwks"

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/.well-known/jwks.json"),
            ("GET", "/.well-known/oauth-authorization-server/tenant"),
            ("GET", "/api/nothing"),
            ("POST", "/.well-known/openid-configuration"),
        ],
    )
    def test_what_it_does_not_have_is_answered_with_200_and_an_error(
        self, http: httpx.Client, method: str, path: str
    ) -> None:
        answer = http.request(method, path)
        assert (answer.status_code, answer.json()["msg"]) == (200, "Unauthorized operation")

    def test_a_request_to_another_host_name_is_refused(self, http: httpx.Client) -> None:
        """A web page that points its own name at 127.0.0.1 gets nothing (DNS rebinding)."""
        assert http.get(JWKS, headers={"host": "evil.test"}).status_code == 400

    @pytest.mark.parametrize(
        ("origin", "allowed"), [("http://localhost:6274", True), ("https://evil.test", False)], ids=["loopback", "web"]
    )
    def test_only_pages_of_this_machine_may_read_answers(self, http: httpx.Client, origin: str, allowed: bool) -> None:
        answer = http.get("/.well-known/openid-configuration", headers={"origin": origin})
        assert ("access-control-allow-origin" in answer.headers) is allowed


class TestKeys:
    def test_keys_look_like_casdoors(self, http: httpx.Client) -> None:
        (key,) = http.get(JWKS).json()["keys"]
        assert key.keys() == {"use", "kty", "kid", "alg", "crv", "x", "y", "x5c"}
        assert (key["kid"], key["alg"]) == ("cert-demo", "ES256")

    def test_rsa_is_the_default_and_has_no_private_member(self) -> None:
        with DemoIssuer() as issuer:
            (key,) = httpx.get(issuer.jwks_uri, trust_env=False).json()["keys"]
        assert key.keys() == {"use", "kty", "kid", "alg", "n", "e", "x5c"}
        assert (key["kty"], key["alg"]) == ("RSA", "RS256")

    def test_a_garbage_bearer_turns_the_key_set_into_an_error_with_status_200(self, http: httpx.Client) -> None:
        answer = http.get(JWKS, headers={"authorization": "Bearer garbage"})
        assert (answer.status_code, "keys" in answer.json()) == (200, False)

    def test_an_application_has_its_own_key_only_and_an_unknown_one_every_key(self, own_issuer: DemoIssuer) -> None:
        own_issuer.rotate_key("cert-two", "ES256")

        def kids(url: str) -> list[str]:
            return [key["kid"] for key in httpx.get(url, trust_env=False).json()["keys"]]

        assert kids(own_issuer.application_jwks_uri("app-demo")) == ["cert-two"]
        assert kids(own_issuer.application_jwks_uri("nobody")) == ["cert-two", "cert-demo"]
        assert kids(own_issuer.jwks_uri) == ["cert-two", "cert-demo"]

    def test_a_rotation_signs_with_the_new_key_and_keeps_the_old_one(self, own_issuer: DemoIssuer) -> None:
        own_issuer.rotate_key("cert-two", "ES384")
        header = jwt.get_unverified_header(own_issuer.token().access_token)
        assert (header["kid"], header["alg"]) == ("cert-two", "ES384")

    def test_a_key_replaced_in_place_keeps_its_name(self, own_issuer: DemoIssuer) -> None:
        before = httpx.get(own_issuer.jwks_uri, trust_env=False).json()["keys"][0]
        own_issuer.replace_key("cert-demo", "ES256")
        after = httpx.get(own_issuer.jwks_uri, trust_env=False).json()["keys"][0]
        assert before["kid"] == after["kid"]
        assert before["x"] != after["x"]

    def test_a_withdrawn_key_leaves_the_set(self, own_issuer: DemoIssuer) -> None:
        own_issuer.rotate_key("cert-two", "ES256")
        own_issuer.withdraw_key("cert-demo")
        assert [key["kid"] for key in httpx.get(own_issuer.jwks_uri, trust_env=False).json()["keys"]] == ["cert-two"]

    @pytest.mark.parametrize(
        ("answer", "status", "content_type"),
        [
            (JwksAnswer.ERROR_200, 200, "application/json"),
            (JwksAnswer.HTML, 200, "text/html"),
            (JwksAnswer.SERVER_ERROR, 500, ""),
            (JwksAnswer.EMPTY_SET, 200, "application/json"),
            (JwksAnswer.HUGE, 200, "application/json"),
            (JwksAnswer.REDIRECT, 302, ""),
        ],
    )
    def test_the_key_set_can_be_made_to_go_wrong(
        self, own_issuer: DemoIssuer, answer: JwksAnswer, status: int, content_type: str
    ) -> None:
        own_issuer.answer_jwks(answer)
        got = httpx.get(own_issuer.jwks_uri, trust_env=False)
        assert got.status_code == status
        assert got.headers.get("content-type", "").startswith(content_type)
        assert '"kid"' not in got.text
        own_issuer.answer_jwks(JwksAnswer.KEYS)
        assert httpx.get(own_issuer.jwks_uri, trust_env=False).json()["keys"]

    def test_the_key_set_can_hang(self, own_issuer: DemoIssuer) -> None:
        own_issuer.answer_jwks(JwksAnswer.HANG)
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(own_issuer.jwks_uri, timeout=0.3, trust_env=False)

    def test_fetches_are_counted(self, own_issuer: DemoIssuer) -> None:
        httpx.get(own_issuer.jwks_uri, trust_env=False)
        httpx.get(own_issuer.application_jwks_uri("app-demo"), trust_env=False)
        assert own_issuer.jwks_fetches == 2
        assert own_issuer.requests[JWKS] == 1

    def test_an_outage_begins_and_ends_at_the_same_address(self, own_issuer: DemoIssuer) -> None:
        own_issuer.stop()
        with pytest.raises(httpx.ConnectError):
            httpx.get(own_issuer.jwks_uri, trust_env=False)
        own_issuer.start()
        assert httpx.get(own_issuer.jwks_uri, trust_env=False).status_code == 200


class TestTokens:
    def test_a_persons_token_has_the_claims_of_jwt_custom(self, shared_issuer: DemoIssuer) -> None:
        token = shared_issuer.token("alice", resource=RESOURCE, scopes=["weather:read", "weather:write"]).access_token
        claims = claims_of(token)
        assert claims.keys() == {
            *("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "tokenType", "azp", "nonce", "scope"),
            *("owner", "name", "groups", "role_names"),
        }
        assert claims["iss"] == shared_issuer.url
        assert claims["aud"] == [RESOURCE]
        assert claims["azp"] == DEMO_CLIENT
        assert claims["scope"] == "weather:read weather:write"
        assert (claims["owner"], claims["name"]) == ("acme", "alice")
        assert claims["groups"] == ["acme/engineering"]
        assert claims["role_names"] == ["forecaster", "editor"]
        assert claims["tokenType"] == "access-token"
        assert claims["nbf"] == claims["iat"] < claims["exp"]
        assert claims["jti"].startswith("admin/")
        assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "cert-demo", "typ": "JWT"}

    def test_claims_have_the_types_of_recorded_ones(self, shared_issuer: DemoIssuer) -> None:
        recorded = json.loads(CORPUS.read_text(encoding="utf-8"))["tokens"]
        (theirs,) = (claims_of(each["token"]) for each in recorded if each["id"] == "mcp.resource.rw.access")
        ours = claims_of(shared_issuer.token(resource=RESOURCE).access_token)
        common = ours.keys() & theirs.keys()
        assert common == ours.keys() - {"role_names"}
        assert {name: type(ours[name]) for name in common} == {name: type(theirs[name]) for name in common}

    def test_the_signature_holds_under_the_published_key(self, shared_issuer: DemoIssuer, http: httpx.Client) -> None:
        key = jwt.PyJWK(http.get(JWKS).json()["keys"][0])
        token = shared_issuer.token(resource=RESOURCE).access_token
        assert jwt.decode(token, key, algorithms=["ES256"], audience=RESOURCE)["name"] == "alice"

    def test_a_machines_token_is_an_administrators(self, shared_issuer: DemoIssuer) -> None:
        claims = claims_of(shared_issuer.token(None, client_id=DEMO_MACHINE, resource=RESOURCE).access_token)
        assert (claims["owner"], claims["name"], claims["sub"]) == ("admin", "app-ops", "admin/app-ops")
        assert claims["aud"] == [DEMO_MACHINE]
        assert (claims["groups"], claims["role_names"]) == ([], None)

    def test_a_refresh_token_has_casdoors_fault(self, shared_issuer: DemoIssuer) -> None:
        """It says `access-token` like an access token; told apart by `TokenType` and the missing `kid`."""
        pair = shared_issuer.token(resource=RESOURCE)
        claims = claims_of(pair.refresh_token)
        assert (claims["tokenType"], claims["TokenType"]) == ("access-token", "refresh-token")
        assert "kid" not in jwt.get_unverified_header(pair.refresh_token)
        assert claims["jti"] == claims_of(pair.access_token)["jti"]

    def test_tests_can_ask_for_other_claims_and_a_short_life(self, shared_issuer: DemoIssuer) -> None:
        claims = claims_of(shared_issuer.token(lifetime_s=5, claims={"scope": None, "owner": "x"}).access_token)
        assert claims["exp"] - claims["iat"] == 5
        assert "scope" not in claims
        assert claims["owner"] == "x"

    def test_no_token_shows_in_a_repr(self, shared_issuer: DemoIssuer) -> None:
        pair = shared_issuer.token()
        assert pair.access_token not in repr(pair)
        assert pair.refresh_token not in repr(pair)

    def test_a_token_for_nobody_is_an_error(self, shared_issuer: DemoIssuer) -> None:
        with pytest.raises(LookupError):
            shared_issuer.token("nobody")


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
