"""What an event lacks, obtained on the I/O loop."""

import asyncio
from collections.abc import Iterator

import pytest

from extauthz.adapters.io_loop import IoLoop
from extauthz.adapters.revocation.event_keys import EventKeyResolver
from extauthz.service.needs import Answer, KeysCause, KeysUnavailable, Need, NeedKeys
from tests.support.world import CASDOOR, key_set

NEED = NeedKeys(issuer=CASDOOR, cause=KeysCause.NONE_HELD)


class NeedResolver:
    def __init__(self, *, hangs: bool = False) -> None:
        self.hangs = hangs
        self.cancelled = asyncio.Event()

    async def resolve(self, need: Need) -> Answer:
        assert need is NEED
        if self.hangs:
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        return key_set()


@pytest.fixture
def loop() -> Iterator[IoLoop]:
    made = IoLoop()
    made.start()
    yield made
    made.stop()


def test_what_is_obtained_is_the_answer(loop: IoLoop) -> None:
    assert EventKeyResolver(loop, NeedResolver())(NEED) == key_set()


def test_keys_that_do_not_come_in_time_cannot_be_had_and_nothing_waits_on(loop: IoLoop) -> None:
    need_resolver = NeedResolver(hangs=True)
    assert EventKeyResolver(loop, need_resolver, wait_s=0.05)(NEED) == KeysUnavailable(
        "they did not come within 0.05 s"
    )
    assert loop.submit(asyncio.wait_for(need_resolver.cancelled.wait(), 10)).result(20)
