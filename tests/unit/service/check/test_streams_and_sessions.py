"""GET and DELETE, sessions of the transport HTTP+SSE, and resumed streams, through the whole procedure."""

import pytest

from extauthz.pdp.policy import LastEventId
from extauthz.pdp.reason import Reason
from extauthz.service.cache.signed_entry import Signer
from tests.support.checks import check_request, message
from tests.support.policies import policy, rule
from tests.support.world import RULES, World, mint, weather

ID = "4f6c1e52b1f34d0c8a4e2f7d9b3a6c58"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("route", ["", "weather"])
@pytest.mark.parametrize("signer", [None, Signer([b"0" * 32])], ids=["alone", "with a store"])
def test_below_the_own_path_the_baseline_is_not_enough(method: str, route: str, signer: Signer | None) -> None:
    """Nor is it after the same was permitted at the own path, and remembered."""
    where = World(signer=signer)
    own = check_request(token=mint(), method=method, route=route)
    below = check_request(token=mint(), method=method, path="/weather/mcp/admin", route=route)
    for asked in (where, where.sibling()):
        assert asked.ask(own).allowed
        refused = asked.ask(below)
        assert (refused.reason, refused.status) == (Reason.OPERATION_UNCOVERED, 403)
        assert asked.ask(own).allowed


def test_a_rule_can_cover_what_the_baseline_does_not() -> None:
    where = World(policy=policy(weather(rules=(*RULES, rule(["GET"], ["weather:write"])))))
    below = {"method": "GET", "path": "/weather/mcp/sse"}
    assert where.ask(check_request(token=mint("weather:write"), **below)).allowed  # type: ignore[arg-type]
    assert where.ask(check_request(token=mint(), **below)).reason == Reason.SCOPE_INSUFFICIENT  # type: ignore[arg-type]
    assert where.ask(check_request(token=mint())).allowed


@pytest.mark.parametrize("name", ["session_id", "sessionId"])
def test_a_session_in_the_query_belongs_to_its_first_principal(name: str) -> None:
    where = World()

    def posted(token: str, value: str = ID) -> str:
        path = f"/weather/mcp/messages/?{name}={value}"
        return where.ask(check_request(message("tools/list"), token=token, path=path)).reason

    assert posted(mint()) == Reason.ALLOWED
    for spelling in (ID, ID.upper(), f"{ID[:8]}-{ID[8:]}"):
        assert posted(mint(sub="mallory"), spelling) == Reason.SESSION_UNKNOWN
    header = check_request(token=mint(sub="mallory"), headers={"mcp-session-id": ID})
    assert where.ask(header).reason == Reason.SESSION_UNKNOWN
    assert posted(mint()) == Reason.ALLOWED


@pytest.mark.parametrize(
    ("headers", "removed"),
    [
        ({"last-event-id": "e1"}, True),
        ({"last-event-id": "e1,e2", "mcp-session-id": "s1"}, True),
        ({"last-event-id": "e1", "mcp-session-id": "s1"}, False),
        ({}, False),
    ],
)
def test_an_event_that_belongs_to_no_session_is_refused_or_stripped(headers: dict[str, str], *, removed: bool) -> None:
    asked = check_request(token=mint(), method="GET", headers=headers)
    answer = World().ask(asked)
    assert answer.reason == (Reason.MESSAGE_INVALID if removed else Reason.ALLOWED)
    stripping = World(policy=policy(weather(last_event_id=LastEventId.STRIP))).ask(asked)
    assert stripping.allowed
    assert ("last-event-id" in stripping.removed) is removed


def test_on_a_post_such_an_event_goes_no_further_either() -> None:
    answer = World().ask(check_request(token=mint(), headers={"last-event-id": "e1"}))
    assert answer.allowed
    assert "last-event-id" in answer.removed
