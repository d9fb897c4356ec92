"""What processes tell each other through the store."""

from extauthz.adapters.memory_store import MemoryStore
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.keys.key_share import CLAIM_TTL_S, ClaimKind, KeyShare, SharedDocument, Taken, Unannounced, Won
from extauthz.service.keys.keyring import CLOCK_STEP_S
from extauthz.service.ports import CacheResult
from tests.support.clock import Clock, run
from tests.support.key_fleet import ISSUER, SECRET, Recorder, document

NOW = 1_800_000_000.0
DAY_S = 86_400.0
DOCUMENT = document("RS256")


def share(store: MemoryStore, *, secret: bytes = SECRET, random: float = 0.5) -> KeyShare:
    return KeyShare(store, Signer([secret]), Recorder(), lambda: random)


def fetched(at: float) -> SharedDocument:
    return SharedDocument(document=DOCUMENT, fetched_at=at)


def test_a_published_document_is_read_with_the_moment_of_its_fetch() -> None:
    async def main(clock: Clock) -> None:
        store = MemoryStore(clock=clock)
        await share(store).publish(ISSUER, fetched(NOW - 2), NOW, DAY_S)
        assert await share(store).read(ISSUER, NOW) == fetched(NOW - 2)

    run(main, at=NOW)


def test_a_document_ends_when_it_reaches_the_stale_ceiling_counted_from_its_fetch() -> None:
    async def main(clock: Clock) -> None:
        store = MemoryStore(clock=clock)
        await share(store).publish(ISSUER, fetched(NOW - 1000), NOW, 1500)
        assert await share(store).read(ISSUER, NOW + 499) is not None
        assert await share(store).read(ISSUER, NOW + 500) is None

    run(main, at=NOW)


def test_an_earlier_document_does_not_replace_a_later_one() -> None:
    async def main(clock: Clock) -> None:
        store = MemoryStore(clock=clock)
        await share(store).publish(ISSUER, fetched(NOW), NOW, DAY_S)
        await share(store).publish(ISSUER, fetched(NOW - 5), NOW, DAY_S)
        assert await share(store).read(ISSUER, NOW) == fetched(NOW)

    run(main, at=NOW)


def test_a_document_of_a_clock_a_little_ahead_counts_as_fetched_now() -> None:
    async def main(clock: Clock) -> None:
        store = MemoryStore(clock=clock)
        await share(store).publish(ISSUER, fetched(NOW + 3), NOW + 3, DAY_S)
        assert await share(store).read(ISSUER, NOW) == fetched(NOW)

    run(main, at=NOW)


def test_a_document_from_far_in_the_future_is_not_trusted_to_be_fresh() -> None:
    async def main(clock: Clock) -> None:
        store = MemoryStore(clock=clock)
        then = NOW + CLOCK_STEP_S + 1
        await share(store).publish(ISSUER, fetched(then), then, DAY_S)
        assert await share(store).read(ISSUER, NOW) is None

    run(main, at=NOW)


def test_polls_are_not_reported_and_look_ups_are() -> None:
    async def main(clock: Clock) -> None:
        store, observer = MemoryStore(clock=clock), Recorder()
        reader = KeyShare(store, Signer([SECRET]), observer, lambda: 0.5)
        await reader.read(ISSUER, NOW, polling=True)
        assert observer.look_ups == []
        await reader.read(ISSUER, NOW)
        await share(store).publish(ISSUER, fetched(NOW), NOW, DAY_S)
        await reader.read(ISSUER, NOW)
        assert [result for _, _, result in observer.look_ups] == [CacheResult.MISS, CacheResult.HIT]

    run(main, at=NOW)


def test_one_claim_wins_and_the_other_learns_when_it_began() -> None:
    async def main(clock: Clock) -> None:
        store = MemoryStore(clock=clock)
        won = await share(store, random=0.1).claim(ClaimKind.REFRESH, ISSUER, NOW)
        assert isinstance(won, Won)
        assert await share(store, random=0.2).claim(ClaimKind.REFRESH, ISSUER, NOW + 1) == Taken(started_at=NOW)

    run(main, at=NOW)


def test_claims_of_different_kinds_do_not_meet() -> None:
    async def main(clock: Clock) -> None:
        store = MemoryStore(clock=clock)
        for kind in ClaimKind:
            assert isinstance(await share(store, random=0.1).claim(kind, ISSUER, NOW), Won)

    run(main, at=NOW)


def test_a_claim_given_back_can_be_won_again_at_once() -> None:
    async def main(clock: Clock) -> None:
        store = MemoryStore(clock=clock)
        won = await share(store, random=0.1).claim(ClaimKind.REFRESH, ISSUER, NOW)
        assert isinstance(won, Won)
        await share(store).give_back(won)
        assert isinstance(await share(store, random=0.2).claim(ClaimKind.REFRESH, ISSUER, NOW), Won)

    run(main, at=NOW)


def test_giving_back_a_claim_that_ran_out_does_not_end_its_successors() -> None:
    """The fencing value: the late holder's claim is not the one that stands."""

    async def main(clock: Clock) -> None:
        store = MemoryStore(clock=clock)
        late = await share(store, random=0.1).claim(ClaimKind.REFRESH, ISSUER, NOW)
        assert isinstance(late, Won)
        await store.delete_if_equal(late.key, late.value)
        successor = await share(store, random=0.2).claim(ClaimKind.REFRESH, ISSUER, NOW)
        assert isinstance(successor, Won)
        await share(store).give_back(late)
        assert isinstance(await share(store, random=0.3).claim(ClaimKind.REFRESH, ISSUER, NOW), Taken)

    run(main, at=NOW)


def test_a_claim_ends_by_itself() -> None:
    async def main(clock: Clock) -> None:
        for kind in ClaimKind:
            store = MemoryStore(clock=clock)
            start = clock()
            await share(store, random=0.1).claim(kind, ISSUER, start)
            clock.set_back(-CLAIM_TTL_S[kind])
            assert isinstance(await share(store, random=0.2).claim(kind, ISSUER, clock()), Won)

    run(main, at=NOW)


def test_a_claim_under_another_secret_tells_nothing() -> None:
    async def main(clock: Clock) -> None:
        store = MemoryStore(clock=clock)
        await share(store, secret=b"f" * 32).claim(ClaimKind.REFRESH, ISSUER, NOW)
        assert await share(store).claim(ClaimKind.REFRESH, ISSUER, NOW) == Unannounced()

    run(main, at=NOW)
