"""Obtains what a decision lacks. The asyncio side of `service.needs`; the procedure itself never waits.

Store keys are `<kind>:<digest>`, and what stands there is signed for that kind and key (`service.cache.signed_entry`).
"""

import hashlib
import math
from collections.abc import Callable
from typing import Final, assert_never

from extauthz.pdp.token.jwks import KeySet
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.cache.single_flight import SingleFlight
from extauthz.service.details import Wait
from extauthz.service.keys.key_service import KeyService
from extauthz.service.keys.keyring import RingKey, ring_key
from extauthz.service.needs import (
    Answer,
    EntryUnavailable,
    Introspected,
    Need,
    NeedBinding,
    NeedIntrospection,
    NeedKeys,
    NeedStored,
    Write,
)
from extauthz.service.ports import CacheKind, CacheResult, Introspector, Observer, Store, StoreUnavailable, Tier

CACHE_KINDS: Final = {
    "decision": CacheKind.DECISION,
    "token": CacheKind.TOKEN,
    "binding": CacheKind.SESSION,
}
"""The kinds of entries that decisions ask for, and what the cache metrics call them."""


class NeedResolver:
    """Answers needs. One event loop. Raises nothing but cancellation, which ends the caller's wait only.

    Without `store` or `signer` nothing is shared; without `introspector` introspection is unavailable. `clock` gives
    Unix seconds.
    """

    def __init__(
        self,
        *,
        keys: KeyService,
        store: Store | None,
        signer: Signer | None,
        introspector: Introspector | None,
        observer: Observer,
        clock: Callable[[], float],
    ) -> None:
        self._keys = keys
        self._store = store
        self._signer = signer
        self._introspector = introspector
        self._observer = observer
        self._clock = clock
        self._introspections: SingleFlight[tuple[RingKey, bytes], Introspected] = SingleFlight()
        self._gets: SingleFlight[str, bytes | EntryUnavailable | None] = SingleFlight()

    async def resolve(self, need: Need) -> Answer:
        """The answer to a need, of the type that the need promises."""
        match need:
            case NeedKeys():
                return await self._keys.obtain(need)
            case NeedStored():
                return await self._stored(need)
            case NeedBinding():
                return await self._bound(need)
            case NeedIntrospection():
                return await self._introspected(need)
        assert_never(need)

    async def write(self, write: Write) -> None:
        """Write an entry to the shared store; when that fails, it was not worth more."""
        if self._store is None:
            return
        try:
            await self._store.put(write.key, write.value, write.ttl_s)
        except StoreUnavailable:
            self._looked_up(write.key, CacheResult.UNAVAILABLE)

    async def close(self) -> None:
        """Stop introspections and look-ups that are under way."""
        await self._introspections.close()
        await self._gets.close()

    async def _stored(self, need: NeedStored) -> bytes | EntryUnavailable | None:
        store = self._store
        if store is None or self._signer is None:
            return None
        return await self._gets.run(need.key, lambda: self._got(store, need.key))

    async def _got(self, store: Store, key: str) -> bytes | EntryUnavailable | None:
        try:
            entry = await store.get(key)
        except StoreUnavailable as error:
            self._looked_up(key, CacheResult.UNAVAILABLE)
            return EntryUnavailable(str(error))
        if entry is None:
            self._looked_up(key, CacheResult.MISS)
            return None
        return self._genuine(key, entry, CacheResult.HIT)

    async def _bound(self, need: NeedBinding) -> bytes | EntryUnavailable:
        if self._store is None or self._signer is None:
            return EntryUnavailable("there is no shared store")
        try:
            entry = await self._store.put_if_absent(need.key, need.value, need.ttl_s)
        except StoreUnavailable as error:
            self._looked_up(need.key, CacheResult.UNAVAILABLE)
            return EntryUnavailable(str(error))
        genuine = self._genuine(need.key, entry, CacheResult.MISS if entry == need.value else CacheResult.HIT)
        # Something is there, so nothing was written: whose the session is cannot be told until it is gone.
        return EntryUnavailable("an entry that is not ours is stored there") if genuine is None else genuine

    def _genuine(self, key: str, entry: bytes, result: CacheResult) -> bytes | None:
        kind = key.partition(":")[0]
        # The store ends bindings by its own clock, which no clock of ours overrules (`service.sessions`).
        now = -math.inf if kind == "binding" else self._clock()
        if self._signer is None or self._signer.open(kind, key, entry, now) is None:
            self._looked_up(key, CacheResult.INVALID)
            return None
        self._looked_up(key, result)
        return entry

    async def _introspected(self, need: NeedIntrospection) -> Introspected:
        introspector = self._introspector
        if introspector is None:
            return Introspected.UNAVAILABLE
        flight = (ring_key(need.issuer), hashlib.sha256(need.token.encode()).digest())
        issuer, token, caller = need.issuer, need.token, need.caller
        return await self._introspections.run(flight, lambda: introspector.introspect(issuer, token, caller))

    def _looked_up(self, key: str, result: CacheResult) -> None:
        kind = CACHE_KINDS.get(key.partition(":")[0])
        if kind is not None:
            self._observer.looked_up(Tier.REDIS, kind, result)


def wait_of(need: Need, answer: Answer, started_ns: int, ended_ns: int) -> Wait:
    """What telemetry shows of one need and its answer."""
    match need:
        case NeedKeys():
            name, result = "extauthz.jwks", "ok" if isinstance(answer, KeySet) else "unavailable"
        case NeedStored():
            name, result = "extauthz.redis", "hit" if isinstance(answer, bytes) else "miss"
            if isinstance(answer, EntryUnavailable):
                result = "unavailable"
        case NeedBinding():
            name, result = "extauthz.redis", "ok" if isinstance(answer, bytes) else "unavailable"
        case NeedIntrospection():
            name = "extauthz.introspection"
            result = answer.value if isinstance(answer, Introspected) else Introspected.UNAVAILABLE.value
        case _:
            assert_never(need)
    return Wait(name=name, started_ns=started_ns, ended_ns=ended_ns, result=result)
