"""One flight per key."""

import asyncio
from functools import partial

import pytest

from extauthz.service.cache.single_flight import SingleFlight


def test_those_who_want_the_same_at_once_share_one_flight() -> None:
    async def main() -> None:
        flights: SingleFlight[str, int] = SingleFlight()
        started: list[str] = []

        async def flight(key: str) -> int:
            started.append(key)
            await asyncio.sleep(0)
            return len(started)

        results = await asyncio.gather(*(flights.run(key, partial(flight, key)) for key in "aabab"))
        assert started == ["a", "b"]
        assert len(set(results)) <= 2
        await flights.run("a", lambda: flight("a"))
        assert started == ["a", "b", "a"]

    asyncio.run(main())


def test_a_caller_that_leaves_does_not_end_the_flight_of_the_others() -> None:
    async def main() -> None:
        flights: SingleFlight[str, str] = SingleFlight()
        gate = asyncio.Event()

        async def flight() -> str:
            await gate.wait()
            return "landed"

        leaver = asyncio.ensure_future(flights.run("k", flight))
        stayer = asyncio.ensure_future(flights.run("k", flight))
        await asyncio.sleep(0)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        gate.set()
        assert await stayer == "landed"

    asyncio.run(main())


def test_an_error_reaches_every_caller_and_the_next_flight_is_a_new_one() -> None:
    async def main() -> None:
        flights: SingleFlight[str, str] = SingleFlight()

        async def crash() -> str:
            await asyncio.sleep(0)
            raise OSError("crash")

        async def land() -> str:
            return "landed"

        results = await asyncio.gather(flights.run("k", crash), flights.run("k", crash), return_exceptions=True)
        assert [type(result) for result in results] == [OSError, OSError]
        assert await flights.run("k", land) == "landed"

    asyncio.run(main())


def test_closing_cancels_what_is_under_way_and_waits_for_its_end() -> None:
    async def main() -> None:
        flights: SingleFlight[str, None] = SingleFlight()
        ended: list[str] = []
        started = asyncio.Event()

        async def flight() -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.append("ended")

        caller = asyncio.ensure_future(flights.run("k", flight))
        await started.wait()
        await flights.close()
        assert ended == ["ended"]
        with pytest.raises(asyncio.CancelledError):
            await caller

    asyncio.run(main())
