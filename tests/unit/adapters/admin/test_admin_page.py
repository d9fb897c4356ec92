"""The status page as an HTML parser sees it."""

import base64
import hashlib
from html.parser import HTMLParser
from typing import Any

import pytest

from extauthz.adapters.admin.page import CONTENT_SECURITY_POLICY, page
from extauthz.adapters.admin.status import CacheState, Component, Status
from extauthz.pdp.reason import Outcome, Reason
from extauthz.service.ports import KeySetState
from tests.support.decided import ALICE, STARTED_NS, decided, tool

NOW = STARTED_NS / 1e9 + 90

FULL = Status(
    version="1.2.3",
    started_at=NOW - 7_200,
    policy_source="extauthz.yaml",
    policy_revision="5d41402abc4b2a76",
    components=(Component(name="policy", ready=True), Component(name="keys of casdoor", ready=True)),
    key_sets=(KeySetState(issuer="casdoor", age_s=150.0, keys=2, last_fault="HTTP status 502"),),
    caches=(CacheState(name="decisions", tier="memory", entries=12_345, capacity=50_000),),
    decisions=(decided(),),
)


class Document(HTMLParser):
    """What is in the document: elements, their attributes, text by element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    @property
    def text(self) -> str:
        return " ".join(data for tag, data in self.texts if tag != "style")


def shown(**fields: Any) -> Document:
    values = {name: getattr(FULL, name) for name in Status.__slots__}
    return Document(page(Status(**(values | fields)), NOW))


def test_it_shows_what_the_on_call_engineer_asks_first() -> None:
    text = shown().text
    for wanted in (
        *(
            "extauthz is ready",
            "1.2.3",
            "5d41402abc4b2a76",
            "2.0 h",
            "keys of casdoor",
            "150",
            "12,345",
            "HTTP status 502",
        ),
        *("tools/call", "get_forecast", "extauthz.yaml:31", "4f1d0c8e2a7b9356", "allowed"),
    ):
        assert wanted in text.replace("2 min", "150"), wanted


@pytest.mark.parametrize(
    "components", [(), (Component(name="keys of casdoor", ready=False, detail="no answer yet"),)], ids=["none", "one"]
)
def test_it_says_when_it_is_not_ready_and_why(components: tuple[Component, ...]) -> None:
    text = shown(components=components).text
    assert "extauthz is not ready" in text
    assert all(one.detail in text for one in components)


def test_it_shows_why_the_file_on_disk_is_not_in_force() -> None:
    document = shown(policy_faults='extauthz.yaml:3:1: unknown key "isuers"\nsecond fault')
    assert ("pre", 'extauthz.yaml:3:1: unknown key "isuers"\nsecond fault') in document.texts


def test_an_issuer_without_keys_stands_out() -> None:
    document = shown(key_sets=(KeySetState(issuer="casdoor", age_s=None, keys=0, last_fault=""),))
    assert ("strong", "none held") in document.texts


def test_it_tells_nothing_about_who_called() -> None:
    text = page(FULL, NOW)
    for kept_back in (ALICE.subject, ALICE.name, ALICE.organization, ALICE.client_id, "scope-of-alice"):
        assert kept_back not in text


@pytest.mark.parametrize(
    "hostile",
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</td></table><h1>x", "'&lt;", "\x00\x1b\u202e"],
)
def test_every_value_is_text_and_nothing_else(hostile: str) -> None:
    clean = [tag for tag, _ in shown(policy_faults="x").elements]
    document = shown(
        version=hostile,
        policy_source=hostile,
        policy_revision=hostile,
        policy_faults=hostile,
        components=tuple(Component(name=hostile, ready=True, detail=hostile) for _ in range(2)),
        key_sets=(KeySetState(issuer=hostile, age_s=150.0, keys=2, last_fault=hostile),),
        caches=(CacheState(name=hostile, tier=hostile, entries=1, capacity=1, detail=hostile),),
        decisions=(
            decided(resource=hostile, method=hostile, targets=tool(hostile), rule=hostile, decision_id=hostile),
        ),
    )
    assert [tag for tag, _ in document.elements] == clean
    told = " ".join(data for tag, data in document.texts if tag not in ("style", "pre"))
    assert all(char.isprintable() or char == "\n" for char in told)


def test_a_name_that_is_too_long_is_cut() -> None:
    assert len(page(FULL, NOW)) + 1_000 > len(
        page(
            Status(
                **{
                    **{name: getattr(FULL, name) for name in Status.__slots__},
                    "decisions": (decided(method="x" * 100_000),),
                }
            ),
            NOW,
        )
    )


class TestForEverybody:
    def test_it_has_a_language_a_title_and_one_heading(self) -> None:
        document = shown()
        assert ("html", {"lang": "en"}) in document.elements
        assert ("title", "extauthz: ready") in document.texts
        assert [tag for tag, _ in document.elements].count("h1") == 1

    def test_each_table_has_a_caption_and_each_heading_a_scope(self) -> None:
        document = shown(decisions=(decided(outcome=Outcome.DENY, reason=Reason.POLICY_DENIED),) * 3)
        tags = [tag for tag, _ in document.elements]
        assert tags.count("table") == tags.count("caption") == 4
        assert all(attributes.get("scope") in ("col", "row") for tag, attributes in document.elements if tag == "th")

    def test_empty_tables_say_so(self) -> None:
        assert shown(decisions=(), caches=(), key_sets=()).text.count("None.") == 3


class TestNothingFromElsewhere:
    def test_nothing_is_loaded_and_nothing_is_run(self) -> None:
        document = shown()
        assert not {"script", "img", "link", "iframe", "object", "form"} & {tag for tag, _ in document.elements}
        names = {name for _, attributes in document.elements for name in attributes}
        assert not {name for name in names if name.startswith("on") or name in ("src", "style", "action")}
        links = [attributes["href"] for tag, attributes in document.elements if tag == "a"]
        assert links == ["metrics", "readyz"]

    def test_the_policy_allows_the_style_sheet_and_nothing_else(self) -> None:
        (style,) = [data for tag, data in shown().texts if tag == "style"]
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
        assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'; ")
        assert "unsafe" not in CONTENT_SECURITY_POLICY
