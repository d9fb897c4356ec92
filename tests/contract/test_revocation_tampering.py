"""Who writes to the Redis that revocations come through can delay them, and take none away."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from extauthz.adapters.redis import revocation_log as log_module
from extauthz.adapters.redis.revocation_log import HEAD_KEY, LOG_KEY
from extauthz.pdp.revocation.revocation import MAX_LIFE_S, Revocation, RevokedBy, undo_of
from extauthz.service.ports import CacheResult
from extauthz.service.revocation import revocations as list_module
from extauthz.service.revocation.revocation_sharing import WHOLE_EVERY_S
from extauthz.service.revocation.revocations import STALE_AFTER_S
from tests.support.redis_server import RedisServer
from tests.support.revocation_fleet import Replica, item_key, over, whole
from tests.support.revocations import revocation
from tests.support.tokens import CLIENT, NOW

DOCUMENTATION: Final = Path(__file__).parents[2] / "docs" / "explanation" / "revocation.md"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("r")) as running:
        yield running


@pytest.fixture
def redis(shared: RedisServer) -> RedisServer:
    """An empty server that goes on."""
    shared.command("FLUSHALL")
    return shared


Tampering: TypeAlias = Callable[[RedisServer, Revocation, Revocation], object]


def overwrite(text: bytes) -> Tampering:
    return lambda redis, item, _: redis.command("SET", item_key(item), text)


def truncate(redis: RedisServer, item: Revocation, _: Revocation) -> None:
    sealed = value_of(redis, item_key(item))
    redis.command("SET", item_key(item), sealed[:-1])


def flip(redis: RedisServer, item: Revocation, _: Revocation) -> None:
    sealed = bytearray(value_of(redis, item_key(item)))
    sealed[20] ^= 1
    redis.command("SET", item_key(item), bytes(sealed))


def another_type(redis: RedisServer, item: Revocation, _: Revocation) -> None:
    redis.command("DEL", item_key(item))
    redis.command("RPUSH", item_key(item), "a")


def swap(redis: RedisServer, item: Revocation, other: Revocation) -> None:
    one, two = value_of(redis, item_key(item)), value_of(redis, item_key(other))
    redis.command("SET", item_key(item), two)
    redis.command("SET", item_key(other), one)


def remove(redis: RedisServer, item: Revocation, _: Revocation) -> None:
    redis.command("DEL", item_key(item))


def value_of(redis: RedisServer, key: str) -> bytes:
    reply = redis.command("GET", key)
    head, _, rest = reply.partition(b"\r\n")
    return rest[: int(head[1:])]


TAMPERING: dict[str, Tampering] = {
    "rubbish": overwrite(b"\x01rubbish"),
    "nothing": overwrite(b""),
    "a huge text": overwrite(b"\x01" * 300_000),
    "truncated": truncate,
    "one bit": flip,
    "another type": another_type,
    "swapped": swap,
    "removed": remove,
}


@pytest.mark.parametrize("how", TAMPERING)
def test_a_tampered_item_is_not_believed_is_noticed_and_is_put_right(redis: RedisServer, how: str) -> None:
    async def body(replicas: list[Replica]) -> None:
        one, two = replicas
        item, other = revocation(), revocation(by=RevokedBy.CLIENT, value=CLIENT)
        await two.round()
        await one.revoke(item, other)
        TAMPERING[how](redis, item, other)
        assert "cannot be read" in await two.round()
        assert not two.knows(item)
        assert two.seen(CacheResult.INVALID) >= 1
        two.clock.now += STALE_AFTER_S
        assert two.is_stale()
        assert one.knows(item), "who knows it goes on knowing it"
        await whole(one)
        assert await two.round() == ""
        assert two.knows(item)
        assert two.knows(other)
        assert not two.is_stale()

    over(redis.url, body)


@pytest.mark.parametrize(
    "words",
    [
        ("SET", HEAD_KEY, "rubbish"),
        ("SET", HEAD_KEY, "x" * 100_000),
        ("SET", HEAD_KEY, "abc:99999999999999999999:x"),
        ("SET", HEAD_KEY, "abc:999999999999999:x"),
        ("SET", HEAD_KEY, "abc:5:x"),
        ("RPUSH", HEAD_KEY, "a"),
        ("SET", LOG_KEY, "a"),
        ("RPUSH", LOG_KEY, "a"),
        ("ZADD", LOG_KEY, "inf", "a-member-of-mine"),
        ("ZADD", LOG_KEY, "1e300", "a-member-of-mine"),
        ("ZADD", LOG_KEY, "-5", "x" * 100_000),
        ("ZADD", LOG_KEY, "7", "../../etc/passwd.99"),
        ("ZADD", LOG_KEY, "7", b"\xff\xfe.99"),
    ],
)
def test_a_tampered_log_takes_nothing_away_and_is_put_right(redis: RedisServer, words: tuple[str | bytes, ...]) -> None:
    async def body(replicas: list[Replica]) -> None:
        one, two, late = replicas
        item, other, more = revocation(), revocation(), revocation()
        await one.revoke(item)
        await two.round()
        if words[0] != "ZADD":
            redis.command("DEL", words[1])
        assert not redis.command(*words).startswith(b"-")
        for _ in range(3):
            await one.round()
            await two.round()
        assert one.knows(item)
        assert two.knows(item)
        # It is put right without anything new being revoked.
        await whole(one, two)
        await one.round()
        assert await one.round() == ""
        await two.revoke(other)
        await whole(one, two)
        await one.revoke(more)
        for replica in replicas:
            await replica.round()
            assert await replica.round() == ""
            assert all(map(replica.knows, (item, other, more)))
            assert not replica.is_stale()
        assert late.knows(item)

    over(redis.url, body, count=3)


@pytest.mark.parametrize("score", ["inf", "-inf", "1e300", "-7", "0.5", "281474976710656"])
def test_no_score_of_somebody_elses_entry_stops_the_count(redis: RedisServer, score: str) -> None:
    async def body(replicas: list[Replica]) -> None:
        one, two = replicas
        redis.command("ZADD", LOG_KEY, score, "a-member-of-mine")
        for replica, item in ((one, revocation()), (two, revocation())):
            await replica.revoke(item)
            for each in replicas:
                assert await each.round() == ""
                assert each.knows(item)

    over(redis.url, body)


@pytest.mark.parametrize("number", ["-5", "0", "1"])
def test_an_entry_cannot_be_hidden_under_another_number(redis: RedisServer, number: str) -> None:
    async def body(replicas: list[Replica]) -> None:
        one, two, late = replicas
        first, second, hidden = revocation(), revocation(), revocation()
        await one.revoke(first, second)
        await two.round()
        await one.revoke(hidden)
        redis.command("ZADD", LOG_KEY, number, redis.command("ZRANGE", LOG_KEY, "-1", "-1").split(b"\r\n")[2])
        for replica in (two, late):
            assert await replica.round() == ""
            assert replica.knows(hidden)

    over(redis.url, body, count=3)


def test_an_entry_without_an_item_keeps_everyone_from_being_sure(redis: RedisServer) -> None:
    """It may be a revocation that nobody can tell us of any more."""

    async def body(everyone: list[Replica]) -> None:
        *replicas, late = everyone
        one, two = replicas
        item = revocation()
        await one.revoke(item)
        redis.command("ZADD", LOG_KEY, "1", f"somebodys-item.{NOW + 7_200}")
        await whole(one, two)
        for replica in replicas:
            assert "cannot be read" in await replica.round()
            assert replica.knows(item)
        # As the documentation says, when nobody knows it any more.
        assert f"DEL '{LOG_KEY}' '{HEAD_KEY}'" in DOCUMENTATION.read_text(encoding="utf-8")
        redis.command("DEL", LOG_KEY, HEAD_KEY)
        for replica in (*replicas, late):
            await replica.round()
            assert await replica.round() == ""
            assert replica.knows(item)

    over(redis.url, body, count=3)


def test_an_entry_ends_doubt_at_its_end_and_none_lasts_for_ever(redis: RedisServer) -> None:
    async def body(replicas: list[Replica]) -> None:
        (one,) = replicas
        redis.command("ZADD", LOG_KEY, "1", f"somebodys-item.{NOW + 7_200}")
        redis.command("ZADD", LOG_KEY, "2", f"another-item.{NOW + MAX_LIFE_S + 10 * 86_400}")
        assert await one.round() != ""
        one.clock.now += 7_200
        assert await one.round() == ""

    over(redis.url, body, count=1)


def test_a_replayed_item_does_not_come_back_to_life(redis: RedisServer) -> None:
    async def body(replicas: list[Replica]) -> None:
        one, two = replicas
        ended, undone = revocation(until=NOW + 100), revocation()
        await one.revoke(ended, undone)
        recorded = {each: value_of(redis, item_key(each)) for each in (ended, undone)}
        await one.revoke(undo_of(undone, id="undo-replayed", source="admin"))
        one.clock.now += 200
        redis.command("FLUSHALL")
        for number, (each, sealed) in enumerate(recorded.items()):
            redis.command("SET", item_key(each), sealed)
            redis.command("ZADD", LOG_KEY, str(number), f"{each.id}.{NOW + MAX_LIFE_S}")
        await whole(one, two)
        assert not two.knows(ended)
        assert not one.knows(undone)
        await whole(two)
        assert not two.knows(undone)

    over(redis.url, body)


def test_an_endless_log_is_not_read_to_its_end(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "MAX_ENTRIES", 20)

    async def body(replicas: list[Replica]) -> None:
        (one,) = replicas
        item = revocation()
        await one.revoke(item)
        for number in range(30):
            redis.command("ZADD", LOG_KEY, str(number), f"junk-{number:04}")
        one.clock.now += WHOLE_EVERY_S
        assert "more than 20 entries" in await one.round()
        assert one.knows(item)

    over(redis.url, body, count=1)


def test_more_than_a_process_holds_is_said_and_what_fits_counts(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(replicas: list[Replica]) -> None:
        one, two = replicas
        items = [revocation(by=RevokedBy.JTI, value=f"j{number}") for number in range(5)]
        await one.revoke(*items)
        monkeypatch.setattr(list_module, "MAX_REVOCATIONS", 3)
        assert "more revocations" in await two.round()
        assert sum(map(two.knows, items)) == 3
        assert two.is_stale()
        assert "more revocations" in await two.round()
        monkeypatch.undo()
        await whole(two)
        assert all(map(two.knows, items))
        assert not two.is_stale()

    over(redis.url, body)
