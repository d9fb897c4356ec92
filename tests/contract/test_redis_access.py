"""Who may read and write in Redis, and whom we believe to be Redis: TLS both ways, and the documented rights."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from extauthz.adapters.redis.revocation_log import KEPT_AFTER_END_S
from extauthz.adapters.redis.store import RedisStore, connect
from extauthz.demo.processes import LOOPBACK, free_port
from extauthz.service.ports import StoreUnavailable
from tests.contract.conftest import CREDENTIALS, Backing, documented_user, tls_options
from tests.support.certificates import Authority
from tests.support.redis_sentinel import NAME, RedisSentinel
from tests.support.redis_server import RedisServer
from tests.support.revocation_fleet import fleet, item_key
from tests.support.revocations import revocation
from tests.support.tls_link import TlsLink
from tests.support.tokens import NOW

GENEROUS_S = 2.0


def with_store(url: str, body: Callable[[RedisStore], Awaitable[None]]) -> None:
    async def main() -> None:
        store = connect(url, clock=time.monotonic, deadline_s=GENEROUS_S)
        try:
            await body(store)
        finally:
            await store.close()

    asyncio.run(main())


async def works(store: RedisStore) -> None:
    await store.put("k", b"v", 60)
    assert await store.get("k") == b"v"


async def everything(store: RedisStore) -> None:
    await store.put("k", b"v", 60)
    await store.get("k")
    await store.put_if_absent("l", b"v", 60)
    await store.delete_if_equal("l", b"v")


def is_refused(says: str) -> Callable[[RedisStore], Awaitable[None]]:
    async def body(store: RedisStore) -> None:
        with pytest.raises(StoreUnavailable, match=says):
            await everything(store)

    return body


@pytest.mark.parametrize("kind", ["single", "oldest", "watched", "clustered", "clustered_oldest"])
def test_revocations_need_no_right_that_is_not_documented(request: pytest.FixtureRequest, kind: str) -> None:
    """What the store needs is shown by its contract, which runs with these rights over every kind."""
    backing: Backing = request.getfixturevalue(kind)
    backing.flush()

    async def main() -> None:
        async with fleet(backing.url) as (one, two):
            item = revocation()
            assert await one.revoke(item)
            assert await two.round() == ""
            assert two.knows(item)

    asyncio.run(main())


def test_no_right_is_documented_that_nothing_needs(tmp_path: Path) -> None:
    rights = documented_user("server")
    commands = [word.removeprefix("+") for word in rights if word.startswith("+")]
    with RedisServer(tmp_path, "--user", *rights) as server:
        url = f"redis://{CREDENTIALS}{LOOPBACK}:{server.port}"

        async def revocations() -> None:
            async with fleet(url) as (one, two):
                ended = revocation(until=NOW + 1)
                assert await one.revoke(ended)
                assert await two.round() == ""
                one.clock.now += 10 * KEPT_AFTER_END_S
                # What Redis does when the item's time has passed by its own clock.
                server.command("DEL", item_key(ended))
                assert await one.revoke(revocation(until=one.clock.now + 60))
                assert await one.round() == ""

        with_store(url, everything)
        asyncio.run(revocations())
        assert [command for command in commands if not server.calls(command)] == []


def test_keys_of_others_are_out_of_reach(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--user", *documented_user("server")) as server:
        denied = server.command("ACL", "DRYRUN", "extauthz", "GETRANGE", "other", "0", "0")
        assert b"no permissions to access" in denied
        assert server.command("ACL", "DRYRUN", "extauthz", "GETRANGE", "extauthz:1:k", "0", "0") == b"+OK\r\n"


def test_a_sentinel_that_asks_for_a_password_gets_its_own_and_only_that(tmp_path: Path) -> None:
    lines = ("user default off", "user " + " ".join(documented_user("sentinel", "Battery")))
    with RedisSentinel(tmp_path, sentinel_lines=lines) as watched:
        address = f"{LOOPBACK}:{watched.sentinel_ports[0]}/{NAME}"
        with_store(f"redis+sentinel://{address}?sentinel_username=extauthz&sentinel_password=Battery", works)
        for options in ("", "?sentinel_username=extauthz&sentinel_password=wrong"):
            with_store(f"redis+sentinel://{address}{options}", is_refused("nobody says where Redis is"))


@pytest.fixture
def link_and_authority(tmp_path: Path, single: Backing) -> tuple[TlsLink, Authority]:
    authority = Authority()
    return TlsLink(single.everyone[0].port, authority, tmp_path), authority


def test_the_client_certificate_is_shown(tmp_path: Path, link_and_authority: tuple[TlsLink, Authority]) -> None:
    link, authority = link_and_authority
    options = tls_options(authority, tmp_path)
    without = options.partition("&")[0]
    with link:
        with_store(f"rediss://{CREDENTIALS}{LOOPBACK}:{link.port}?{options}", works)
        assert "extauthz" in link.seen[0]
        with_store(f"rediss://{CREDENTIALS}{LOOPBACK}:{link.port}?{without}", is_refused("SSL|TLS|closed|reset"))


def test_only_the_authority_that_is_named_is_believed(
    tmp_path: Path, link_and_authority: tuple[TlsLink, Authority], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one of the system's beside it, which any public authority is."""
    link, authority = link_and_authority
    system = tmp_path / "system.pem"
    system.write_bytes(authority.cert)
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    options = tls_options(Authority("another"), tmp_path)
    named, _, certificate = options.partition("&")
    with link:
        url = f"rediss://{CREDENTIALS}{LOOPBACK}:{link.port}"
        with_store(f"{url}?{named}", is_refused("CERTIFICATE_VERIFY_FAILED|certificate verify failed"))
        # Without one, the system's count; the certificate shown is then not to the link's taste, but ours is passed.
        with_store(f"{url}?{certificate}", is_refused("(?i)unknown ca|closed|reset|alert"))


def test_a_server_with_another_name_is_not_believed(tmp_path: Path, single: Backing) -> None:
    authority = Authority()
    with TlsLink(single.everyone[0].port, authority, tmp_path, host="127.0.0.2") as link:
        options = tls_options(authority, tmp_path)
        with_store(f"rediss://{CREDENTIALS}127.0.0.2:{link.port}?{options}", is_refused("IP address mismatch"))


def test_certificates_that_are_replaced_are_used_by_the_next_connection(tmp_path: Path, single: Backing) -> None:
    old, new = Authority("old"), Authority("new")
    port = free_port()

    async def body(store: RedisStore) -> None:
        with TlsLink(single.everyone[0].port, old, tmp_path, port=port):
            await works(store)
        tls_options(new, tmp_path)
        with TlsLink(single.everyone[0].port, new, tmp_path, port=port):
            for _ in range(500):
                try:
                    await works(store)
                    break
                except StoreUnavailable:
                    await asyncio.sleep(0.01)
            else:
                pytest.fail(f"the new certificates are not used: {store.last_fault}")

    with_store(f"rediss://{CREDENTIALS}{LOOPBACK}:{port}?{tls_options(old, tmp_path)}", body)


def test_certificates_are_read_once_for_all_connections(
    tmp_path: Path, link_and_authority: tuple[TlsLink, Authority], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading the system's takes 40 ms, in which nothing else is done."""
    import ssl

    made = 0
    make = ssl.create_default_context

    def counted(*words: object, **options: object) -> ssl.SSLContext:
        nonlocal made
        made += 1
        return make(*words, **options)  # type: ignore[arg-type]  # passed on as they came

    link, authority = link_and_authority

    async def body(store: RedisStore) -> None:
        await asyncio.gather(*(store.get(f"k{number}") for number in range(16)), return_exceptions=True)
        assert made == 1
        assert len(link.seen) > 1

    with link, monkeypatch.context() as patch:
        patch.setattr(ssl, "create_default_context", counted)
        with_store(f"rediss://{CREDENTIALS}{LOOPBACK}:{link.port}?{tls_options(authority, tmp_path)}", body)


def test_sentinels_and_servers_are_both_spoken_to_by_tls(tmp_path: Path) -> None:
    """The sentinel knows the master by the port of the link in front of it, which lets its own plain words through."""
    authority = Authority()
    options = tls_options(authority, tmp_path)
    with ExitStack() as stack:
        master_port = free_port()
        watched = RedisSentinel(tmp_path, master_port=master_port)
        master_link = stack.enter_context(TlsLink(watched.servers[0].port, authority, tmp_path, port=master_port))
        stack.enter_context(watched)
        link = stack.enter_context(TlsLink(watched.sentinel_ports[0], authority, tmp_path))
        with_store(f"rediss+sentinel://{LOOPBACK}:{link.port}/{NAME}?{options}", works)
        assert link.seen
        assert master_link.seen


@pytest.mark.parametrize("broken", ["ca", "key", "passphrase"])
def test_certificates_that_cannot_be_used_are_refused_at_once(tmp_path: Path, broken: str) -> None:
    options = tls_options(Authority(), tmp_path)
    if broken == "ca":
        (tmp_path / "ca.crt").write_text("no certificate")
    elif broken == "key":
        (tmp_path / "client.key").write_bytes(Authority().issue().key)
    else:
        (tmp_path / "client.key").write_text(
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n"
        )
    with pytest.raises(ValueError, match="certificates that cannot be used"):
        connect(f"rediss://localhost?{options}", clock=time.monotonic)
