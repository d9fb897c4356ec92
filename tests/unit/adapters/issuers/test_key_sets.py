"""Fetching key sets from a real HTTP server on loopback: good, slow, huge, lying."""

import asyncio
import gzip
import json
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from extauthz.adapters.issuers.key_sets import IssuerHttp
from extauthz.pdp.policy import Issuer
from extauthz.pdp.token.jwks import MAX_KEY_SET_BYTES
from extauthz.service.ports import KeySetUnavailable
from tests.support import tokens
from tests.support.http_issuer import HttpIssuer, self_signed
from tests.support.tokens import key_set_document

KEY_SET = key_set_document()
GENEROUS_S = 10.0
"""For tests in which nothing is slow: this machine may be busy."""


@pytest.fixture
def server() -> Iterator[HttpIssuer]:
    with HttpIssuer() as running:
        yield running


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def of(server: HttpIssuer, *, discovered: bool = False, path: str = "/jwks", issuer: str = "") -> Issuer:
    return Issuer(name="casdoor", issuer=issuer or server.url, jwks_uri="" if discovered else server.url + path)


def fetch(issuer: Issuer, *, total_s: float = GENEROUS_S, ca_file: str = "") -> bytes:
    fetcher = IssuerHttp(clock=time.monotonic, total_s=total_s, ca_file=ca_file)
    return asyncio.run(fetcher.fetch(issuer))


def fault(issuer: Issuer, **options: Any) -> str:
    with pytest.raises(KeySetUnavailable) as caught:
        fetch(issuer, **options)
    return str(caught.value)


def metadata(server: HttpIssuer, **members: Any) -> dict[str, Any]:
    return {"issuer": server.url, "jwks_uri": f"{server.url}/jwks"} | members


# Ordinary.


def test_a_key_set_comes_back_as_it_was_sent(server: HttpIssuer) -> None:
    server.answer("/jwks", body=KEY_SET)
    assert fetch(of(server)) == KEY_SET


def test_the_key_set_of_an_application_is_taken_where_discovery_names_it(server: HttpIssuer) -> None:
    path = "/.well-known/app-mcp/jwks"
    document = metadata(server, jwks_uri=server.url + path)
    server.answer("/.well-known/openid-configuration", body=json.dumps(document).encode())
    server.answer("/.well-known/jwks", body=KEY_SET)
    server.answer(path, body=(tokens.DATA / "jwks" / "app-mcp.json").read_bytes())
    assert fetch(of(server, discovered=True)) == (tokens.DATA / "jwks" / "app-mcp.json").read_bytes()
    assert server.count("/.well-known/jwks") == 0


def test_an_application_that_gets_the_keys_of_all_is_told_once(
    server: HttpIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    """casdoor.md §4: an application without a certificate of its own is served every organization's keys."""
    path = "/.well-known/app-nocert/jwks"
    own, everybody = ((tokens.DATA / "jwks" / f"{name}.json").read_bytes() for name in ("app-mcp", "global"))
    issuer = tokens.issuer(issuer=server.url, jwks_uri=server.url + path)
    fetcher = IssuerHttp(clock=time.monotonic)

    def told(body: bytes, of: Issuer = issuer) -> list[str]:
        caplog.clear()
        server.answer(path, body=body)
        assert asyncio.run(fetcher.fetch(of)) == body
        return [record.getMessage() for record in caplog.records if "holds 8 keys" in record.getMessage()]

    assert told(own) == []
    (said,) = told(everybody)
    assert f"issuer casdoor: {server.url}{path} holds 8 keys" in said
    assert told(everybody) == []
    assert told(own) == []
    assert len(told(everybody)) == 1
    assert told(own) == []
    assert told(everybody, replace(issuer, shared_keys=True)) == []


def test_a_key_set_in_pieces_without_length_comes_back_whole(server: HttpIssuer) -> None:
    server.answer("/jwks", chunks=[KEY_SET[:10], KEY_SET[10:500], KEY_SET[500:]])
    assert fetch(of(server)) == KEY_SET


def test_a_key_set_that_is_compressed_unasked_is_read(server: HttpIssuer) -> None:
    server.answer("/jwks", body=gzip.compress(KEY_SET), headers={"content-encoding": "gzip"})
    assert fetch(of(server)) == KEY_SET
    assert server.seen[0].headers["accept-encoding"] == "identity"


def test_no_credentials_are_sent_and_no_cookie_comes_back(server: HttpIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """casdoor.md §4: an Authorization header makes Casdoor answer every path with an error."""
    netrc = "machine 127.0.0.1 login user password secret"
    monkeypatch.setenv("NETRC", "/dev/stdin")
    server.answer("/jwks", body=KEY_SET, headers={"set-cookie": f"casdoor_session_id={netrc[:7]}; Path=/"})

    async def twice() -> None:
        fetcher = IssuerHttp(clock=time.monotonic, total_s=GENEROUS_S)
        await fetcher.fetch(of(server))
        await fetcher.fetch(of(server))

    asyncio.run(twice())
    assert len(server.seen) == 2
    for seen in server.seen:
        assert not {"authorization", "cookie", "proxy-authorization"} & set(seen.headers)


def test_https_is_verified_by_the_ca_file_that_was_given(tmp_path: Path) -> None:
    ca, context = self_signed(tmp_path)
    with HttpIssuer(tls=context) as server:
        server.answer("/jwks", body=KEY_SET)
        assert fetch(of(server), ca_file=str(ca)) == KEY_SET


def test_https_is_verified_by_ssl_cert_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca, context = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    with HttpIssuer(tls=context) as server:
        server.answer("/jwks", body=KEY_SET)
        assert fetch(of(server)) == KEY_SET


def test_the_proxy_of_the_environment_is_used(server: HttpIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    server.answer("http://issuer.test/jwks", body=KEY_SET)
    assert fetch(Issuer(name="i", issuer="http://issuer.test", jwks_uri="http://issuer.test/jwks")) == KEY_SET
    assert server.seen[0].headers["host"] == "issuer.test"


# Discovery.


def test_the_key_set_is_found_by_discovery(server: HttpIssuer) -> None:
    server.answer("/.well-known/openid-configuration", body=metadata(server))
    server.answer("/jwks", body=KEY_SET)
    assert fetch(of(server, discovered=True)) == KEY_SET


def test_the_document_of_an_issuer_with_a_path_is_below_it(server: HttpIssuer) -> None:
    issuer = f"{server.url}/realms/acme"
    server.answer("/realms/acme/.well-known/openid-configuration", body=metadata(server, issuer=issuer))
    server.answer("/jwks", body=KEY_SET)
    assert fetch(of(server, discovered=True, issuer=issuer)) == KEY_SET


def test_else_the_document_is_where_rfc_8414_puts_it(server: HttpIssuer) -> None:
    issuer = f"{server.url}/acme"
    server.answer("/.well-known/oauth-authorization-server/acme", body=metadata(server, issuer=issuer))
    server.answer("/jwks", body=KEY_SET)
    assert fetch(of(server, discovered=True, issuer=issuer)) == KEY_SET


def test_an_issuer_with_a_trailing_slash_is_compared_with_it(server: HttpIssuer) -> None:
    issuer = f"{server.url}/"
    server.answer("/.well-known/openid-configuration", body=metadata(server, issuer=issuer))
    server.answer("/jwks", body=KEY_SET)
    assert fetch(of(server, discovered=True, issuer=issuer)) == KEY_SET
    assert "must be equal byte for byte" in fault(of(server, discovered=True))


def test_the_document_is_remembered_until_the_key_set_fails(server: HttpIssuer) -> None:
    path = "/.well-known/openid-configuration"
    server.answer(path, body=metadata(server))
    server.answer("/jwks", body=KEY_SET)

    async def main() -> None:
        fetcher = IssuerHttp(clock=time.monotonic, total_s=GENEROUS_S)
        issuer = of(server, discovered=True)
        await fetcher.fetch(issuer)
        await fetcher.fetch(issuer)
        assert server.count(path) == 1
        server.answer("/jwks", status=404, body=b"")
        with pytest.raises(KeySetUnavailable):
            await fetcher.fetch(issuer)
        server.answer(path, body=metadata(server, jwks_uri=f"{server.url}/moved"))
        server.answer("/moved", body=KEY_SET)
        assert await fetcher.fetch(issuer) == KEY_SET

    asyncio.run(main())


def test_the_document_is_read_again_after_its_time(server: HttpIssuer) -> None:
    path = "/.well-known/openid-configuration"
    server.answer(path, body=metadata(server))
    server.answer("/jwks", body=KEY_SET)
    now = [0.0]

    async def main() -> None:
        fetcher = IssuerHttp(clock=lambda: now[0], total_s=GENEROUS_S)
        await fetcher.fetch(of(server, discovered=True))
        now[0] = 300.0
        await fetcher.fetch(of(server, discovered=True))
        assert server.count(path) == 2

    asyncio.run(main())


# Hostile, or just broken.


def test_a_redirect_is_not_followed(server: HttpIssuer) -> None:
    server.answer("/jwks", status=302, headers={"location": "/elsewhere", "content-length": "0"})
    server.answer("/elsewhere", body=KEY_SET)
    assert "a redirect, which is not followed" in fault(of(server))
    assert [seen.path for seen in server.seen] == ["/jwks"]


def test_a_server_that_says_nothing_is_given_up_in_time(server: HttpIssuer) -> None:
    server.answer("/jwks", hang=True)
    assert "no whole answer within 0.3 s" in fault(of(server), total_s=0.3)


def test_a_server_that_drips_is_given_up_in_time(server: HttpIssuer) -> None:
    def drip() -> Iterator[bytes]:
        for _ in range(600):
            time.sleep(0.05)
            yield b" "

    server.answer("/jwks", chunks=drip())
    assert "no whole answer within 0.3 s" in fault(of(server), total_s=0.3)


def test_an_endless_answer_is_cut_off(server: HttpIssuer) -> None:
    sent: list[int] = []

    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            sent.append(1)
            yield b" " * 100_000

    server.answer("/jwks", chunks=endless())
    assert f"larger than {MAX_KEY_SET_BYTES} bytes" in fault(of(server))
    assert len(sent) < 500


@pytest.mark.parametrize("size", [20_000_000, 200_000_000])
def test_a_gzip_bomb_does_not_unfold(server: HttpIssuer, size: int) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b" " * 1_000_000) for _ in range(size // 1_000_000)) + packer.flush()
    server.answer("/jwks", body=bomb, headers={"content-encoding": "gzip"})
    fault(of(server))  # imports what the measurement is not about
    tracemalloc.start()
    try:
        assert f"larger than {MAX_KEY_SET_BYTES} bytes" in fault(of(server))
        assert tracemalloc.get_traced_memory()[1] < 8 * MAX_KEY_SET_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("body", "encoding", "says"),
    [
        (b"not gzip", "gzip", "damaged"),
        (gzip.compress(KEY_SET)[:-200], "gzip", "cut short"),
        (b"x", "br", "was not asked for"),
        (b"x", "gzip, gzip", "was not asked for"),
    ],
    ids=["no gzip", "half of it", "br", "twice"],
)
def test_an_encoding_that_cannot_be_read_is_a_failure(
    server: HttpIssuer, body: bytes, encoding: str, says: str
) -> None:
    server.answer("/jwks", body=body, headers={"content-encoding": encoding})
    assert says in fault(of(server))


def test_an_answer_shorter_than_it_says_is_a_failure(server: HttpIssuer) -> None:
    server.answer("/jwks", body=KEY_SET, headers={"content-length": str(len(KEY_SET) + 100), "connection": "close"})
    assert "the exchange failed" in fault(of(server), total_s=0.5) or "no whole answer" in fault(
        of(server), total_s=0.5
    )


CASDOOR = {
    "an unknown path": ({"status": "error", "msg": "Unauthorized operation"}, "Casdoor does not serve this path"),
    "a foreign token on the way": (
        {"status": "error", "msg": "Access token doesn't exist in database"},
        "something on the way adds credentials",
    ),
    "a damaged certificate": ({"status": "error", "msg": "x509: malformed certificate"}, "certificate of this Casdoor"),
    "another error": ({"status": "error", "msg": "out of\ncheese"}, "'out of\\ncheese'"),
    "an OAuth error": ({"error": "temporarily_unavailable"}, "'temporarily_unavailable'"),
    "no keys at all": ({"status": "ok"}, "keys"),
    "an empty set": ({"keys": []}, "no key of the set can be used"),
}


@pytest.mark.parametrize("name", CASDOOR)
def test_an_error_with_status_200_is_a_failure_that_names_its_cause(server: HttpIssuer, name: str) -> None:
    body, says = CASDOOR[name]
    server.answer("/jwks", body=json.dumps(body).encode())
    said = fault(of(server))
    assert says in said
    assert server.url in said
    assert said.isprintable()


@pytest.mark.parametrize("body", [b"<!doctype html><html></html>", b"\r\n <html>"])
def test_a_web_page_is_a_failure_that_says_so(server: HttpIssuer, body: bytes) -> None:
    server.answer("/jwks", body=body, headers={"content-type": "text/html"})
    assert "a web page, not a key set" in fault(of(server))


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (404, b"<html>", "no key set there"),
        (401, b"", "a key set is public"),
        (403, KEY_SET, "a key set is public"),
        (500, b"", "a certificate without PEM text"),
        (500, KEY_SET, "status 500"),
        (503, b"", "status 503"),
        (206, KEY_SET, "status 206"),
    ],
)
def test_another_status_than_200_is_a_failure_whatever_the_body(
    server: HttpIssuer, status: int, body: bytes, says: str
) -> None:
    server.answer("/jwks", status=status, body=body)
    assert says in fault(of(server))


def test_an_endless_quotation_is_shortened(server: HttpIssuer) -> None:
    server.answer("/jwks", body={"status": "error", "msg": "x" * 100_000})
    assert len(fault(of(server))) < 400


def test_an_unverified_certificate_is_refused_and_the_message_says_how_to_mend_it(tmp_path: Path) -> None:
    _, context = self_signed(tmp_path)
    with HttpIssuer(tls=context) as server:
        server.answer("/jwks", body=KEY_SET)
        assert "give its CA in SSL_CERT_FILE" in fault(of(server))
        assert server.seen == []


def test_a_renewed_ca_file_is_read_after_a_failure(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    ca, _ = self_signed(old)
    renewed, context = self_signed(new)
    with HttpIssuer(tls=context) as server:
        server.answer("/jwks", body=KEY_SET)

        async def main() -> None:
            fetcher = IssuerHttp(clock=time.monotonic, total_s=GENEROUS_S, ca_file=str(ca))
            with pytest.raises(KeySetUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                await fetcher.fetch(of(server))
            ca.write_bytes(renewed.read_bytes())
            assert await fetcher.fetch(of(server)) == KEY_SET

        asyncio.run(main())


def test_a_ca_file_that_is_not_there_is_a_failure_that_names_it(server: HttpIssuer) -> None:
    assert "/nowhere.pem" in fault(of(server), ca_file="/nowhere.pem")


def test_a_port_where_nobody_listens_is_a_failure(server: HttpIssuer) -> None:
    gone = HttpIssuer()
    issuer = of(gone)
    gone._server.server_close()
    assert "cannot connect" in fault(issuer)


@pytest.mark.parametrize("url", ["https://user:secret@127.0.0.1/jwks", "ftp://127.0.0.1/jwks", "nonsense"])
def test_a_url_that_is_not_plain_is_not_asked(url: str) -> None:
    said = fault(Issuer(name="i", issuer="https://127.0.0.1", jwks_uri=url))
    assert "no plain http" in said
    assert "secret" not in said


def test_a_document_on_a_public_host_cannot_send_us_to_a_private_one(tmp_path: Path) -> None:
    ca, context = self_signed(tmp_path)
    with HttpIssuer(tls=context) as server, HttpIssuer(tls=context) as inside:
        inside.answer("/jwks", body=KEY_SET)
        issuer = f"https://localhost:{server.port}"
        server.answer("/.well-known/openid-configuration", body={"issuer": issuer, "jwks_uri": f"{inside.url}/jwks"})

        async def resolver(host: str, port: int) -> tuple[str, ...]:
            return ("93.184.216.34",) if host == "localhost" else (host,)

        fetcher = IssuerHttp(clock=time.monotonic, ca_file=str(ca), resolver=resolver, total_s=GENEROUS_S)
        with pytest.raises(KeySetUnavailable, match="private address"):
            asyncio.run(fetcher.fetch(of(server, discovered=True, issuer=issuer)))
        assert inside.seen == []
