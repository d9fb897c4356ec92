"""The demo issuer's documents, keys and tokens look like Casdoor's, and go wrong like Casdoor's when told to."""

import json
from pathlib import Path

import httpx
import jwt
import pytest

from extauthz.demo.issuer import DemoIssuer, JwksAnswer
from extauthz.demo.issuer.endpoints import JWKS
from extauthz.demo.issuer.realm import DEMO_CLIENT, DEMO_MACHINE
from tests.unit.demo.issuer_client import (
    RESOURCE,
    claims_of,
)

CORPUS = Path(__file__).parents[3] / "data" / "casdoor" / "corpus.json"


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
