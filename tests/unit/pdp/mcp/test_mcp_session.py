"""One session id per request, wherever a server looks for it; streams and ends of sessions at the server's own path."""

import pytest

from extauthz.pdp.mcp.read import read_operation
from extauthz.pdp.mcp.session import read_session
from extauthz.pdp.operation import Operation, Unreadable
from extauthz.pdp.reason import Reason
from extauthz.pdp.request import HttpRequest

ID = "4f6c1e52b1f34d0c8a4e2f7d9b3a6c58"


def request(path: str = "/weather/mcp", method: str = "GET", **headers: str) -> HttpRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpRequest(method=method, scheme="https", authority="mcp.example.com", path=path, headers=named)


@pytest.mark.parametrize(
    "query",
    [
        "session_id=",
        "sessionId=",
        "SESSIONID=",
        "session-id=",
        "mcp_session_id=",
        "mcp-session-id=",
        "session%5Fid=",
        "%73essionId=",
        "a=b&session_id=",
        "a=b;session_id=",
        "session=x&sessionId=",
        "+session_id=",
    ],
)
def test_a_session_id_in_the_query_is_found_however_its_name_is_written(query: str) -> None:
    assert read_session(request(f"/weather/mcp?{query}{ID}")) == ID
    assert read_session(request(f"/weather/mcp?{query}{ID}&a=b")) == ID


@pytest.mark.parametrize("query", ["", "session=1", "id=1", "sessions=1", "xsession_id=1", "q=session_id", "a%3Db"])
def test_other_parameters_are_no_session_ids(query: str) -> None:
    assert read_session(request(f"/weather/mcp?{query}")) == ""
    assert read_session(request(f"/weather/mcp?{query}", mcp_session_id="s1")) == "s1"


@pytest.mark.parametrize(
    "query",
    [
        "session_id=a&session_id=a",
        "session_id=a&sessionId=b",
        "session_id=a&session%5Fid=a",
        "session_id=a;session_id=b",
        "session_id=",
        "session_id",
        "session_id=a%62",
        "session_id=a+b",
        "session_id={a}",
        "session_id=urn:uuid:a",
        "session_id=\u00e9",
        f"session_id={'a' * 1025}",
    ],
)
def test_what_is_not_one_session_id_in_its_plain_spelling_is_refused(query: str) -> None:
    path = f"/weather/mcp?{query}"
    assert read_session(request(path)) is None
    outcome = read_operation(request(path))
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is Reason.MESSAGE_INVALID


def test_header_and_query_have_to_name_the_same_session() -> None:
    assert read_session(request(f"/weather/mcp?session_id={ID}", mcp_session_id=ID)) == ID
    assert read_session(request(f"/weather/mcp?session_id={ID}", mcp_session_id="other")) is None
    assert read_session(request(f"/weather/mcp?session_id={ID}", mcp_session_id="a,b")) is None


# Own path.


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    ("own", "path", "covered"),
    [
        ("/weather/mcp", "/weather/mcp", True),
        ("/weather/mcp", "/weather/mcp/", True),
        ("/weather/mcp", "/weather/mcp?a=b", True),
        ("/weather/mcp", "/weather/mcp/?a=b", True),
        ("/weather/mcp", "/weather/mcp/below", False),
        ("/weather/mcp", "/weather/mcp//", False),
        ("/weather/mcp", "/weather/mcp/.", False),
        ("/weather/mcp", "/weather/mcp/../mcp", False),
        ("/weather/mcp", "/weather/MCP", False),
        ("/weather/mcp", "/weather/mcp%2f", False),
        ("/weather/mcp", "/weather", False),
        ("/weather/mcp", "/", False),
        ("", "/", True),
        ("", "/?a=b", True),
        ("", "/below", False),
        ("", "//", False),
    ],
)
def test_the_baseline_covers_streams_and_ends_at_the_servers_own_path(
    own: str, path: str, method: str, *, covered: bool
) -> None:
    operation = read_operation(request(path, method), own_path=own)
    assert isinstance(operation, Operation)
    assert operation.baseline is covered


# Last-Event-ID.

REFUSED = [
    {"last_event_id": "e1"},
    {"last_event_id": "e1", "mcp_session_id": ""},
    {"last_event_id": "", "mcp_session_id": "s1"},
    {"last_event_id": "e1,e2", "mcp_session_id": "s1"},
    {"last_event_id": "e1,e1", "mcp_session_id": "s1"},
    {"last_event_id": "e1,", "mcp_session_id": "s1"},
]


@pytest.mark.parametrize("headers", REFUSED)
def test_a_stream_is_resumed_at_one_event_of_a_session_only(headers: dict[str, str]) -> None:
    outcome = read_operation(request(**headers))
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is Reason.MESSAGE_INVALID


def test_one_event_beside_a_session_id_is_what_clients_send() -> None:
    assert isinstance(read_operation(request(last_event_id="e1", mcp_session_id="s1")), Operation)
    assert isinstance(read_operation(request(f"/mcp?session_id={ID}", last_event_id="e1")), Operation)


def test_the_event_with_an_underscore_in_its_name_is_refused() -> None:
    headers = {"last_event_id": "e1", "mcp-session-id": "s1"}
    outcome = read_operation(HttpRequest(method="GET", scheme="https", authority="h", path="/mcp", headers=headers))
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is Reason.HEADER_MISMATCH


@pytest.mark.parametrize("headers", [each for each in REFUSED if each.get("mcp_session_id") != ""])
def test_what_is_stripped_is_no_reason_to_refuse(headers: dict[str, str]) -> None:
    assert isinstance(read_operation(request(**headers), strips_last_event=True), Operation)
