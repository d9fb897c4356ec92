"""Redirections in moments that no real cluster can be brought to; ordinary ones are in tests/contract."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from redis.exceptions import AskError, MovedError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from extauthz.adapters.redis.client import Command, RedisBusy, RedisRefusal, RedisUnreachable
from extauthz.adapters.redis.nodes import SlotMap
from extauthz.adapters.redis.router import MAX_UNDER_WAY, Router
from extauthz.adapters.redis.url import Address, read_redis_url

A, B = Address("10.0.0.1", 7001), Address("10.0.0.2", 7002)
NAMED = (A, B, Address("10.0.0.1", 7002))
STRANGER = Address("10.6.6.6", 7002)
KEY = "extauthz:1:k"
SLOT = 12_492
"""Of the key."""
READ: Command = ("GETRANGE", KEY, 0, 9)
CLAIM: Command = ("SET", KEY, b"v", "NX")


class Scripted:
    """A node that answers what the test says, and remembers what it was sent."""

    def __init__(self, *answers: list[Any] | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[tuple[Command, ...], bool]] = []
        self.lent_at: float | None = None
        self.closed = False

    async def send(self, commands: Sequence[Command], *, asking: bool) -> list[Any]:
        self.sent.append((tuple(commands), asking))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def retire(self) -> None:
        self.closed = True

    async def close(self) -> None:
        self.closed = True


class Map:
    """Says that one node has everything."""

    given = None

    async def find(self) -> SlotMap:
        return SlotMap([A] * 16_384, NAMED)

    async def close(self) -> None:
        return


def with_router(
    nodes: dict[Address, Scripted],
    body: Callable[[Router], Awaitable[None]],
    url: str = "redis+cluster://10.0.0.1:7001",
) -> None:
    async def main() -> None:
        router = Router(read_redis_url(url), clock=lambda: 0.0, deadline_s=2.0)
        router._finder = Map()
        router._map = SlotMap([A] * 16_384, NAMED)
        router._found_at = 0.0  # the map is not asked for again while the test runs
        router._nodes = dict(nodes)  # type: ignore[arg-type]  # scripted
        try:
            await body(router)
        finally:
            await router.close()

    asyncio.run(main())


def moved(to: str = "10.0.0.2:7002") -> MovedError:
    return MovedError(f"{SLOT} {to}")


def test_only_what_was_redirected_is_sent_again() -> None:
    """The first command was carried out when the slot left; sent twice it would be a retry."""
    a, b = Scripted([True, moved()]), Scripted([b"v"])

    async def body(router: Router) -> None:
        assert await router.send(KEY, CLAIM, READ) == [True, b"v"]
        assert a.sent == [((CLAIM, READ), False)]
        assert b.sent == [((READ,), False)]

    with_router({A: a, B: b}, body)


def test_after_a_slot_has_moved_its_new_owner_is_asked_first() -> None:
    a, b = Scripted([moved()]), Scripted([b"v"], [b"w"])

    async def body(router: Router) -> None:
        assert await router.send(KEY, READ) == [b"v"]
        assert router.place(KEY) == B
        assert await router.send(KEY, READ) == [b"w"]
        assert len(a.sent) == 1

    with_router({A: a, B: b}, body)


def test_a_slot_on_its_way_stays_where_it_was_for_the_next_command() -> None:
    a, b = Scripted([AskError(f"{SLOT} 10.0.0.2:7002")], [b"w"]), Scripted([b"v"])

    async def body(router: Router) -> None:
        assert await router.send(KEY, READ) == [b"v"]
        assert b.sent == [((READ,), True)]
        assert router.place(KEY) == A
        assert await router.send(KEY, READ) == [b"w"]

    with_router({A: a, B: b}, body)


def test_a_redirection_without_a_host_is_to_another_port_of_the_same() -> None:
    a, b = Scripted([moved(":7002")]), Scripted([b"v"])

    async def body(router: Router) -> None:
        assert await router.send(KEY, READ) == [b"v"]

    with_router({A: a, Address("10.0.0.1", 7002): b}, body)


def test_two_redirections_are_followed_and_no_third() -> None:
    a, b = Scripted([moved()], [moved()]), Scripted([moved("10.0.0.1:7001")])

    async def body(router: Router) -> None:
        with pytest.raises(RedisUnreachable, match="redirected more than 2 times"):
            await router.send(KEY, READ)
        assert (len(a.sent), len(b.sent)) == (2, 1)

    with_router({A: a, B: b}, body)


def test_an_error_of_the_command_is_a_refusal_and_one_of_the_connection_is_not() -> None:
    a = Scripted([ResponseError("WRONGTYPE of value")], RedisConnectionError("reset"))

    async def body(router: Router) -> None:
        with pytest.raises(RedisRefusal, match="WRONGTYPE"):
            await router.send(KEY, READ)
        assert router._finding is None
        with pytest.raises(RedisUnreachable, match="reset"):
            await router.send(KEY, READ)
        assert router._finding is not None

    with_router({A: a}, body)


def test_what_waits_is_bounded_and_says_nothing_about_redis() -> None:
    class Silent(Scripted):
        async def send(self, commands: Sequence[Command], *, asking: bool) -> list[Any]:
            await asyncio.Event().wait()
            return []

    async def body(router: Router) -> None:
        calls = (router.send(KEY, READ, within_s=0.01) for _ in range(MAX_UNDER_WAY + 3))
        faults = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(fault, RedisBusy) for fault in faults) == 3
        assert sum("did not answer within 10 ms" in str(fault) for fault in faults) == MAX_UNDER_WAY

    with_router({A: Silent()}, body)


@pytest.mark.parametrize("answer", [MovedError, AskError])
def test_a_server_that_the_cluster_does_not_name_is_not_gone_to(answer: type[AskError]) -> None:
    """A connection begins with the password."""
    a, stranger = Scripted([answer(f"{SLOT} {STRANGER}")]), Scripted()

    async def body(router: Router) -> None:
        with pytest.raises(RedisUnreachable, match="does not name"):
            await router.send(KEY, READ)
        assert stranger.sent == []
        assert router.place(KEY) == A

    with_router({A: a, STRANGER: stranger}, body)


@pytest.mark.parametrize("answer", [MovedError, AskError])
@pytest.mark.parametrize("url", ["redis://10.0.0.1:7001", "redis+sentinel://10.0.0.9/mymaster"])
def test_nothing_but_a_cluster_sends_us_elsewhere(url: str, answer: type[AskError]) -> None:
    a, b = Scripted([answer(f"{SLOT} {B}")]), Scripted()

    async def body(router: Router) -> None:
        with pytest.raises(RedisUnreachable, match=r"part of a cluster.*write redis\+cluster for redis"):
            await router.send(KEY, READ)
        assert b.sent == []

    with_router({A: a, B: b}, body, url)


def test_a_server_that_has_joined_since_is_gone_to_once_the_cluster_names_it() -> None:
    class Grown(Map):
        async def find(self) -> SlotMap:
            return SlotMap([A] * 16_384, (*NAMED, STRANGER))

    a, stranger = Scripted([AskError(f"{SLOT} {STRANGER}")]), Scripted([b"v"])

    async def body(router: Router) -> None:
        router._finder = Grown()
        stranger.lent_at = 0.0
        assert await router.send(KEY, READ) == [b"v"]

    with_router({A: a, STRANGER: stranger}, body)


QUOTED = "unknown command 'AUTH', with args beginning with: 'svc' 'Correct Horse' "


@pytest.mark.parametrize(
    "text",
    [
        QUOTED,
        "Correct Horse",
        "Correct%20Horse",
        "not permitted: Correct Hors",
        "x" * 190 + "Correct Horse",
        "Correct\\x20Horse Correct Horse",
    ],
)
@pytest.mark.parametrize("kind", [ResponseError, RedisConnectionError])
def test_no_error_shows_the_password(kind: type[Exception], text: str) -> None:
    a = Scripted([ResponseError(text)] if kind is ResponseError else kind(text))

    async def body(router: Router) -> None:
        with pytest.raises((RedisRefusal, RedisUnreachable)) as caught:
            await router.send(KEY, READ)
        assert "Horse" not in str(caught.value).replace("\\x20Horse", "")
        assert "Correct H" not in str(caught.value)

    with_router({A: a}, body, "redis://svc:Correct%20Horse@10.0.0.1:7001")


def test_an_error_is_one_printable_line() -> None:
    a = Scripted([ResponseError("x\x1b]0;owned\x07\nERROR forged line\u202e")])

    async def body(router: Router) -> None:
        with pytest.raises(RedisRefusal) as caught:
            await router.send(KEY, READ)
        assert str(caught.value).isprintable()

    with_router({A: a}, body)
