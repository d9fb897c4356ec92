"""Which clients may call: names in certificates, and authorities that are withdrawn. Real handshakes, both ways in."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509

from extauthz.adapters.grpc import clients, core
from extauthz.adapters.grpc.clients import TrustedClients
from extauthz.adapters.grpc.tls import ServerTls
from extauthz.service.call import Call
from tests.support.certificates import Authority, Pair
from tests.support.transport import HEALTH_PATH, call, channel, serving

PROXY_URI = "spiffe://acme.test/ns/edge/sa/envoy"


def echo(request: bytes, _: Call) -> bytes:
    return request


@pytest.fixture(autouse=True, params=["fast path", "public way"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "public way":
        monkeypatch.setattr(core, "_NEEDED_OF_SERVER", ("of another make",))
    return str(request.param)


@pytest.fixture
def authority() -> Authority:
    return Authority("first authority")


@pytest.fixture
def successor() -> Authority:
    return Authority("second authority")


@pytest.fixture
def mtls(authority: Authority, tmp_path: Path) -> ServerTls:
    cert, key = authority.issue().write(tmp_path, "server")
    (tmp_path / "ca.crt").write_bytes(authority.cert)
    return ServerTls(cert_file=cert, key_file=key, client_ca_file=str(tmp_path / "ca.crt"))


def showing(pair: Pair, server: Authority) -> Any:
    return grpc.ssl_channel_credentials(server.cert, pair.key, pair.cert)


def code_of(opened: Any) -> grpc.StatusCode:
    """How a check ends."""
    try:
        call(opened)
    except grpc.RpcError as error:
        return error.code()  # type: ignore[no-any-return,attr-defined]  # grpcio has no annotations
    return grpc.StatusCode.OK


class TestNames:
    @pytest.mark.parametrize(
        ("listed", "shown", "expected"),
        [
            (PROXY_URI, [x509.UniformResourceIdentifier(PROXY_URI)], grpc.StatusCode.OK),
            ("envoy.edge.test", [x509.DNSName("envoy.edge.test")], grpc.StatusCode.OK),
            ("envoy.edge.test", [x509.DNSName("Envoy.Edge.Test")], grpc.StatusCode.OK),
            ("envoy.edge.test", [x509.DNSName("other.test"), x509.DNSName("envoy.edge.test")], grpc.StatusCode.OK),
            ("envoy.edge.test", [], grpc.StatusCode.PERMISSION_DENIED),
            ("envoy.edge.test", [x509.DNSName("envoy.edge.test.evil.test")], grpc.StatusCode.PERMISSION_DENIED),
            ("envoy.edge.test", [x509.DNSName("a.envoy.edge.test")], grpc.StatusCode.PERMISSION_DENIED),
            ("envoy.edge.test", [x509.DNSName("*.edge.test")], grpc.StatusCode.PERMISSION_DENIED),
            ("envoy.edge.test", [x509.RFC822Name("envoy.edge.test@x.test")], grpc.StatusCode.PERMISSION_DENIED),
            (PROXY_URI, [x509.UniformResourceIdentifier(PROXY_URI + "/")], grpc.StatusCode.PERMISSION_DENIED),
            (PROXY_URI, [x509.UniformResourceIdentifier(PROXY_URI.upper())], grpc.StatusCode.PERMISSION_DENIED),
            (PROXY_URI, [x509.DNSName("acme.test")], grpc.StatusCode.PERMISSION_DENIED),
        ],
        ids=str,
    )
    def test_only_a_certificate_with_a_listed_name_may_call(
        self,
        mtls: ServerTls,
        authority: Authority,
        listed: str,
        shown: list[x509.GeneralName],
        expected: grpc.StatusCode,
    ) -> None:
        named = dataclasses.replace(mtls, client_names=frozenset({listed}))
        credentials = showing(authority.issue("proxy", *shown), authority)
        with serving(echo, tls=named) as server, channel(server.address, credentials=credentials) as opened:
            assert code_of(opened) is expected

    def test_the_common_name_is_no_name(self, mtls: ServerTls, authority: Authority) -> None:
        named = dataclasses.replace(mtls, client_names=frozenset({"envoy.edge.test"}))
        credentials = showing(authority.issue("envoy.edge.test"), authority)
        with serving(echo, tls=named) as server, channel(server.address, credentials=credentials) as opened:
            assert code_of(opened) is grpc.StatusCode.PERMISSION_DENIED
            assert call(opened, b"", path=HEALTH_PATH)

    def test_without_a_list_every_certificate_of_the_authority_may_call(
        self, mtls: ServerTls, authority: Authority
    ) -> None:
        credentials = showing(authority.issue("anything"), authority)
        with serving(echo, tls=mtls) as server, channel(server.address, credentials=credentials) as opened:
            assert code_of(opened) is grpc.StatusCode.OK

    def test_without_client_authority_nobody_is_judged(self, mtls: ServerTls, authority: Authority) -> None:
        tls = dataclasses.replace(mtls, client_ca_file="")
        credentials = grpc.ssl_channel_credentials(authority.cert)
        with serving(echo, tls=tls) as server, channel(server.address, credentials=credentials) as opened:
            assert code_of(opened) is grpc.StatusCode.OK


class TestWithdrawnAuthorities:
    """The server's certificate stays one of `authority`, so that clients still trust the server."""

    @pytest.fixture(autouse=True)
    def look_always(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clients, "LOOK_EVERY_S", 0.0)

    def test_an_open_connection_of_a_withdrawn_authority_is_refused(
        self, mtls: ServerTls, authority: Authority, successor: Authority, caplog: pytest.LogCaptureFixture
    ) -> None:
        credentials = showing(authority.issue("proxy"), authority)
        with serving(echo, tls=mtls) as server, channel(server.address, credentials=credentials) as opened:
            assert code_of(opened) is grpc.StatusCode.OK
            with caplog.at_level(logging.WARNING):
                Path(mtls.client_ca_file).write_bytes(successor.cert)
                assert code_of(opened) is grpc.StatusCode.UNAUTHENTICATED
                assert code_of(opened) is grpc.StatusCode.UNAUTHENTICATED
            assert "authorities of clients withdrawn: 1" in caplog.text
            renewed = showing(successor.issue("proxy"), authority)
            with channel(server.address, credentials=renewed) as other:
                assert code_of(other) is grpc.StatusCode.OK

    def test_an_open_connection_that_has_never_called_is_refused_as_well(
        self, mtls: ServerTls, authority: Authority, successor: Authority
    ) -> None:
        credentials = showing(authority.issue("proxy"), authority)
        with serving(echo, tls=mtls) as server, channel(server.address, credentials=credentials) as opened:
            grpc.channel_ready_future(opened).result(20)
            Path(mtls.client_ca_file).write_bytes(successor.cert)
            # The bundle is looked at before the call is judged, whoever calls.
            assert code_of(opened) is grpc.StatusCode.UNAUTHENTICATED

    def test_a_rotation_refuses_nobody(self, mtls: ServerTls, authority: Authority, successor: Authority) -> None:
        """Both authorities, then the new one alone; the proxy connects anew in between."""
        first, second = showing(authority.issue("p"), authority), showing(successor.issue("p"), authority)
        with serving(echo, tls=mtls) as server, channel(server.address, credentials=first) as early:
            assert code_of(early) is grpc.StatusCode.OK
            Path(mtls.client_ca_file).write_bytes(authority.cert + successor.cert)
            assert code_of(early) is grpc.StatusCode.OK
            with channel(server.address, credentials=second) as late:
                assert code_of(late) is grpc.StatusCode.OK
                Path(mtls.client_ca_file).write_bytes(successor.cert)
                assert code_of(late) is grpc.StatusCode.OK
                assert code_of(early) is grpc.StatusCode.UNAUTHENTICATED

    def test_an_authority_that_comes_back_is_trusted_again(
        self, mtls: ServerTls, authority: Authority, successor: Authority
    ) -> None:
        credentials = showing(authority.issue("proxy"), authority)
        with serving(echo, tls=mtls) as server, channel(server.address, credentials=credentials) as opened:
            assert code_of(opened) is grpc.StatusCode.OK
            Path(mtls.client_ca_file).write_bytes(successor.cert)
            assert code_of(opened) is grpc.StatusCode.UNAUTHENTICATED
            Path(mtls.client_ca_file).write_bytes(authority.cert)
            assert code_of(opened) is grpc.StatusCode.OK

    @pytest.mark.parametrize("bundled", [True, False], ids=["intermediate in the bundle", "root alone"])
    def test_certificates_of_an_intermediate(
        self, mtls: ServerTls, authority: Authority, successor: Authority, bundled: bool
    ) -> None:
        """Old connections are judged by the bundle; new ones have been verified by gRPC just now."""
        intermediate = Authority("intermediate", under=authority)
        bundle = authority.cert + (intermediate.cert if bundled else b"")
        Path(mtls.client_ca_file).write_bytes(bundle + successor.cert)
        credentials = showing(intermediate.issue("proxy"), authority)
        with serving(echo, tls=mtls) as server, channel(server.address, credentials=credentials) as opened:
            assert code_of(opened) is grpc.StatusCode.OK
            Path(mtls.client_ca_file).write_bytes(bundle)
            assert (code_of(opened) is grpc.StatusCode.OK) is bundled
            with channel(server.address, credentials=credentials) as anew:
                assert code_of(anew) is grpc.StatusCode.OK

    @pytest.mark.parametrize(
        "content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff"]
    )
    def test_a_broken_bundle_withdraws_nothing(self, mtls: ServerTls, authority: Authority, content: bytes) -> None:
        credentials = showing(authority.issue("proxy"), authority)
        with serving(echo, tls=mtls) as server, channel(server.address, credentials=credentials) as opened:
            assert code_of(opened) is grpc.StatusCode.OK
            Path(mtls.client_ca_file).write_bytes(content)
            assert code_of(opened) is grpc.StatusCode.OK


class TestJudging:
    """Without a transport: what no handshake would let through, and the bounds."""

    @staticmethod
    def made(authority: Authority, **more: Any) -> TrustedClients:
        return TrustedClients(lambda: authority.cert, frozenset(), **more)

    def test_a_call_without_a_certificate_is_refused(self, authority: Authority) -> None:
        refused = self.made(authority).admit({b"transport_security_type": [b"insecure"]}, b"ipv4:1.2.3.4:5")
        assert refused is not None
        assert refused.code is grpc.StatusCode.UNAUTHENTICATED

    def test_connections_are_remembered_within_a_bound(
        self, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clients, "MAX_CONNECTIONS", 3)
        judge, certificate = self.made(authority), authority.issue().cert
        for number in range(10):
            assert judge.admit({b"x509_pem_cert": [certificate]}, b"ipv4:1.2.3.4:%d" % number) is None
        assert list(judge._seen) == [b"ipv4:1.2.3.4:7", b"ipv4:1.2.3.4:8", b"ipv4:1.2.3.4:9"]

    def test_the_bundle_is_looked_at_now_and_then_only(self, authority: Authority) -> None:
        asked, now = [], [0.0]

        def bundle() -> bytes:
            asked.append(now[0])
            return authority.cert

        judge = TrustedClients(bundle, frozenset(), clock=lambda: now[0])
        for moment in (0.1, 0.9, 1.0, 1.5, 2.1):
            now[0] = moment
            judge.admit({b"x509_pem_cert": [authority.issue().cert]}, b"ipv4:1.2.3.4:5")
        assert asked == [0.0, 1.0, 2.1]

    @pytest.mark.parametrize("way_in", ["admit"])
    def test_a_judge_that_fails_refuses(
        self, mtls: ServerTls, authority: Authority, way_in: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr(TrustedClients, way_in, fail)
        credentials = showing(authority.issue("proxy"), authority)
        with serving(echo, tls=mtls) as server, channel(server.address, credentials=credentials) as opened:
            assert code_of(opened) not in (grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED)
