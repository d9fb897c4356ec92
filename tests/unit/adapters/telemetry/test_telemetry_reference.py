"""The reference page says what the code does: every attribute, metric and field, and no other."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from extauthz.adapters.telemetry.audit import record
from extauthz.adapters.telemetry.pipeline import Telemetry
from extauthz.adapters.telemetry.spans import attributes
from extauthz.pdp.operation import Target, TargetKind
from extauthz.pdp.principal import Principal
from extauthz.service.ports import CacheKind, CacheResult, FetchResult, KeySetState, ReloadResult, Tier
from tests.support.decided import ALICE, TRACE_ID, decided
from tests.support.policies import policy, resource

PAGE = (Path(__file__).parents[4] / "docs" / "reference" / "telemetry.md").read_text()
PROMETHEUS_NAME = re.compile(r"\bextauthz_[a-z_]+")

MACHINE = Principal(**{name: getattr(ALICE, name) for name in ALICE.__slots__} | {"machine": True})
EVERYTHING = decided(
    detail="why",
    principal=MACHINE,
    targets=(Target(TargetKind.TOOL, "t"), Target(TargetKind.PROMPT, "p" * 10_000)),
    missing_scopes=("a",),
    header_only=True,
)


def section(title: str) -> str:
    """A section of the page, without its subsections."""
    _, _, rest = PAGE.partition(f"\n## {title}\n")
    assert rest, f"no section {title}"
    return re.split(r"\n##+ ", rest)[0]


def first_column(text: str) -> set[str]:
    """The names in the first column of a table."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


@pytest.fixture
def exposed() -> str:
    telemetry = Telemetry(
        {},
        policy=policy(resource()),
        known_methods=frozenset(),
        audit_descriptor=None,
        registry=CollectorRegistry(),
    )
    telemetry.keys_from(lambda: (KeySetState(issuer="casdoor", age_s=1.0, keys=1, last_fault=""),))
    telemetry.revocation_counts_from(lambda: {"exact": 1, "merged": 0})
    observer = telemetry.observer
    observer.checked(EVERYTHING)
    observer.looked_up(Tier.MEMORY, CacheKind.TOKEN, CacheResult.HIT)
    observer.fetched("casdoor", FetchResult.OK)
    observer.reloaded(ReloadResult.OK)
    telemetry._tally.lost("queue", 1)
    body, _ = telemetry.exposition("")
    telemetry.stop()
    return body.decode()


def test_every_attribute_of_the_span() -> None:
    assert first_column(section("Span")) == set(attributes(EVERYTHING))


def test_every_field_of_the_audit_record() -> None:
    assert first_column(section("Audit record")) == set(record(EVERYTHING, TRACE_ID))


def test_every_metric_with_its_labels(exposed: str) -> None:
    families = {
        sample.name.removesuffix("_count"): set(sample.labels) - {"le"}
        for family in text_string_to_metric_families(exposed)
        for sample in family.samples
        if sample.name.startswith("extauthz_") and not sample.name.endswith(("_bucket", "_sum", "_created"))
    }
    documented = {}
    for line in section("Metrics").splitlines():
        if line.startswith("| `extauthz"):
            name = PROMETHEUS_NAME.findall(line)[0]
            labels = re.sub(r"\([^)]*\)|:.*", "", line.split("|")[4])
            documented[name] = {label.replace(".", "_") for label in re.findall(r"`([^`]+)`", labels)}
    assert documented == families


def test_every_metric_in_an_example_exists(exposed: str) -> None:
    known = set(PROMETHEUS_NAME.findall(exposed))
    queries = "".join(re.findall(r"```promql\n(.*?)```", PAGE, re.DOTALL))
    used = set(PROMETHEUS_NAME.findall(queries))
    assert used
    assert used <= known


@pytest.mark.parametrize("enum", [Tier, CacheKind, CacheResult, FetchResult, ReloadResult])
def test_every_word_that_a_label_can_have_is_listed(enum: type[Tier]) -> None:
    for word in enum:
        assert f"`{word.value}`" in section("Metrics")
