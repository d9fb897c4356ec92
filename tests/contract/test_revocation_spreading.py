"""Revocations between processes over a real Redis: they arrive, survive its accidents, and say nothing to readers."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from extauthz.adapters.redis.revocation_log import HEAD_KEY, LOG_KEY
from extauthz.pdp.revocation.revocation import MAX_LIFE_S, Revocation, RevokedBy, covers, undo_of
from extauthz.service.revocation import bounds
from extauthz.service.revocation.revocation_sharing import WHOLE_EVERY_S
from extauthz.service.revocation.revocations import STALE_AFTER_S
from tests.contract.conftest import Backing
from tests.support.link import Link, LinkState
from tests.support.redis_sentinel import RedisSentinel
from tests.support.redis_server import RedisServer
from tests.support.revocation_fleet import Hand, Replica, fleet, item_key, over, until_in_step, whole
from tests.support.revocations import revocation
from tests.support.tokens import CLIENT, ISSUER, NOW, SUBJECT


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("r")) as running:
        yield running


@pytest.fixture
def redis(shared: RedisServer) -> RedisServer:
    """An empty server that goes on."""
    shared.command("FLUSHALL")
    return shared


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may ill-treat."""
    with RedisServer(tmp_path) as running:
        yield running


# They arrive.


async def arrives(replicas: list[Replica]) -> None:
    one, *others = replicas
    item, undone = revocation(), revocation()
    for replica in replicas:
        assert await replica.round() == ""
    assert await one.revoke(item, undone)
    for other in others:
        assert await other.round() == ""
        assert other.knows(item)
        assert not other.is_stale()
    # From every one to every other, and taking back as well.
    last = others[-1]
    late = revocation(by=RevokedBy.JTI, value="late")
    assert await last.revoke(late, undo_of(undone, id="undo-undone", source="admin"))
    for replica in replicas:
        assert await replica.round() == ""
        assert replica.knows(late)
        assert replica.knows(item)
        assert {each.id for each in replica.known.in_force(NOW)} == {item.id, late.id}


@pytest.mark.parametrize("count", [2, 3])
def test_what_is_revoked_on_one_is_revoked_on_all(redis: RedisServer, count: int) -> None:
    over(redis.url, arrives, count=count)


@pytest.mark.parametrize("kind", ["oldest", "clustered"])
def test_it_is_so_with_the_oldest_redis_and_on_a_cluster(request: pytest.FixtureRequest, kind: str) -> None:
    backing: Backing = request.getfixturevalue(kind)
    backing.flush()
    over(backing.url, arrives, count=3)


def test_a_failover_loses_nothing_that_a_replica_knows(tmp_path: Path) -> None:
    with RedisSentinel(tmp_path) as watched:

        async def body(replicas: list[Replica]) -> None:
            one, two = replicas
            await arrives([one, two])
            master = watched.master
            master.kill()
            item = revocation()
            await one.revoke(item)
            watched.wait_for_another_master(than=master)
            await until_in_step(one)
            await whole(one, two)
            await until_in_step(two)
            assert two.knows(item)

        over(watched.url, body)


def test_more_than_fits_in_one_command_arrives(redis: RedisServer) -> None:
    async def body(replicas: list[Replica]) -> None:
        one, two = replicas
        items = [revocation(by=RevokedBy.JTI, value=f"j{number}") for number in range(450)]
        assert await one.revoke(*items)
        assert await two.round() == ""
        assert all(map(two.knows, items))
        more = [revocation(by=RevokedBy.JTI, value=f"k{number}") for number in range(250)]
        assert await one.revoke(*more)
        assert await two.round() == ""
        assert all(map(two.knows, more))

    over(redis.url, body)


def test_a_replica_that_starts_later_learns_everything_in_its_first_round(redis: RedisServer) -> None:
    async def body(replicas: list[Replica]) -> None:
        one, two, late = replicas
        items = [revocation(), revocation(by=RevokedBy.ORGANIZATION, value="acme")]
        await one.revoke(items[0])
        await two.revoke(items[1])
        assert late.is_stale()
        assert await late.round() == ""
        assert all(map(late.knows, items))
        assert not late.is_stale()

    over(redis.url, body, count=3)


def test_an_ended_item_leaves_redis(redis: RedisServer) -> None:
    async def body(replicas: list[Replica]) -> None:
        one, two = replicas
        item = revocation(until=NOW + 100)
        await one.revoke(item)
        assert b":1\r\n" == redis.command("ZCARD", LOG_KEY)
        one.clock.now += 3 * 3_600
        await whole(two)
        assert redis.command("ZCARD", LOG_KEY) == b":1\r\n", "by the clock of Redis it has not ended"
        redis.command("DEL", item_key(item))
        await whole(two)
        assert redis.command("ZCARD", LOG_KEY) == b":0\r\n"
        assert not two.is_stale()
        assert len(two.known) == 0

    over(redis.url, body)


# Redis forgets.


def forget_all(redis: RedisServer) -> None:
    redis.command("FLUSHALL")


def forget_head(redis: RedisServer) -> None:
    redis.command("DEL", HEAD_KEY)


def forget_log(redis: RedisServer) -> None:
    redis.command("DEL", LOG_KEY)


def restart(redis: RedisServer) -> None:
    redis.kill()
    redis.restart()


@pytest.mark.parametrize("accident", [forget_all, forget_head, restart])
def test_what_redis_forgets_is_published_again_in_the_next_round(
    victim: RedisServer, accident: Callable[[RedisServer], None]
) -> None:
    async def body(replicas: list[Replica]) -> None:
        one, two, late = replicas
        item, other = revocation(), revocation()
        await one.revoke(item)
        await two.revoke(other)
        await two.round()
        accident(victim)
        await until_in_step(two)
        await until_in_step(late)
        assert late.knows(item)
        assert late.knows(other)

    over(victim.url, body, count=3)


def test_what_redis_forgets_in_part_is_published_again_in_the_next_whole_round(redis: RedisServer) -> None:
    async def body(replicas: list[Replica]) -> None:
        one, late = replicas
        item, other = revocation(), revocation()
        await one.revoke(item, other)
        await one.round()
        forget_log(redis)
        redis.command("DEL", item_key(item))
        await whole(one)
        await late.round()
        assert late.knows(item)
        assert late.knows(other)

    over(redis.url, body)


def test_an_older_state_after_a_failover_is_noticed(redis: RedisServer) -> None:
    """The last entry is lost, and another one takes its number: the gap shows at once."""

    async def body(replicas: list[Replica]) -> None:
        one, two, late = replicas
        first, lost, instead = revocation(), revocation(), revocation()
        await one.revoke(first)
        head = redis.command("GET", HEAD_KEY).split(b"\r\n")[1]
        await one.revoke(lost)
        await one.round()
        entry = redis.command("ZRANGE", LOG_KEY, "-1", "-1").split(b"\r\n")[2]
        redis.command("SET", HEAD_KEY, head)
        redis.command("ZREM", LOG_KEY, entry)
        redis.command("DEL", item_key(lost))
        await two.revoke(instead)
        assert await one.round() == ""
        assert one.knows(instead)
        assert await late.round() == ""
        assert late.knows(lost)

    over(redis.url, body, count=3)


def test_a_log_that_began_anew_is_noticed_though_our_last_entry_stands_where_it_stood(redis: RedisServer) -> None:
    async def body(replicas: list[Replica]) -> None:
        one, two = replicas
        first, last, other = revocation(), revocation(), revocation()
        await one.revoke(first)
        await one.revoke(last)
        await one.round()
        redis.command("FLUSHALL")
        await two.revoke(other)
        await two.revoke(last)
        assert await one.round() == ""
        assert one.knows(other)

    over(redis.url, body)


# Redis is away.


def test_without_redis_a_revocation_counts_here_and_is_shared_later(victim: RedisServer) -> None:
    async def body(replicas: list[Replica]) -> None:
        one, two = replicas
        await one.round()
        await two.round()
        victim.kill()
        item = revocation()
        assert not await one.revoke(item)
        assert one.knows(item)
        assert await one.round() != ""
        assert one.sharing.unshared == 1
        assert not one.is_stale()
        one.clock.now += STALE_AFTER_S
        assert one.is_stale()
        assert one.knows(item)
        victim.restart()
        await until_in_step(one)
        await until_in_step(two)
        assert two.knows(item)
        assert not one.is_stale()

    over(victim.url, body)


def test_a_replica_that_was_cut_off_knows_that_it_is_and_catches_up(redis: RedisServer) -> None:
    with Link(redis.port) as link:

        async def main() -> None:
            async with fleet(redis.url, count=1) as (one,), fleet(link.url, count=1, deadline_s=0.5) as (two,):
                one.clock = two.clock
                await two.round()
                link.state = LinkState.CUT
                item = revocation()
                await one.revoke(item)
                assert await two.round() != ""
                two.clock.now += STALE_AFTER_S
                assert two.is_stale()
                assert not two.knows(item)
                link.state = LinkState.WHOLE
                await until_in_step(two)
                assert two.knows(item)
                assert not two.is_stale()

        asyncio.run(main())


def test_a_full_redis_takes_nothing_and_takes_nothing_away(victim: RedisServer) -> None:
    async def body(replicas: list[Replica]) -> None:
        one, two = replicas
        old, new = revocation(), revocation()
        await one.revoke(old)
        victim.command("CONFIG", "SET", "maxmemory", "1")
        assert not await one.revoke(new)
        assert one.knows(new)
        assert await two.round() == "", "reading goes on"
        assert two.knows(old)
        victim.command("CONFIG", "SET", "maxmemory", "0")
        assert await one.round() == ""
        assert await two.round() == ""
        assert two.knows(new)

    over(victim.url, body)


# Secrets.

OLD, NEW = b"o" * 32, b"n" * 32


@pytest.mark.parametrize("mixed", [((OLD,), (OLD, NEW)), ((OLD, NEW), (NEW, OLD)), ((NEW, OLD), (NEW,))])
def test_while_secrets_are_rotated_the_old_and_the_new_process_understand_each_other(
    redis: RedisServer, mixed: tuple[tuple[bytes, ...], ...]
) -> None:
    over(redis.url, arrives, secret_sets=mixed)


def test_what_was_revoked_before_a_rotation_is_known_after_it(redis: RedisServer) -> None:
    """Each process is replaced by one that knows nothing: what it has to learn must be readable by then."""

    async def body(replicas: list[Replica]) -> None:
        item = revocation()
        await replicas[0].revoke(item)
        for replica in replicas:
            assert await replica.round() == ""
            assert replica.knows(item)
            await whole(replica)

    over(redis.url, body, secret_sets=((OLD,), (OLD, NEW), (NEW, OLD), (NEW,)))


def test_a_replica_with_another_secret_believes_nothing_and_says_that_it_is_not_in_step(redis: RedisServer) -> None:
    async def body(replicas: list[Replica]) -> None:
        one, foreign = replicas
        item = revocation()
        await one.revoke(item)
        assert "same cache secrets" in await foreign.round()
        assert not foreign.knows(item)
        assert foreign.is_stale()
        await foreign.revoke(revocation(by=RevokedBy.ORGANIZATION, value="acme"))
        assert await one.round() != ""
        assert len(one.known) == 1

    over(redis.url, body, secret_sets=((OLD,), (NEW,)))


# What stands there.


def test_nothing_in_redis_says_whom_a_revocation_means(redis: RedisServer) -> None:
    digest = "ab" * 32
    expires_at = NOW + 1_234
    items = [
        revocation(client=CLIENT, source="casdoor-webhook"),
        revocation(by=RevokedBy.ORGANIZATION, value="acme"),
        revocation(by=RevokedBy.JTI, value="the-jti"),
        revocation(by=RevokedBy.TOKEN, value=digest, until=expires_at),
    ]

    async def body(replicas: list[Replica]) -> None:
        await replicas[0].revoke(*items)

    over(redis.url, body)
    keys = [word for word in redis.command("KEYS", "*").split(b"\r\n") if word.startswith(b"extauthz:")]
    assert len(keys) == len(items) + 2
    everything = b"".join((*keys, *(redis.command("DUMP", key) for key in keys)))
    everything += redis.command("ZRANGE", LOG_KEY, "0", "-1", "WITHSCORES") + redis.command("GET", HEAD_KEY)
    told = (SUBJECT, CLIENT, ISSUER, "acme", "the-jti", digest, bytes.fromhex(digest), "casdoor", str(expires_at))
    for secret in told:
        assert (secret if isinstance(secret, bytes) else secret.encode()) not in everything


def test_everything_in_redis_has_an_end_of_life(redis: RedisServer) -> None:
    async def body(replicas: list[Replica]) -> None:
        await replicas[0].revoke(revocation(), revocation(until=NOW + 100))

    over(redis.url, body)
    keys = [word for word in redis.command("KEYS", "*").split(b"\r\n") if word.startswith(b"extauthz:")]
    lives = [int(redis.command("PTTL", key)[1:]) for key in keys]
    assert len(lives) == 4
    assert min(lives) > 0
    assert max(lives) <= (MAX_LIFE_S + 86_400) * 1000


# Clocks of replicas that are wrong.


def test_a_replica_whose_clock_is_ahead_takes_nothing_from_the_others(redis: RedisServer) -> None:
    """One that comes later still learns it from Redis, when nobody else is left."""

    async def body(replicas: list[Replica]) -> None:
        one, ahead, late = replicas
        item = revocation()
        await one.revoke(item)
        await ahead.round()
        ahead.clock = Hand(NOW + 32 * 86_400)
        ahead.sharing._clock = ahead.clock
        for _ in range(3):
            ahead.clock.now += WHOLE_EVERY_S
            await ahead.round()
        assert await late.round() == ""
        assert late.knows(item)

    over(redis.url, body, count=3)


def test_a_replica_whose_clock_was_set_ahead_writes_items_with_the_life_that_they_have(redis: RedisServer) -> None:
    async def body(replicas: list[Replica]) -> None:
        item, passed, clock = revocation(), Hand(5.0), Hand()
        ahead = Replica(replicas[0].sharing._log, clock, passed)
        await ahead.revoke(item)
        clock.now += 32 * 86_400
        redis.command("FLUSHALL")
        clock.now += WHOLE_EVERY_S
        await ahead.round()
        left = redis.command("TTL", item_key(item))
        assert int(left[1:]) > 30 * 86_400

    over(redis.url, body, count=1)


# Too many.


def test_two_replicas_at_the_limit_merge_and_agree(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("MAX_OF_EVENTS", 60), ("MAX_OF_SOURCE", 30), ("MAX_OF_SUBJECT", 3)):
        monkeypatch.setattr(bounds, name, value)

    def told(number: int, organization: str) -> Revocation:
        value = f"{organization}/u{number}"
        return revocation(by=RevokedBy.USER, value=value, organization=organization, source="casdoor-webhook")

    async def body(replicas: list[Replica]) -> None:
        one, two, late = replicas
        items = {
            replica: [told(number, name) for number in range(80)] for replica, name in ((one, "acme"), (two, "rival"))
        }
        for number in range(80):
            for replica in (one, two):
                await replica.revoke(items[replica][number])
        order = revocation(value="order")
        await two.revoke(order)
        for _ in range(3):
            await whole(one, two)
        assert await late.round() == ""
        for replica in replicas:
            assert await replica.round() == ""
            assert not replica.is_stale()
            assert replica.knows(order)
            for item in (*items[one], *items[two]):
                assert any(covers(other, item) for other in replica.known.in_force(NOW)), item
        assert len({frozenset(replica.known.in_force(NOW)) for replica in replicas}) == 1
        # The log holds what is in force, and not what was merged.
        assert int(redis.command("ZCARD", LOG_KEY)[1:]) <= len(one.known.items(NOW)) + 5

    over(redis.url, body, count=3)
