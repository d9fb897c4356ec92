"""A session id belongs to its principal whatever era a request claims to be of."""

import json
from typing import Any

import pytest

from extauthz.pdp.reason import Reason
from tests.support.checks import check_request
from tests.support.mcp_requests import MODERN, modern, request
from tests.support.world import World, mint

LATER = "2027-01-01"


def in_session(token: str, method: str, version: str, message: dict[str, Any] | None = None) -> bytes:
    headers = {"mcp-session-id": "s1", "mcp-protocol-version": version}
    if message is None:
        return check_request(token=token, method=method, headers=headers)
    sent = modern(message, version=version)
    return check_request(sent.body, token=token, method=method, headers={**sent.headers, **headers})


@pytest.mark.parametrize("version", [MODERN, LATER])
@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("GET", None),
        ("DELETE", None),
        ("POST", request("initialize", {"protocolVersion": "2025-11-25"})),
        ("POST", request("tools/list")),
    ],
)
def test_another_principal_gets_no_further_by_naming_a_later_revision(
    method: str, message: dict[str, Any] | None, version: str
) -> None:
    """The Go SDK 1.8.0 streams the session's messages to a GET that names 2026-07-28, and ends it for such a DELETE."""
    where = World()
    assert where.ask(in_session(mint(), "GET", "2025-11-25")).allowed
    stolen = where.ask(in_session(mint(sub="mallory"), method, version, message))
    assert stolen.reason == Reason.SESSION_UNKNOWN
    assert json.dumps(stolen.body).count("mallory") == 0
    assert where.ask(in_session(mint(), method, version, message)).allowed
