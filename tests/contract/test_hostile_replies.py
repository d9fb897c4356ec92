"""A server that answers what no Redis answers: each operation ends with a miss, and the next server is used as ever."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from extauthz.adapters.redis.bounded_parser import MAX_REPLY_BYTES
from extauthz.adapters.redis.connect import redis_client
from extauthz.adapters.redis.revocation_log import RedisRevocationLog
from extauthz.adapters.redis.store import RedisStore, connect
from extauthz.service.cache.signed_entry import MAX_ENTRY_BYTES
from extauthz.service.ports import StoreUnavailable
from extauthz.service.revocation.revocation_cipher import RevocationCipher
from extauthz.service.revocation.revocation_sharing import LogDamaged
from tests.support.quoting_redis import QuotingRedis

WITHIN_S: Final = 60.0
DEADLINE_S: Final = 0.3

HOSTILE: Final[dict[str, bytes]] = {
    "nothing": b"",
    "a line end": b"\r\n",
    "an unknown type": b"?1\r\n",
    "HTTP": b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "zeros": bytes(4096),
    "a string that never comes": b"$1000000000\r\n",
    "a string of a negative length": b"$-2\r\n",
    "a string whose length is no number": b"$x\r\n",
    "a string that is longer than it says": b"$1\r\nxyz\r\n",
    "an endless line": b"+" + b"x" * 1_000_000,
    "an array of a billion": b"*1000000000\r\n",
    "an array of more than there are numbers": b"*99999999999999999999\r\n",
    "a billion after zeros": b"*0000000001000000000\r\n",
    "a map of a billion": b"%1000000000\r\n",
    "a set of a billion": b"~1000000000\r\n",
    "a push of a billion": b">1000000000\r\n",
    "arrays in arrays": b"*1\r\n" * 10_000,
    "pushes without end": b">1\r\n+x\r\n" * 20_000,
    "two replies": b"$1\r\nx\r\n$1\r\ny\r\n",
    "a list": b"*2\r\n$1\r\nx\r\n$1\r\ny\r\n",
    "a number": b":7\r\n",
    "a number that is none": b":seven\r\n",
    "a boolean": b"#t\r\n",
    "an error with controls": b"-ERR \x1b]0;x\x07\x00\xff\xfe\r\n",
    "an error of nothing": b"-\r\n",
    "MOVED to nowhere": b"-MOVED\r\n",
    "MOVED to a stranger": b"-MOVED 1 10.6.6.6:6379\r\n",
    "MOVED to a port that is none": b"-MOVED 99999999 h:999999999\r\n",
    "ASK without a slot": b"-ASK x y z\r\n",
    "NOAUTH in the middle": b"-NOAUTH Authentication required.\r\n",
    "READONLY": b"-READONLY You can't write against a read only replica.\r\n",
    "LOADING": b"-LOADING Redis is loading the dataset in memory\r\n",
}
assert len(HOSTILE) >= 20


class Answering:
    """Answers HELLO well or not, and everything else by the test's reply, until `well` is set."""

    def __init__(self, reply: bytes, *, hello: bool) -> None:
        self.reply = reply
        self.hello = hello
        self.well = False
        self.kept: dict[bytes, bytes] = {}

    def __call__(self, words: list[bytes]) -> bytes:
        if words[0] == b"HELLO":
            return self.reply if self.hello and not self.well else b"-ERR unknown command\r\n"
        if not self.well:
            return self.reply
        if words[0] == b"SET":
            self.kept[words[1]] = words[2]
            return b"+OK\r\n"
        found = self.kept.get(words[1], b"")
        return b"$%d\r\n%s\r\n" % (len(found), found)


async def misses(store: RedisStore) -> None:
    """Whatever comes back is either no answer, or bytes that the readers of entries will not believe."""
    for operation in (
        store.get("k"),
        store.put("k", b"v", 60),
        store.put_if_absent("k", b"v", 60),
        store.delete_if_equal("k", b"v"),
    ):
        (found,) = await asyncio.gather(operation, return_exceptions=True)
        if isinstance(found, BaseException):
            assert isinstance(found, StoreUnavailable), repr(found)
            assert str(found).isprintable()
        else:
            assert found is None or 0 < len(found) <= MAX_ENTRY_BYTES


async def is_used_again(store: RedisStore) -> None:
    for _ in range(1_000):
        try:
            await store.put("again", b"value", 60)
            if await store.get("again") == b"value":
                return
        except StoreUnavailable:
            await asyncio.sleep(0.02)
    pytest.fail(f"not used again: {store.last_fault}")


@pytest.mark.parametrize("hello", [False, True], ids=["to commands", "to the first words"])
@pytest.mark.parametrize("reply", HOSTILE.values(), ids=HOSTILE.keys())
def test_every_operation_ends_and_the_store_recovers(reply: bytes, hello: bool) -> None:
    answering = Answering(reply, hello=hello)

    async def main(port: int) -> None:
        store = connect(f"redis://127.0.0.1:{port}", clock=time.monotonic, deadline_s=DEADLINE_S)
        try:
            async with asyncio.timeout(WITHIN_S):
                await misses(store)
                answering.well = True
                # A second reply to the first words that comes after they were read shifts all later ones of that
                # connection: every entry is a miss then, as its signature is that of another key.
                if not (hello and reply == HOSTILE["two replies"]):
                    await is_used_again(store)
        finally:
            await store.close()

    with QuotingRedis(answer=answering) as redis:
        asyncio.run(main(redis.port))


@pytest.mark.parametrize("form", ["redis+cluster://127.0.0.1:{}", "redis+sentinel://127.0.0.1:{}/mymaster"])
@pytest.mark.parametrize("reply", HOSTILE.values(), ids=HOSTILE.keys())
def test_who_is_asked_for_the_servers_may_say_anything(form: str, reply: bytes) -> None:
    async def main(port: int) -> None:
        store = connect(form.format(port), clock=time.monotonic, deadline_s=DEADLINE_S)
        try:
            async with asyncio.timeout(WITHIN_S):
                await misses(store)
        finally:
            await store.close()

    with QuotingRedis(answer=Answering(reply, hello=False)) as redis:
        asyncio.run(main(redis.port))


@pytest.mark.parametrize("reply", HOSTILE.values(), ids=HOSTILE.keys())
def test_the_log_of_revocations_may_be_anything(reply: bytes) -> None:
    async def main(port: int) -> None:
        client = redis_client(f"redis://127.0.0.1:{port}", clock=time.monotonic, deadline_s=DEADLINE_S)
        cipher = RevocationCipher([b"s" * 32], bytes)
        log = RedisRevocationLog(client, cipher=cipher, new_epoch=lambda: "0", clock=time.time)
        questions: tuple[Callable[[], Awaitable[object]], ...] = (
            log.head,
            lambda: log.entries(0),
            lambda: log.read(["abcdefgh"]),
        )
        try:
            async with asyncio.timeout(WITHIN_S):
                for question in questions:
                    found = await asyncio.gather(question(), return_exceptions=True)
                    assert question is log.head or isinstance(found[0], Exception) or found[0] in ([], [None])
                    if isinstance(found[0], BaseException):
                        assert isinstance(found[0], StoreUnavailable | LogDamaged)
                        assert str(found[0]).isprintable()
        finally:
            await client.close()

    with QuotingRedis(answer=Answering(reply, hello=False)) as redis:
        asyncio.run(main(redis.port))


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_count_that_comes_in_pieces_is_seen(cut: int) -> None:
    from redis.exceptions import InvalidResponse

    from extauthz.adapters.redis.bounded_parser import BoundedParser

    class Stream:
        def __init__(self) -> None:
            self.pieces = [b"*1000000000\r\n"[:cut], b"*1000000000\r\n"[cut:]]

        async def read(self, _size: int) -> bytes:
            return self.pieces.pop(0)

    async def main() -> None:
        parser = BoundedParser(65_536)
        parser._stream, parser._connected = Stream(), True
        import hiredis

        parser._reader = hiredis.Reader(notEnoughData=Ellipsis)
        # As soon as the count has come whole, before the library sees its end.
        await parser.read_from_socket()
        with pytest.raises(InvalidResponse):
            await parser.read_from_socket()

    asyncio.run(main())


def test_a_reply_without_end_is_left(tmp_path: Path) -> None:
    piece = b"x" * (MAX_REPLY_BYTES // 16)
    answering = Answering(b"$900000000\r\n" + piece * 20, hello=False)

    async def main(port: int) -> None:
        store = connect(f"redis://127.0.0.1:{port}", clock=time.monotonic, deadline_s=30.0)
        try:
            with pytest.raises(StoreUnavailable, match="larger than any"):
                await store.get("k")
        finally:
            await store.close()

    with QuotingRedis(answer=answering) as redis:
        asyncio.run(main(redis.port))
