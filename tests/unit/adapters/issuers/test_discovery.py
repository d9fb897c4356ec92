"""An issuer's own description of itself, from a real HTTP server; the good cases are in test_key_sets.py too."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from extauthz.adapters.issuers.discovery import Discovery, metadata_urls
from extauthz.adapters.issuers.http_client import HttpFault, Target
from extauthz.pdp.policy import Issuer
from tests.support.http_issuer import HttpIssuer, self_signed


@pytest.fixture
def server() -> Iterator[HttpIssuer]:
    with HttpIssuer() as running:
        yield running


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def metadata(server: HttpIssuer, **members: Any) -> dict[str, Any]:
    return {"issuer": server.url, "jwks_uri": f"{server.url}/jwks"} | members


def jwks_target(server: HttpIssuer) -> Target:
    issuer = Issuer(name="casdoor", issuer=server.url, jwks_uri="")
    return asyncio.run(Discovery(clock=time.monotonic).jwks_target(issuer))


def fault(server: HttpIssuer) -> str:
    with pytest.raises(HttpFault) as caught:
        jwks_target(server)
    return str(caught.value)


def test_the_key_set_is_where_the_issuers_own_document_says(server: HttpIssuer) -> None:
    server.answer("/.well-known/openid-configuration", body=metadata(server))
    assert jwks_target(server) == Target(url=f"{server.url}/jwks")


@pytest.mark.parametrize(
    ("issuer", "below", "before"),
    [
        ("https://a.test", "https://a.test/.well-known/openid-configuration", ""),
        ("https://a.test/", "https://a.test/.well-known/openid-configuration", ""),
        ("https://a.test:8443/x/y", "https://a.test:8443/x/y/.well-known/openid-configuration", "/x/y"),
        ("https://a.test/x/", "https://a.test/x/.well-known/openid-configuration", "/x"),
    ],
)
def test_a_document_is_looked_for_where_the_standards_put_it(issuer: str, below: str, before: str) -> None:
    home = below.partition("/.well-known")[0].removesuffix(before)
    assert metadata_urls(issuer) == (below, f"{home}/.well-known/oauth-authorization-server{before}")


METADATA: dict[str, tuple[Any, str]] = {
    "another issuer": ({"issuer": "https://evil.test", "jwks_uri": "https://evil.test/jwks"}, "equal byte for byte"),
    "no issuer": ({"jwks_uri": "https://evil.test/jwks"}, "no discovery document"),
    "a page": (b"<html>", "no discovery document"),
    "a list": (b"[]", "no discovery document"),
    "duplicate members": (b'{"issuer":"a","issuer":"b"}', "no discovery document"),
    "Casdoor's error": ({"status": "error", "msg": "Unauthorized operation"}, "no discovery document"),
}


@pytest.mark.parametrize("status", [201, 404, 500])
def test_a_document_with_another_status_than_200_is_a_failure(server: HttpIssuer, status: int) -> None:
    server.answer("/.well-known/openid-configuration", status=status, body=metadata(server))
    assert f"status {status}" in fault(server)


@pytest.mark.parametrize("name", METADATA)
def test_a_document_that_is_not_the_issuers_own_is_a_failure(server: HttpIssuer, name: str) -> None:
    document, says = METADATA[name]
    server.answer("/.well-known/openid-configuration", body=document)
    assert says in fault(server)


def test_after_a_document_of_another_issuer_no_other_place_is_tried(server: HttpIssuer) -> None:
    server.answer("/.well-known/openid-configuration", body=metadata(server, issuer="https://evil.test"))
    server.answer("/.well-known/oauth-authorization-server", body=metadata(server))
    assert "'https://evil.test'" in fault(server)


@pytest.mark.parametrize("jwks_uri", [None, 5, "", ["https://x.test"]])
def test_a_document_without_a_jwks_uri_is_a_failure(server: HttpIssuer, jwks_uri: Any) -> None:
    server.answer("/.well-known/openid-configuration", body=metadata(server, jwks_uri=jwks_uri))
    assert "no `jwks_uri`: set it in the policy file" in fault(server)


def test_a_document_that_stands_behind_an_unknown_certificate_is_not_read(tmp_path: Path) -> None:
    _, context = self_signed(tmp_path)
    with HttpIssuer(tls=context) as server:
        server.answer("/.well-known/openid-configuration", body=metadata(server))
        assert "give its CA in SSL_CERT_FILE" in fault(server)
        assert server.seen == []
