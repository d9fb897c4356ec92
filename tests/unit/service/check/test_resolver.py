"""Obtaining what decisions lack."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

import pytest

from extauthz.adapters.memory_store import MemoryStore
from extauthz.pdp.policy import Introspection, Issuer
from extauthz.pdp.token.jwks import KeySet
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.check.resolver import NeedResolver, wait_of
from extauthz.service.details import Wait
from extauthz.service.needs import (
    Answer,
    EntryUnavailable,
    Introspected,
    KeysCause,
    KeysUnavailable,
    Need,
    NeedBinding,
    NeedIntrospection,
    NeedKeys,
    NeedStored,
    Write,
)
from extauthz.service.ports import CacheKind, CacheResult, Introspector, Store, StoreUnavailable, Tier
from tests.support.clock import Clock, run
from tests.support.key_fleet import ISSUER, SECRET, Recorder, Replica, ScriptedIssuer, document
from tests.support.tokens import issuer

NOW = 1_800_000_000.0
UNTIL = 1_800_000_060
SEALER = Signer([SECRET])


def in_virtual_time(main: Callable[[Clock], Coroutine[Any, Any, None]]) -> None:
    run(main, at=NOW)


class Away:
    """A store that is away."""

    async def get(self, key: str) -> bytes | None:
        raise StoreUnavailable(key)

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        raise StoreUnavailable(key)

    async def put_if_absent(self, key: str, value: bytes, ttl_s: float) -> bytes:
        raise StoreUnavailable(key)

    async def delete_if_equal(self, key: str, value: bytes) -> None:
        raise StoreUnavailable(key)


class ScriptedIntrospector:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def introspect(self, issuer: Issuer, token: str, caller: str) -> Introspected:
        self.asked.append(token)
        await asyncio.sleep(0.1)
        return Introspected.INACTIVE if token == "revoked" else Introspected.ACTIVE


class Bench:
    def __init__(
        self,
        clock: Clock,
        *,
        store: Store | None = None,
        signer: Signer | None = SEALER,
        introspector: Introspector | None = None,
    ) -> None:
        self.observer = Recorder()
        self.need_resolver = NeedResolver(
            keys=Replica(clock, ScriptedIssuer(clock, document("RS256")), None).service,
            store=store,
            signer=signer,
            introspector=introspector,
            observer=self.observer,
            clock=clock,
        )

    async def resolve(self, need: Need) -> Answer:
        return await self.need_resolver.resolve(need)

    @property
    def results(self) -> list[tuple[CacheKind, CacheResult]]:
        assert all(tier is Tier.REDIS for tier, _, _ in self.observer.look_ups)
        return [(kind, result) for _, kind, result in self.observer.look_ups]


def sealed(key: str, payload: bytes = b"p") -> bytes:
    return SEALER.sign(key.partition(":")[0], key, payload, UNTIL)


def test_keys_come_from_the_key_service() -> None:
    async def main(clock: Clock) -> None:
        assert isinstance(await Bench(clock).resolve(NeedKeys(issuer=ISSUER, cause=KeysCause.NONE_HELD)), KeySet)

    in_virtual_time(main)


KINDS = [("decision:1", CacheKind.DECISION), ("token:1", CacheKind.TOKEN)]


@pytest.mark.parametrize(("key", "kind"), KINDS)
def test_an_entry_is_written_then_found_by_its_key(key: str, kind: CacheKind) -> None:
    async def main(clock: Clock) -> None:
        bench = Bench(clock, store=MemoryStore(clock=clock))
        assert await bench.resolve(NeedStored(key=key)) is None
        await bench.need_resolver.write(Write(key=key, value=sealed(key), ttl_s=60))
        assert await bench.resolve(NeedStored(key=key)) == sealed(key)
        assert bench.results == [(kind, CacheResult.MISS), (kind, CacheResult.HIT)]

    in_virtual_time(main)


@pytest.mark.parametrize("value", [b"garbage", sealed("decision:2"), sealed("token:1"), sealed("decision:1")[:-1]])
def test_an_entry_that_is_not_ours_is_a_miss_and_reported_as_invalid(value: bytes) -> None:
    async def main(clock: Clock) -> None:
        store = MemoryStore(clock=clock)
        await store.put("decision:1", value, 60)
        bench = Bench(clock, store=store)
        assert await bench.resolve(NeedStored(key="decision:1")) is None
        assert bench.results == [(CacheKind.DECISION, CacheResult.INVALID)]

    in_virtual_time(main)


def test_one_entry_is_looked_up_once_however_many_ask_at_once() -> None:
    class Slow(MemoryStore):
        asked: ClassVar[list[str]] = []

        async def get(self, key: str) -> bytes | None:
            self.asked.append(key)
            await asyncio.sleep(0.001)
            return await super().get(key)

    async def main(clock: Clock) -> None:
        store = Slow(clock=clock)
        await store.put("decision:1", sealed("decision:1"), 60)
        bench = Bench(clock, store=store)
        needs = [NeedStored(key=key) for key in ("decision:1", "decision:2") * 50]
        answers = await asyncio.gather(*(bench.resolve(need) for need in needs))
        assert answers == [sealed("decision:1"), None] * 50
        assert sorted(store.asked) == ["decision:1", "decision:2"]
        await bench.resolve(needs[0])
        assert len(store.asked) == 3  # nothing is remembered here

    in_virtual_time(main)


def test_an_entry_past_its_time_that_an_attacker_kept_is_a_miss() -> None:
    async def main(clock: Clock) -> None:
        store = MemoryStore(clock=clock)
        await store.put("decision:1", sealed("decision:1"), 1000)
        bench = Bench(clock, store=store)
        await asyncio.sleep(60)
        assert await bench.resolve(NeedStored(key="decision:1")) is None

    in_virtual_time(main)


def test_a_store_that_is_away_is_told_apart_from_one_that_has_nothing() -> None:
    async def main(clock: Clock) -> None:
        bench = Bench(clock, store=Away())
        binding = NeedBinding(key="binding:1", value=sealed("binding:1"), ttl_s=60)
        assert await bench.resolve(NeedStored(key="decision:1")) == EntryUnavailable("decision:1")
        assert await bench.resolve(binding) == EntryUnavailable("binding:1")
        await bench.need_resolver.write(Write(key="decision:1", value=b"v", ttl_s=60))
        assert bench.results == [
            (CacheKind.DECISION, CacheResult.UNAVAILABLE),
            (CacheKind.SESSION, CacheResult.UNAVAILABLE),
            (CacheKind.DECISION, CacheResult.UNAVAILABLE),
        ]

    in_virtual_time(main)


@pytest.mark.parametrize("missing", ["store", "sealer"])
def test_without_a_store_or_a_secret_nothing_is_shared(missing: str) -> None:
    async def main(clock: Clock) -> None:
        store = None if missing == "store" else MemoryStore(clock=clock)
        bench = Bench(clock, store=store, signer=None if missing == "sealer" else SEALER)
        await bench.need_resolver.write(Write(key="decision:1", value=sealed("decision:1"), ttl_s=60))
        assert await bench.resolve(NeedStored(key="decision:1")) is None
        binding = NeedBinding(key="binding:1", value=sealed("binding:1"), ttl_s=60)
        assert isinstance(await bench.resolve(binding), EntryUnavailable)
        assert bench.results == []

    in_virtual_time(main)


def test_a_binding_belongs_to_whoever_came_first() -> None:
    async def main(clock: Clock) -> None:
        bench = Bench(clock, store=MemoryStore(clock=clock))
        first, second = sealed("binding:1", b"alice"), sealed("binding:1", b"mallory")
        assert await bench.resolve(NeedBinding(key="binding:1", value=first, ttl_s=60)) == first
        assert await bench.resolve(NeedBinding(key="binding:1", value=second, ttl_s=60)) == first
        assert bench.results == [(CacheKind.SESSION, CacheResult.MISS), (CacheKind.SESSION, CacheResult.HIT)]

    in_virtual_time(main)


def test_behind_a_forged_binding_nobody_can_tell_whose_the_session_is() -> None:
    async def main(clock: Clock) -> None:
        store = MemoryStore(clock=clock)
        await store.put("binding:1", b"mallory", 60)
        bench = Bench(clock, store=store)
        binding = NeedBinding(key="binding:1", value=sealed("binding:1"), ttl_s=60)
        assert isinstance(await bench.resolve(binding), EntryUnavailable)
        assert bench.results == [(CacheKind.SESSION, CacheResult.INVALID)]

    in_virtual_time(main)


def test_one_token_is_introspected_once_however_many_ask_at_once() -> None:
    async def main(clock: Clock) -> None:
        introspector = ScriptedIntrospector()
        bench = Bench(clock, introspector=introspector)
        needs = [NeedIntrospection(issuer=ISSUER, token=token) for token in ("good", "revoked") * 50]
        answers = await asyncio.gather(*(bench.resolve(need) for need in needs))
        assert answers == [Introspected.ACTIVE, Introspected.INACTIVE] * 50
        assert sorted(introspector.asked) == ["good", "revoked"]
        await bench.resolve(needs[0])
        assert len(introspector.asked) == 3  # its result is not remembered here

    in_virtual_time(main)


def test_one_token_is_introspected_at_each_issuer_that_is_to_be_asked() -> None:
    async def main(clock: Clock) -> None:
        introspector = ScriptedIntrospector()
        bench = Bench(clock, introspector=introspector)
        other = issuer(name="other", issuer="https://other.test")
        await asyncio.gather(*(bench.resolve(NeedIntrospection(issuer=each, token="t")) for each in (ISSUER, other)))
        assert introspector.asked == ["t", "t"]

    in_virtual_time(main)


def test_without_an_introspector_introspection_is_unavailable() -> None:
    async def main(clock: Clock) -> None:
        need = NeedIntrospection(issuer=ISSUER, token="t")
        assert await Bench(clock).resolve(need) is Introspected.UNAVAILABLE

    in_virtual_time(main)


def test_closing_ends_introspections_that_are_under_way() -> None:
    async def main(clock: Clock) -> None:
        bench = Bench(clock, introspector=ScriptedIntrospector())
        asking = asyncio.ensure_future(bench.resolve(NeedIntrospection(issuer=ISSUER, token="t")))
        await asyncio.sleep(0.01)
        await bench.need_resolver.close()
        with pytest.raises(asyncio.CancelledError):
            await asking

    in_virtual_time(main)


STORED = NeedStored(key="decision:1")
BINDING = NeedBinding(key="binding:1", value=b"v", ttl_s=1)
KEYS = NeedKeys(issuer=ISSUER, cause=KeysCause.NONE_HELD)
INTROSPECTION = NeedIntrospection(issuer=ISSUER, token="t")


@pytest.mark.parametrize(
    ("need", "answer", "name", "result"),
    [
        (KEYS, KeysUnavailable("down"), "extauthz.jwks", "unavailable"),
        (STORED, b"x", "extauthz.redis", "hit"),
        (STORED, None, "extauthz.redis", "miss"),
        (STORED, EntryUnavailable("away"), "extauthz.redis", "unavailable"),
        (BINDING, b"x", "extauthz.redis", "ok"),
        (BINDING, EntryUnavailable("away"), "extauthz.redis", "unavailable"),
        (INTROSPECTION, Introspected.ACTIVE, "extauthz.introspection", "active"),
        (INTROSPECTION, Introspected.UNAVAILABLE, "extauthz.introspection", "unavailable"),
    ],
)
def test_telemetry_shows_a_need_in_two_bounded_words(need: Need, answer: Answer, name: str, result: str) -> None:
    assert wait_of(need, answer, 1, 2) == Wait(name=name, started_ns=1, ended_ns=2, result=result)


def test_needs_and_writes_show_no_secret() -> None:
    shown = repr(
        [
            NeedIntrospection(issuer=ISSUER, token="TOPSECRET"),
            NeedBinding(key="k", value=b"TOPSECRET", ttl_s=1),
            Write(key="k", value=b"TOPSECRET", ttl_s=1),
            Introspection(client_id="gw", client_secret="TOPSECRET"),
        ]
    )
    assert "TOPSECRET" not in shown
