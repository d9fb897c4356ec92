import sys
import threading
from collections.abc import Iterator

import pytest

from extauthz.adapters.telemetry.labels import OTHER, LabelBounds
from extauthz.adapters.telemetry.tally import DURATION_BOUNDS_S, CheckLabels, DurationLabels, Tally
from extauthz.pdp.operation import Target, TargetKind
from extauthz.pdp.reason import Outcome, Reason
from extauthz.service.details import CacheUse
from extauthz.service.ports import CacheKind, CacheResult, FetchResult, ReloadResult, Tier
from tests.support.decided import STARTED_NS, decided, tool
from tests.support.policies import policy, resource, rule

POLICY = policy(resource([rule(["tools/call"], tools=["get_forecast"])]))


@pytest.fixture
def tally() -> Tally:
    return Tally(LabelBounds.of(POLICY, frozenset({"tools/call", "prompts/get"})))


def test_decisions_are_counted_by_bounded_labels(tally: Tally) -> None:
    for name in ("get_forecast", "get_forecast", "get_1", "get_2"):
        tally.checked(decided(targets=tool(name)))
    tally.checked(decided(outcome=Outcome.DENY, reason=Reason.TOKEN_MISSING, resource="", method="", targets=()))
    tally.checked(decided(method="prompts/get", targets=(Target(TargetKind.PROMPT, "summary"),)))
    assert tally.counts().checks == {
        CheckLabels(Outcome.ALLOW, Reason.ALLOWED, "weather", "tools/call", "get_forecast"): 2,
        CheckLabels(Outcome.ALLOW, Reason.ALLOWED, "weather", "tools/call", OTHER): 2,
        CheckLabels(Outcome.DENY, Reason.TOKEN_MISSING, "", "", ""): 1,
        CheckLabels(Outcome.ALLOW, Reason.ALLOWED, "weather", "prompts/get", ""): 1,
    }


@pytest.mark.parametrize(
    ("took_ns", "bucket"),
    [(0, 0), (10_000, 0), (10_001, 1), (65_000, 5), (5_000_000_000, 23), (5_000_000_001, 24), (-1_000, 0)],
)
def test_durations_fall_into_the_bucket_whose_bound_they_do_not_exceed(tally: Tally, took_ns: int, bucket: int) -> None:
    tally.checked(decided(ended_ns=STARTED_NS + took_ns))
    durations = tally.counts().durations[DurationLabels(Outcome.ALLOW, CacheUse.MEMORY)]
    assert durations.buckets == [int(index == bucket) for index in range(len(DURATION_BOUNDS_S) + 1)]
    assert durations.count == 1
    assert durations.sum_s == pytest.approx(took_ns / 1e9)


def test_everything_else_is_counted_by_its_own_words(tally: Tally) -> None:
    tally.looked_up(Tier.REDIS, CacheKind.DECISION, CacheResult.MISS)
    tally.looked_up(Tier.REDIS, CacheKind.DECISION, CacheResult.MISS)
    tally.fetched("casdoor", FetchResult.FAILED)
    tally.reloaded(ReloadResult.OK)
    tally.lost("queue", 3)
    counts = tally.counts()
    assert counts.lookups == {(Tier.REDIS, CacheKind.DECISION, CacheResult.MISS): 2}
    assert counts.fetches == {("casdoor", FetchResult.FAILED): 1}
    assert counts.reloads == {ReloadResult.OK: 1}
    assert counts.lost == {"queue": 3}


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads that interrupt each other as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def test_no_decision_is_lost_between_threads(tally: Tally, eager_threads: None) -> None:
    one = decided()

    def count() -> None:
        for _ in range(2_000):
            tally.checked(one)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(tally.counts().checks.values()) == 16_000
    assert sum(durations.count for durations in tally.counts().durations.values()) == 16_000


def test_another_policy_lets_other_names_count(tally: Tally) -> None:
    tally.bounds = LabelBounds.of(policy(resource([rule(["tools/call"], tools=["new"])])), frozenset())
    tally.checked(decided(targets=tool("new")))
    tally.checked(decided(targets=tool("get_forecast")))
    assert {labels.tool for labels in tally.counts().checks} == {"new", OTHER}


def test_a_copy_does_not_change_with_later_counts(tally: Tally) -> None:
    tally.checked(decided())
    before = tally.counts()
    tally.checked(decided())
    assert sum(before.checks.values()) == 1
    assert sum(durations.count for durations in before.durations.values()) == 1
