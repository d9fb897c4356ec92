"""Policy, secret and certificate files that turn into something else while the service runs: nothing waits for them."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from extauthz.demo.processes import LOOPBACK, ProgramError
from tests.support import tokens
from tests.support.certificates import Authority
from tests.support.checks import check_request
from tests.support.http_issuer import HttpIssuer
from tests.support.served import METHOD, Served, policy_text
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e


@pytest.fixture
def issuer() -> Iterator[HttpIssuer]:
    with HttpIssuer() as running:
        running.answer("/jwks", body=tokens.key_set_document())
        yield running


def good() -> bytes:
    return check_request(token=tokens.mint({"scope": "weather:read"}, now=time.time()))


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def endless(path: Path) -> None:
    with path.open("wb") as sparse:
        sparse.truncate(1 << 33)


NO_FILES: dict[str, Callable[[Path], None]] = {
    "fifo": fifo,
    "device": device,
    "directory": Path.mkdir,
    "endless": endless,
}


KINDS = ("fifo", "device", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("directory", "endless")))
"""What the last two say is said by tests of `extauthz.files` as well."""


def turned(path: Path, kind: str) -> None:
    """In one step, as a mount does it."""
    beside = path.with_name("turning")
    NO_FILES[kind](beside)
    if kind == "directory":
        path.unlink()
    beside.replace(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_policy_that_is_none_leaves_the_old_one_in_force(tmp_path: Path, issuer: HttpIssuer, kind: str) -> None:
    with Served(tmp_path, policy_text(issuer.url)) as served:
        assert served.ask(good()).allowed
        turned(served.policy, kind)
        eventually(lambda: "was not loaded" in served.program.output(), "it is logged")
        assert served.ask(good()).allowed
        served.program.signal(signal.SIGHUP)
        eventually(lambda: served.program.output().count("was not loaded") == 2, "and again when asked")
        served.program.signal(signal.SIGTERM)
        assert served.program.wait(30) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_secret_that_is_none_leaves_the_old_policy_in_force(
    tmp_path: Path, issuer: HttpIssuer, kind: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("client-secret")
    named = f"    introspection: {{client_id: gw, client_secret_file: {secret}, endpoint: {issuer.url}/introspect}}\n"
    text = policy_text(issuer.url).replace("    organizations: [acme]\n", f"    organizations: [acme]\n{named}")
    with Served(tmp_path, text) as served:
        turned(secret, kind)
        served.program.signal(signal.SIGHUP)
        eventually(lambda: "was not loaded" in served.program.output(), "it is logged")
        assert served.ask(check_request()).status == 401
        served.program.signal(signal.SIGTERM)
        assert served.program.wait(30) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_that_is_none_leaves_the_old_one_in_use(tmp_path: Path, issuer: HttpIssuer, kind: str) -> None:
    authority = Authority()
    cert, key = authority.issue().write(tmp_path, "server")
    environment = {"EXTAUTHZ_TLS_CERT": str(cert), "EXTAUTHZ_TLS_KEY": str(key)}
    served = Served(tmp_path, policy_text(issuer.url), environment=environment)
    served.program._ready = lambda: " serving on " in served.program.output()
    credentials = grpc.ssl_channel_credentials(authority.cert)

    def asked() -> bytes:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.secure_channel(f"{LOOPBACK}:{served.port}", credentials, options=options) as channel:
            answer: bytes = channel.unary_unary(METHOD)(good(), timeout=10)
            return answer

    with served:
        assert asked()
        turned(Path(key), kind)
        assert asked()
        eventually(lambda: "the last good ones stay in use" in served.program.output(), "it is logged")
        served.program.signal(signal.SIGTERM)
        assert served.program.wait(30) == 0


@pytest.mark.parametrize(
    "kind", ["fifo", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("device", "directory", "endless"))]
)
@pytest.mark.parametrize(
    "variable",
    [
        "EXTAUTHZ_POLICY",
        "EXTAUTHZ_CACHE_SECRET_FILE",
        "EXTAUTHZ_ADMIN_TOKEN_FILE",
        "EXTAUTHZ_TLS_CERT",
        "EXTAUTHZ_TLS_CLIENT_CA",
    ],
)
def test_at_the_start_it_is_refused_at_once(tmp_path: Path, kind: str, variable: str) -> None:
    NO_FILES[kind](tmp_path / "x")
    arguments = ("--policy", str(tmp_path / "x")) if variable == "EXTAUTHZ_POLICY" else ()
    environment = {} if arguments else {variable: str(tmp_path / "x")}
    served = Served(tmp_path, policy_text("https://door.example.com"), environment=environment, arguments=arguments)
    with pytest.raises(ProgramError):
        served.program.__enter__()
    assert any(said in served.program.output() for said in ("regular file", "larger than", "too large"))
