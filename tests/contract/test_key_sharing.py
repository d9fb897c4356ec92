"""Two processes' key services over a real Redis and a real HTTP issuer, in real time.

What takes minutes or hours is in tests/unit/service/test_key_service.py, in virtual time.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from extauthz.adapters.issuers.key_sets import IssuerHttp
from extauthz.adapters.redis.store import RedisStore, connect
from extauthz.pdp.policy import CacheTerms, Issuer
from extauthz.pdp.token.jwks import KeySet
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.keys.key_service import KeyService
from extauthz.service.keys.keyring import KeyRing
from extauthz.service.needs import KeysCause, NeedKeys
from extauthz.service.ports import FetchResult
from tests.support.http_issuer import HttpIssuer
from tests.support.key_fleet import SECRET, Recorder, document
from tests.support.redis_server import RedisServer
from tests.support.tokens import ISSUER

GENEROUS_S = 2.0
"""Deadline of the store where nothing is meant to be slow: this machine may be busy."""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as running:
        yield running


@pytest.fixture
def http() -> Iterator[HttpIssuer]:
    with HttpIssuer() as running:
        running.answer("/jwks", body=document("RS256"))
        yield running


@dataclass(frozen=True, kw_only=True)
class Process:
    """What one process has for its keys."""

    issuer: Issuer
    ring: KeyRing
    service: KeyService
    store: RedisStore
    observer: Recorder

    async def knows(self, key_id: str) -> bool:
        """Whether a token that names this key finds it; asks as the procedure does."""
        now = time.time()
        held = self.ring.held(self.issuer, now)
        cause = KeysCause.NONE_HELD
        if held is not None:
            if held.knows(key_id) or not self.ring.may_refetch(self.issuer, now):
                return held.knows(key_id)
            cause = KeysCause.UNKNOWN_KEY
        answer = await self.service.obtain(NeedKeys(issuer=self.issuer, cause=cause))
        return isinstance(answer, KeySet) and answer.knows(key_id)


@asynccontextmanager
async def processes(
    redis: RedisServer,
    http: HttpIssuer,
    *,
    count: int = 2,
    terms: CacheTerms | None = None,
    deadline_s: float = GENEROUS_S,
) -> AsyncIterator[list[Process]]:
    issuer = Issuer(name="casdoor", issuer=ISSUER, jwks_uri=f"{http.url}/jwks")
    fleet: list[Process] = []
    for _ in range(count):
        observer = Recorder()
        randomness = random.SystemRandom().random
        ring = KeyRing([issuer], terms or CacheTerms(), randomness)
        store = connect(redis.url, clock=time.monotonic, deadline_s=deadline_s)
        service = KeyService(
            ring=ring,
            fetcher=IssuerHttp(clock=time.monotonic),
            store=store,
            signer=Signer([SECRET]),
            observer=observer,
            clock=time.time,
            random=randomness,
        )
        fleet.append(Process(issuer=issuer, ring=ring, service=service, store=store, observer=observer))
    try:
        yield fleet
    finally:
        for process in fleet:
            await process.service.close()
            await process.store.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(2000):
        if await condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("did not happen within 20 s")


def test_a_fleet_that_starts_fetches_once(redis: RedisServer, http: HttpIssuer) -> None:
    async def main() -> None:
        async with processes(redis, http, count=4) as fleet:
            assert await asyncio.gather(*(process.knows("cert-rs256") for process in fleet)) == [True] * 4
            assert http.count("/jwks") == 1
            results = [dict(process.observer.fetches) for process in fleet]
            assert results.count({FetchResult.OK: 1}) == 1
            assert results.count({FetchResult.SHARED: 1}) == 3

    asyncio.run(main())


def test_a_flood_of_invented_kids_causes_one_fetch_while_good_tokens_go_on(
    redis: RedisServer, http: HttpIssuer
) -> None:
    async def main() -> None:
        async with processes(redis, http) as fleet:
            for process in fleet:
                assert await process.knows("cert-rs256")
            before = http.count("/jwks")

            async def flood(process: Process) -> None:
                for number in range(5000):
                    assert not await process.knows(f"invented-{number}")
                    assert await process.knows("cert-rs256")

            await asyncio.gather(*(flood(process) for process in fleet))
            assert http.count("/jwks") - before == 1

    asyncio.run(main())


def test_a_new_kid_is_fetched_by_one_and_found_by_the_other(redis: RedisServer, http: HttpIssuer) -> None:
    async def main() -> None:
        async with processes(redis, http) as (one, other):
            assert await one.knows("cert-rs256")
            assert await other.knows("cert-rs256")
            http.answer("/jwks", body=document("RS256", "rotate"))
            assert await one.knows("cert-rotate")
            assert await other.knows("cert-rotate")
            assert http.count("/jwks") == 2

    asyncio.run(main())


def test_a_withdrawn_key_goes_with_the_next_refresh_and_a_failing_issuer_takes_no_key_away(
    redis: RedisServer, http: HttpIssuer
) -> None:
    async def main() -> None:
        http.answer("/jwks", body=document("RS256", "rotate"))
        async with processes(redis, http, terms=CacheTerms(jwks_ttl_s=1)) as fleet:

            async def refresh() -> list[KeySet]:
                await asyncio.gather(*(process.service.refresh_due() for process in fleet))
                sets = [process.ring.held(process.issuer, time.time()) for process in fleet]
                return [held for held in sets if held is not None]

            for process in fleet:
                assert await process.knows("cert-rotate")
            http.answer("/jwks", body=document("RS256"))

            async def withdrawn() -> bool:
                sets = await refresh()
                assert len(sets) == len(fleet)
                return not any(held.knows("cert-rotate") for held in sets)

            await until(withdrawn)
            http.answer("/jwks", status=500, body=b"")

            async def failed() -> bool:
                assert [held.knows("cert-rs256") for held in await refresh()] == [True] * len(fleet)
                return any(process.ring.states(time.time())[0].last_fault for process in fleet)

            await until(failed)

    asyncio.run(main())


@pytest.mark.parametrize("how", ["killed", "frozen", "wrong type"])
def test_with_a_redis_that_fails_each_process_goes_on_alone(redis: RedisServer, http: HttpIssuer, how: str) -> None:
    async def main() -> None:
        async with processes(redis, http, deadline_s=0.05) as fleet:
            for process in fleet:
                assert await process.knows("cert-rs256")
            before = http.count("/jwks")
            match how:
                case "killed":
                    redis.kill()
                case "frozen":
                    redis.freeze()
                case _:
                    for key in redis.command("KEYS", "*").split(b"\r\n"):
                        if key.startswith(b"extauthz:"):
                            redis.command("DEL", key)
                            redis.command("RPUSH", key, "x")
            http.answer("/jwks", body=document("RS256", "rotate"))
            for process in fleet:
                assert await process.knows("cert-rotate")
                for number in range(1000):
                    assert not await process.knows(f"invented-{number}")
            assert http.count("/jwks") - before <= len(fleet)

    asyncio.run(main())


def test_a_dump_of_redis_shows_neither_issuer_nor_name(redis: RedisServer, http: HttpIssuer) -> None:
    async def main() -> None:
        async with processes(redis, http) as (one, other):
            await one.knows("cert-rs256")
            await other.knows("cert-rs256")
            await other.knows("invented")
        keys = [key for key in redis.command("KEYS", "*").split(b"\r\n") if key.startswith(b"extauthz:")]
        assert len(keys) == 2
        for key in keys:
            shown = key + redis.command("GET", key)
            for word in (b"door.casdoor", b"127.0.0.1", b"invented", SECRET):
                assert word not in shown
            assert int(redis.command("PTTL", key)[1:-2]) > 0

    asyncio.run(main())
