"""Sessions through real Envoy: one server behind two resources, a store that is away, what is below the own path."""

import json

import httpx
import pytest

from extauthz.demo.system import System
from extauthz.demo.walk.messages import tool_call
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

ACCEPT = "application/json, text/event-stream"
SCOPES = {"/mcp": "weather:read", "/notes/mcp": "notes:read"}


def ask(system: System, who: str, path: str, method: str = "POST", below: str = "", **headers: str) -> httpx.Response:
    token = system.issuer.token(who, resource=system.url + path, scopes=[SCOPES[path]]).access_token
    message = tool_call(1, "get_forecast", city="Oslo")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named |= {"authorization": f"Bearer {token}", "accept": ACCEPT}
    content = None
    if method == "POST":
        named, content = {**named, "content-type": "application/json", **message.headers}, message.body
    with (
        httpx.Client(trust_env=False, timeout=15) as client,
        client.stream(method, system.url + path + below, headers=named, content=content) as response,
    ):
        # A stream that was opened would go on.
        return response


def reason(system: System, response: httpx.Response) -> str:
    """Why it was refused, or `allowed`: the answer may then be anything of the server's."""
    decision = response.headers.get("x-extauthz-decision", "")
    return str(json.loads(system.audit_line(decision))["reason"]) if decision else "allowed"


def used(system: System, who: str, path: str, session: str) -> str:
    return reason(system, ask(system, who, path, mcp_session_id=session))


@pytest.mark.xdist_group("system")
def test_one_server_behind_two_resources_has_one_owner_of_a_session(system: System) -> None:
    eventually(lambda: used(system, "alice", "/mcp", "two-doors") == "allowed", "the session is bound")
    assert used(system, "bob", "/mcp", "two-doors") == "session_unknown"
    assert used(system, "bob", "/notes/mcp", "two-doors") == "session_unknown"


@pytest.mark.xdist_group("system")
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_below_the_own_path_streams_and_ends_need_a_rule(system: System, method: str) -> None:
    assert reason(system, ask(system, "alice", "/mcp", method)) == "allowed"
    assert reason(system, ask(system, "alice", "/mcp", method, "/")) == "allowed"
    refused = ask(system, "alice", "/mcp", method, "/admin")
    assert (refused.status_code, reason(system, refused)) == (403, "operation_uncovered")


@pytest.mark.xdist_group("system")
def test_a_stream_is_resumed_within_a_session_only(system: System) -> None:
    refused = ask(system, "alice", "/mcp", "GET", last_event_id="e1")
    assert (refused.status_code, reason(system, refused)) == (400, "message_invalid")


@pytest.mark.xdist_group("system")
def test_a_session_id_in_the_query_is_one(system: System) -> None:
    def posted(who: str) -> str:
        return reason(system, ask(system, who, "/mcp", below="?sessionId=in-query"))

    eventually(lambda: posted("alice") == "allowed", "the session is bound")
    assert posted("bob") == "session_unknown"


def test_while_the_store_is_away_what_is_known_goes_on_and_nothing_is_taken(own_system: System) -> None:
    system = own_system
    assert system.valkey is not None
    eventually(lambda: used(system, "alice", "/mcp", "known") == "allowed", "the session is bound")
    system.valkey.kill()
    for who in ("bob", "alice"):
        refused = ask(system, who, "/mcp", mcp_session_id="unknown")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert reason(system, refused) == "deadline_exceeded"
    assert used(system, "alice", "/mcp", "known") == "allowed"
    assert used(system, "bob", "/mcp", "known") == "session_unknown"
    system.valkey.start()
    eventually(lambda: used(system, "alice", "/mcp", "unknown") == "allowed", "Redis is asked again")
    assert used(system, "bob", "/mcp", "unknown") == "session_unknown"
