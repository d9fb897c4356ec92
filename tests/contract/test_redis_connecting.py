"""Making a connection takes its time, for which no check waits; and why one cannot be made is told."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from extauthz.adapters.redis.dialer import CONNECT_TIMEOUT_S
from extauthz.adapters.redis.store import DEADLINE_S, RedisStore, connect
from extauthz.demo.processes import LOOPBACK, free_port
from extauthz.service.ports import StoreUnavailable
from tests.contract.conftest import tls_options
from tests.support.certificates import Authority
from tests.support.link import Link
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_sentinel import NAME, RedisSentinel
from tests.support.redis_server import RedisServer
from tests.support.tls_link import TlsLink

FIRST_REPLY_S = 0.1
"""Five times what an operation may take."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("r")) as running:
        yield running


def with_store(url: str, body: Callable[[RedisStore], Awaitable[None]], deadline_s: float = DEADLINE_S) -> None:
    async def main() -> None:
        store = connect(url, clock=time.monotonic, deadline_s=deadline_s)
        try:
            await body(store)
        finally:
            await store.close()

    asyncio.run(main())


async def comes_to_be_used(store: RedisStore, key: str = "k") -> None:
    """Within a time that is far longer than any limit; in the operations' own deadline of 20 ms."""
    for _ in range(2_000):
        with contextlib.suppress(StoreUnavailable):
            await store.put(key, b"v", 60)
            assert await store.get(key) == b"v"
            return
        await asyncio.sleep(0.005)
    pytest.fail(f"never used: {store.last_fault}")


# --- a proxy that delays the first reply of each connection --------------------------------------------------------


def slow(stack: ExitStack, target: int, port: int = 0) -> Link:
    link = stack.enter_context(Link(target, port=port))
    link.first_delay_s = FIRST_REPLY_S
    return link


@pytest.mark.parametrize("options", ["", "?protocol=3", "?db=1"])
def test_a_first_reply_that_is_late_on_each_connection_costs_the_first_callers_only(
    server: RedisServer, options: str
) -> None:
    with ExitStack() as stack:
        link = slow(stack, server.port)

        async def body(store: RedisStore) -> None:
            with pytest.raises(StoreUnavailable):
                await store.get("k")
            await comes_to_be_used(store)

        with_store(link.url.removesuffix("/0") + options, body)


def test_the_same_with_sign_in_and_tls(tmp_path: Path) -> None:
    authority = Authority()
    with ExitStack() as stack:
        signed = stack.enter_context(RedisServer(tmp_path, "--requirepass", "Correct Horse"))
        encrypted = stack.enter_context(TlsLink(signed.port, authority, tmp_path))
        link = slow(stack, encrypted.port)
        url = f"rediss://:Correct%20Horse@{LOOPBACK}:{link.port}?{tls_options(authority, tmp_path)}"
        with_store(url, comes_to_be_used)


def test_the_same_for_the_master_that_sentinels_name(tmp_path: Path) -> None:
    port = free_port()
    with ExitStack() as stack:
        watched = RedisSentinel(tmp_path, master_port=port)
        slow(stack, watched.servers[0].port, port)
        stack.enter_context(watched)
        sentinel = slow(stack, watched.sentinel_ports[0])
        with_store(f"redis+sentinel://{LOOPBACK}:{sentinel.port}/{NAME}", comes_to_be_used)


def test_the_same_for_each_node_of_a_cluster(tmp_path: Path) -> None:
    async def body(store: RedisStore) -> None:
        for number in range(12):
            await comes_to_be_used(store, f"k{number}")

    with ExitStack() as stack:
        cluster = stack.enter_context(RedisCluster(tmp_path, announce=True))
        for node, port in zip(cluster.nodes, cluster.announced, strict=True):
            slow(stack, node.port, port)
        with_store(f"redis+cluster://{LOOPBACK}:{cluster.announced[0]}", body)


def test_connections_that_came_too_late_are_kept_and_bounded(server: RedisServer) -> None:
    with ExitStack() as stack:
        link = slow(stack, server.port)

        async def body(store: RedisStore) -> None:
            await comes_to_be_used(store)
            # All but one need a connection that takes longer than they wait.
            await asyncio.gather(*(store.get(f"k{number}") for number in range(400)), return_exceptions=True)
            clients = server.command("CLIENT", "LIST", "TYPE", "normal").count(b"id=")
            assert clients <= 16 + 1
            await comes_to_be_used(store)

        with_store(link.url, body)


def test_a_connection_that_is_never_answered_is_given_up(server: RedisServer) -> None:
    """Else its place in the pool would be lost for good."""
    with ExitStack() as stack:
        link = stack.enter_context(Link(server.port))
        link.first_delay_s = 3600.0

        async def body(store: RedisStore) -> None:
            for _ in range(40):
                with pytest.raises(StoreUnavailable):
                    await store.get("k")
            link.first_delay_s = 0.0
            await comes_to_be_used(store)

        with_store(link.url, body)


def test_making_a_connection_has_one_limit_for_all_its_steps(tmp_path: Path) -> None:
    """Sign-in and first reply are each within it; together they are not."""
    with RedisServer(tmp_path, "--requirepass", "secret") as signed, Link(signed.port) as link:
        link.delay_s = 0.7 * CONNECT_TIMEOUT_S
        assert "no connection within 1 s" in told(f"redis://:secret@{LOOPBACK}:{link.port}")


# --- what is told ---------------------------------------------------------------------------------------------------


def told(url: str) -> str:
    """What an operator reads of a URL at which there is no Redis that can be used."""
    found: list[str] = []

    async def body(store: RedisStore) -> None:
        with pytest.raises(StoreUnavailable):
            await store.get("k")
        found.append(store.last_fault)

    with_store(url, body, deadline_s=5.0)
    assert found[0].isprintable()
    return found[0]


def test_tls_to_a_server_without_it(server: RedisServer) -> None:
    assert "write redis for rediss" in told(f"rediss://{LOOPBACK}:{server.port}")


def test_tls_to_something_that_says_nothing() -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:
        assert "write redis for rediss" in told(f"rediss://{LOOPBACK}:{silent.getsockname()[1]}")


def test_no_tls_to_a_server_that_wants_it(tmp_path: Path, server: RedisServer) -> None:
    authority = Authority()

    class Strict(TlsLink):
        def _opened(self, plain: socket.socket) -> socket.socket:
            return self._tls.wrap_socket(plain, server_side=True)

    with Strict(server.port, authority, tmp_path) as link:
        assert "write rediss for redis" in told(f"redis://{LOOPBACK}:{link.port}")


def test_a_reader_endpoint(tmp_path: Path) -> None:
    with RedisSentinel(tmp_path) as watched:
        said = told(f"redis://{LOOPBACK}:{watched.servers[1].port}")
        assert "is a replica" in said
        assert "name the primary" in said


def test_one_server_of_a_cluster_named_alone_is_told_and_not_left(tmp_path: Path) -> None:
    with RedisCluster(tmp_path) as cluster:
        first = cluster.nodes[0]
        lost = next(f"k{n}" for n in range(1_000) if cluster.owner_of(cluster.slot_of(f"extauthz:1:k{n}")) is not first)

        async def body(store: RedisStore) -> None:
            for node in cluster.nodes:
                node.command("CONFIG", "RESETSTAT")
            with pytest.raises(StoreUnavailable):
                await store.get(lost)
            assert "write redis+cluster for redis" in store.last_fault
            assert [node.calls("hello") + node.calls("getrange") for node in cluster.nodes[1:]] == [0, 0]

        with_store(f"redis://{LOOPBACK}:{first.port}", body, deadline_s=5.0)


@pytest.mark.parametrize(
    ("settings", "url", "says"),
    [
        (("--requirepass", "secret"), "redis://", "EXTAUTHZ_REDIS_PASSWORD"),
        (("--requirepass", "secret"), "redis://:hunter2@", "refuses user name or password"),
        (("--rename-command", "AUTH", "SIGNIN"), "redis://:hunter2@", "does not know the command that signs in"),
        (("--rename-command", "HELLO", "HI"), "redis://svc:hunter2@", "does not know the command that signs in"),
        (("--databases", "1"), "redis://", "refuses to sign us in or to select the database"),
    ],
)
def test_what_a_server_refuses_is_told_without_its_words(
    tmp_path: Path, settings: tuple[str, ...], url: str, says: str
) -> None:
    """A server that does not know a command quotes it with its arguments: of AUTH and HELLO, the password."""
    protocol = "3" if "HELLO" in settings else "2"
    with RedisServer(tmp_path, *settings) as running:
        database = "9" if "--databases" in settings else "0"
        said = told(f"{url}{LOOPBACK}:{running.port}/{database}?protocol={protocol}")
    assert says in said
    assert "hunter2" not in said


def test_a_plus_in_a_password_is_a_plus(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--requirepass", "ab+cd/ef=") as running:
        for url in (
            f"redis://{LOOPBACK}:{running.port}/0?password=ab+cd/ef=",
            f"redis://{LOOPBACK}:{running.port}/0?password=ab%2Bcd%2Fef%3D",
            f"redis://:ab+cd%2Fef=@{LOOPBACK}:{running.port}/0",
        ):
            with_store(url, comes_to_be_used)
