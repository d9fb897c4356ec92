"""TLS and mTLS with real handshakes; certificates are made for each test."""

import logging
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives import serialization

from extauthz.adapters.grpc.tls import RotatingCredentials, ServerTls, TlsFault
from extauthz.service.call import Call
from tests.support.certificates import Authority, Pair
from tests.support.transport import TIMEOUT_S, call, channel, serving


def echo(request: bytes, _: Call) -> bytes:
    return request


def trusting(authority: Authority, *, as_client: Authority | None = None) -> grpc.ChannelCredentials:
    if as_client is None:
        return grpc.ssl_channel_credentials(authority.cert)
    mine = as_client.issue("proxy.test")
    return grpc.ssl_channel_credentials(authority.cert, mine.key, mine.cert)


def install(pair: Pair, tls: ServerTls) -> None:
    Path(tls.cert_file).write_bytes(pair.cert)
    Path(tls.key_file).write_bytes(pair.key)


@pytest.fixture
def authority() -> Authority:
    return Authority("first authority")


@pytest.fixture
def successor() -> Authority:
    return Authority("second authority")


@pytest.fixture
def tls(authority: Authority, tmp_path: Path) -> ServerTls:
    made = ServerTls(cert_file=str(tmp_path / "server.crt"), key_file=str(tmp_path / "server.key"))
    install(authority.issue(), made)
    return made


@pytest.fixture
def mtls(tls: ServerTls, authority: Authority, tmp_path: Path) -> ServerTls:
    (tmp_path / "ca.crt").write_bytes(authority.cert)
    return ServerTls(cert_file=tls.cert_file, key_file=tls.key_file, client_ca_file=str(tmp_path / "ca.crt"))


class TestHandshakes:
    def test_a_client_that_trusts_the_authority_is_served(self, tls: ServerTls, authority: Authority) -> None:
        with serving(echo, tls=tls) as server, channel(server.address, credentials=trusting(authority)) as opened:
            assert call(opened, b"x") == b"x"

    def test_a_client_without_tls_gets_nothing(self, tls: ServerTls) -> None:
        with serving(echo, tls=tls) as server, channel(server.address) as opened, pytest.raises(grpc.RpcError):
            opened.unary_unary("/x")(b"x", timeout=TIMEOUT_S)

    def test_with_mtls_a_client_with_a_certificate_of_the_authority_is_served(
        self, mtls: ServerTls, authority: Authority
    ) -> None:
        credentials = trusting(authority, as_client=authority)
        with serving(echo, tls=mtls) as server, channel(server.address, credentials=credentials) as opened:
            assert call(opened, b"x") == b"x"

    @pytest.mark.parametrize("foreign", [False, True], ids=["no certificate", "a foreign one"])
    def test_with_mtls_anybody_else_is_turned_away(
        self, mtls: ServerTls, authority: Authority, successor: Authority, foreign: bool
    ) -> None:
        credentials = trusting(authority, as_client=successor if foreign else None)
        with serving(echo, tls=mtls) as server, channel(server.address, credentials=credentials) as opened:
            with pytest.raises(grpc.RpcError) as error:
                opened.unary_unary("/x")(b"x", timeout=TIMEOUT_S)
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE


class TestRotation:
    def test_new_files_serve_new_connections_and_leave_open_ones_alone(
        self, tls: ServerTls, authority: Authority, successor: Authority
    ) -> None:
        with serving(echo, tls=tls) as server, channel(server.address, credentials=trusting(authority)) as opened:
            assert call(opened, b"before") == b"before"
            install(successor.issue(), tls)
            with channel(server.address, credentials=trusting(successor)) as renewed:
                assert call(renewed, b"new") == b"new"
            assert call(opened, b"after") == b"after"

    def test_files_swapped_by_symbolic_link_are_noticed(
        self, authority: Authority, successor: Authority, tmp_path: Path
    ) -> None:
        """Kubernetes mounts a Secret as links through `..data`, and replaces that link."""
        for name, signer in (("old", authority), ("new", successor)):
            (tmp_path / name).mkdir()
            folder = tmp_path / name
            install(
                signer.issue(),
                ServerTls(cert_file=str(folder / "tls.crt"), key_file=str(folder / "tls.key")),
            )
        data = tmp_path / "..data"
        data.symlink_to("old")
        tls = ServerTls(cert_file=str(data / "tls.crt"), key_file=str(data / "tls.key"))
        with serving(echo, tls=tls) as server:
            fresh = tmp_path / "..data_tmp"
            fresh.symlink_to("new")
            fresh.replace(data)
            with channel(server.address, credentials=trusting(successor)) as renewed:
                assert call(renewed, b"new") == b"new"

    @pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\n", b"\xff\x00 rubbish"])
    def test_broken_replacements_leave_the_last_good_ones_in_use(
        self, tls: ServerTls, authority: Authority, content: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        with serving(echo, tls=tls) as server:
            Path(tls.cert_file).write_bytes(content)
            for _ in range(3):
                with channel(server.address, credentials=trusting(authority)) as opened:
                    assert call(opened, b"x") == b"x"
        assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1
        assert "the last good ones stay in use" in caplog.text

    def test_after_a_broken_replacement_a_good_one_counts(
        self, tls: ServerTls, authority: Authority, successor: Authority
    ) -> None:
        with serving(echo, tls=tls) as server:
            Path(tls.key_file).unlink()
            with channel(server.address, credentials=trusting(authority)) as opened:
                assert call(opened, b"x") == b"x"
            install(successor.issue(), tls)
            with channel(server.address, credentials=trusting(successor)) as renewed:
                assert call(renewed, b"new") == b"new"

    def test_another_client_authority_counts_for_new_connections(
        self, mtls: ServerTls, authority: Authority, successor: Authority
    ) -> None:
        with serving(echo, tls=mtls) as server:
            Path(mtls.client_ca_file).write_bytes(successor.cert)
            with channel(server.address, credentials=trusting(authority, as_client=successor)) as opened:
                assert call(opened, b"x") == b"x"
            outdated = trusting(authority, as_client=authority)
            with channel(server.address, credentials=outdated) as opened, pytest.raises(grpc.RpcError):
                opened.unary_unary("/x")(b"x", timeout=TIMEOUT_S)


class TestFaults:
    def test_a_missing_file_is_named(self, tls: ServerTls) -> None:
        Path(tls.key_file).unlink()
        with pytest.raises(TlsFault, match=r"server\.key: No such file"):
            RotatingCredentials(tls)

    def test_a_key_of_another_certificate_is_refused(self, tls: ServerTls, authority: Authority) -> None:
        Path(tls.key_file).write_bytes(authority.issue("other.test").key)
        with pytest.raises(TlsFault, match="the key that belongs to it"):
            RotatingCredentials(tls)

    def test_an_encrypted_key_is_refused_instead_of_asking_the_terminal(self, tls: ServerTls) -> None:
        key = serialization.load_pem_private_key(Path(tls.key_file).read_bytes(), None)
        Path(tls.key_file).write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"password"),
            )
        )
        with pytest.raises(TlsFault, match="unencrypted private key"):
            RotatingCredentials(tls)

    def test_a_client_authority_that_is_none_is_refused(self, mtls: ServerTls) -> None:
        Path(mtls.client_ca_file).write_text("not a certificate")
        with pytest.raises(TlsFault, match=r"ca\.crt holds no certificate"):
            RotatingCredentials(mtls)

    def test_no_message_holds_the_key(self, tls: ServerTls) -> None:
        secret = Path(tls.key_file).read_text().splitlines()[1]
        Path(tls.cert_file).write_text("broken")
        with pytest.raises(TlsFault) as fault:
            RotatingCredentials(tls)
        assert secret not in str(fault.value)
        assert secret not in repr(tls)
