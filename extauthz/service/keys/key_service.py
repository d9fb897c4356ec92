"""Getting key sets: from memory, then from the shared store, then by one fetch for the whole fleet.

How a set is obtained, per issuer, one flight at a time in this process:

nothing held
    1. A document in the store that is younger than `jwks_ttl_s` is adopted.
    2. Else the lease is claimed. Held by another process: wait for the document it will publish, until the lease has
       run out; then claim again, since its holder has failed or died.
    3. Claimed, or the store cannot tell: fetch, adopt, publish, give the lease back.
    4. Failed: a document in the store up to `jwks_max_stale_s` old is adopted; else the keys are unavailable.
a token names a key that is not held, or its signature is bad (at most every 30 s)
    1. A document in the store that is newer than what is held is adopted.
    2. Else the fleet's right to fetch is claimed, for 30 s. Claimed by another process: wait for its document, unless
       that is the one held.
    3. Claimed, or the store cannot tell: fetch, adopt, publish.
refresh ahead of expiry, by the background loop
    As for nothing held, but nobody waits: where another process holds the lease, the loop's next step looks again.

After a failed fetch the lease is left to run out, so that a fleet of any size asks an issuer that is down only once
per lease. Whatever fails, the set that is held goes on counting up to its ceiling.
"""

import asyncio
from collections.abc import Callable, Iterable
from math import inf
from typing import Final, TypeGuard

from extauthz.pdp.policy import Issuer
from extauthz.pdp.token.jwks import KeySet, KeySetFault, parse_key_set
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.cache.single_flight import SingleFlight
from extauthz.service.keys.key_share import LEASE_S, ClaimKind, KeyShare, SharedDocument, Taken, Unannounced, Won
from extauthz.service.keys.keyring import REFETCH_INTERVAL_S, KeyRing, RingKey, ring_key
from extauthz.service.needs import KeysCause, KeysUnavailable, NeedKeys
from extauthz.service.ports import FetchResult, KeySetFetcher, KeySetUnavailable, Observer, Store

FETCH_DEADLINE_S: Final = 5.0
"""For one fetch with everything in it: a request waits for it only when nothing is held."""
POLL_S: Final = 0.05
"""How often a process that waits for another's fetch looks into the store."""
LEASE_SPREAD_S: Final = 0.5
"""Those who waited in vain for a lease to run out come back spread over this time, so that one gets it first."""
NOT_YET: Final = "no key set has been obtained yet: see the status page"
LEASE_ROUNDS: Final = 2
"""How often a process waits for another's fetch before it says that no keys can be had."""
LOOK_AGAIN_S: Final = 1.0
"""A document found in the store may be older than a rotation: how soon a token may cause another look."""


class KeyService:
    """Obtains key sets for checks and keeps them fresh. One event loop; nothing here raises.

    `clock` gives Unix seconds, `random` numbers in [0, 1) that no other process repeats (`SystemRandom().random`: a
    generator copied by `fork` would hand two workers the same lease). Without `store` or `signer` the process keeps to
    itself.
    """

    def __init__(
        self,
        *,
        ring: KeyRing,
        fetcher: KeySetFetcher,
        store: Store | None,
        signer: Signer | None,
        observer: Observer,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._ring = ring
        self._fetcher = fetcher
        self._share = None if store is None or signer is None else KeyShare(store, signer, observer, random)
        self._observer = observer
        self._clock = clock
        self._random = random
        self._flights: SingleFlight[RingKey, None] = SingleFlight()
        self._unpublished: dict[RingKey, tuple[Issuer, SharedDocument]] = {}

    async def obtain(self, need: NeedKeys) -> KeySet | KeysUnavailable:
        """The set to go on with: newer than the one held if the cause asks for that and it can be had now."""
        issuer, now = need.issuer, self._clock()
        held = self._ring.held(issuer, now)
        if held is None:
            if self._ring.may_fetch(issuer, now):  # guard: fetch-limited
                await self._fly(issuer, tokens_ask=False)
        elif need.cause is not KeysCause.NONE_HELD and self._ring.may_refetch(issuer, now):  # guard: refetch-limited
            await self._fly(issuer, tokens_ask=True)
        held = self._ring.held(issuer, self._clock())
        # guard: no-built-in-keys - there is nothing to fall back on
        return KeysUnavailable(self._ring.entry(issuer).last_fault or NOT_YET) if held is None else held

    async def warm(self, issuers: Iterable[Issuer]) -> None:
        """Obtain the sets of these issuers, all at once, as far as they can be had."""
        await asyncio.gather(*(self.obtain(NeedKeys(issuer=each, cause=KeysCause.NONE_HELD)) for each in issuers))

    async def refresh_due(self) -> None:
        """One step of the background loop (about once a second): fetch what is missing or nears its expiry.

        What the store missed when it was published is published again, since others may be waiting for it, for as long
        as they are kept from fetching themselves.
        """
        now = self._clock()
        for issuer, shared in tuple(self._unpublished.values()):
            await self._publish(issuer, shared)
        due = [issuer for issuer in self._ring.issuers if self._ring.due(issuer, now)]
        await asyncio.gather(*(self._fly(issuer, tokens_ask=False) for issuer in due))

    async def close(self) -> None:
        """Stop fetches that are under way."""
        await self._flights.close()

    async def _fly(self, issuer: Issuer, *, tokens_ask: bool) -> None:
        async def flight() -> None:
            try:
                if self._ring.held(issuer, self._clock()) is None:
                    await self._first(issuer)
                elif tokens_ask:
                    await self._refetch(issuer)
                else:
                    await self._refresh(issuer)
            except Exception as error:  # noqa: BLE001 - a bug in fetching fails closed here: held keys or none
                self._failed(issuer, f"fault in fetching keys ({type(error).__name__}): please report it")

        await self._flights.run(ring_key(issuer), flight)

    async def _first(self, issuer: Issuer) -> None:
        stale: SharedDocument | None = None
        fault = "another replica has been fetching the keys without success: see its log"
        for _ in range(LEASE_ROUNDS):
            now = self._clock()
            shared = await self._read(issuer, now)
            if isinstance(shared, SharedDocument):
                stale = shared
                if self._ring.fresh(shared.fetched_at, now) and self._adopt_shared(issuer, shared):
                    return
            known = -inf if stale is None else stale.fetched_at
            claim = await self._claim(ClaimKind.REFRESH, issuer, now)
            if await self._overtaken(issuer, known, claim):
                return
            if not isinstance(claim, Taken):
                fault = await self._fetch(issuer, now, claim)
                break
            patience_s = LEASE_S - (now - claim.started_at) + LEASE_SPREAD_S * self._random()
            if await self._published(issuer, known, patience_s):
                return
        if fault:
            if stale is not None:
                self._adopt_shared(issuer, stale)
            self._failed(issuer, fault)

    async def _refetch(self, issuer: Issuer) -> None:
        now = self._clock()
        self._ring.hold_off(issuer, now + REFETCH_INTERVAL_S)  # guard: refetch-holds-off
        known = self._ring.entry(issuer).fetched_at
        if self._is_newer(shared := await self._read(issuer, now), known) and self._adopt_shared(issuer, shared):
            self._ring.hold_off(issuer, now + LOOK_AGAIN_S)
            return
        claim = await self._claim(ClaimKind.REFETCH, issuer, now)
        if isinstance(claim, Taken):
            self._ring.hold_off(issuer, claim.started_at + REFETCH_INTERVAL_S)
            if known < claim.started_at:
                await self._published(issuer, known, LEASE_S - (now - claim.started_at))
        elif fault := await self._fetch(issuer, now, claim):
            self._failed(issuer, fault)

    async def _refresh(self, issuer: Issuer) -> None:
        now = self._clock()
        held = self._ring.entry(issuer)
        shared = await self._read(issuer, now)
        if self._is_newer(shared, held.fetched_at) and self._adopt_shared(issuer, shared):
            return
        claim = await self._claim(ClaimKind.REFRESH, issuer, now)
        if isinstance(claim, Taken) or await self._overtaken(issuer, held.fetched_at, claim):
            return
        if fault := await self._fetch(issuer, now, claim):
            self._failed(issuer, fault)
            if held.key_set is not None:
                # The store may have lost what we hold (a flush, a restart), and another process may be starting.
                shared = SharedDocument(document=held.key_set.document, fetched_at=held.fetched_at)
                await self._publish(issuer, shared)

    async def _fetch(self, issuer: Issuer, now: float, claim: Won | Unannounced) -> str:
        """Fetch, adopt and publish; the fault in words, empty when all went well."""
        try:
            async with asyncio.timeout(FETCH_DEADLINE_S):
                document = await self._fetcher.fetch(issuer)
        except KeySetUnavailable as error:
            return str(error)
        except TimeoutError:
            return f"the key set did not come within {FETCH_DEADLINE_S:g} s: check the way to the issuer"
        key_set = parse_key_set(document)
        if isinstance(key_set, KeySetFault):
            return key_set.detail
        self._ring.adopt(issuer, key_set, now)
        self._observer.fetched(issuer.name, FetchResult.OK)
        await self._publish(issuer, SharedDocument(document=key_set.document, fetched_at=now))
        if isinstance(claim, Won) and claim.kind is ClaimKind.REFRESH and self._share is not None:
            await self._share.give_back(claim)
        return ""

    async def _overtaken(self, issuer: Issuer, known: float, claim: Won | Taken | Unannounced) -> bool:
        """Whether another process published between our look at the store and our claim; then adopt that."""
        if not isinstance(claim, Won) or self._share is None:
            return False
        shared = await self._read(issuer, self._clock(), polling=True)
        if not self._is_newer(shared, known) or not self._adopt_shared(issuer, shared):
            return False
        await self._share.give_back(claim)
        return True

    async def _published(self, issuer: Issuer, known: float, patience_s: float) -> bool:
        """Wait until another process has published a document newer than `known`, and adopt it."""
        for _ in range(int(max(0.0, patience_s) / POLL_S) + 1):
            await asyncio.sleep(POLL_S)
            shared = await self._read(issuer, self._clock(), polling=True)
            if isinstance(shared, Unannounced):
                return False
            if self._is_newer(shared, known) and self._adopt_shared(issuer, shared):
                return True
        return False

    @staticmethod
    def _is_newer(shared: SharedDocument | Unannounced | None, known: float) -> TypeGuard[SharedDocument]:
        return isinstance(shared, SharedDocument) and shared.fetched_at > known

    def _adopt_shared(self, issuer: Issuer, shared: SharedDocument) -> bool:
        key_set = parse_key_set(shared.document)
        if isinstance(key_set, KeySetFault):
            return False
        self._ring.adopt(issuer, key_set, shared.fetched_at)
        self._observer.fetched(issuer.name, FetchResult.SHARED)
        return True

    def _failed(self, issuer: Issuer, fault: str) -> None:
        self._ring.failed(issuer, self._clock(), fault)
        self._observer.fetched(issuer.name, FetchResult.FAILED)

    async def _read(self, issuer: Issuer, now: float, *, polling: bool = False) -> SharedDocument | Unannounced | None:
        return None if self._share is None else await self._share.read(issuer, now, polling=polling)

    async def _claim(self, kind: ClaimKind, issuer: Issuer, now: float) -> Won | Taken | Unannounced:
        return Unannounced() if self._share is None else await self._share.claim(kind, issuer, now)

    async def _publish(self, issuer: Issuer, shared: SharedDocument) -> None:
        if self._share is None:
            return
        now = self._clock()
        if await self._share.publish(issuer, shared, now, self._ring.terms.jwks_max_stale_s):
            self._unpublished.pop(ring_key(issuer), None)
        elif now - shared.fetched_at < REFETCH_INTERVAL_S:
            self._unpublished[ring_key(issuer)] = (issuer, shared)
        else:
            self._unpublished.pop(ring_key(issuer), None)
