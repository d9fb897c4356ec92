"""What conditions read under `request.` is what requests are matched by."""

import pytest

from extauthz.pdp.decision.request_values import request_values
from extauthz.pdp.decision.resource_index import ResourceIndex
from extauthz.pdp.operation import Era, MessageKind, Operation
from extauthz.pdp.policy import REQUEST_FIELDS
from extauthz.pdp.request import HttpRequest
from tests.support.policies import policy, resource

PLAIN = resource(name="plain", uri="https://mcp.example.com/mcp")
OPERATION = Operation(kind=MessageKind.REQUEST, method="tools/call", era=Era.LEGACY, protocol_version="2025-11-25")


def values(authority: str = "mcp.example.com", path: str = "/mcp", scheme: str = "https") -> dict[str, str | None]:
    request = HttpRequest(method="POST", scheme=scheme, authority=authority, path=path, headers={})
    return dict(request_values(request, OPERATION, PLAIN))


@pytest.mark.parametrize(
    ("authority", "scheme"),
    [
        ("mcp.example.com", "https"),
        ("MCP.Example.COM", "https"),
        ("mcp.example.com:443", "https"),
        ("mcp.example.com:443", "HTTPS"),
        ("MCP.example.com:443", "http"),
        ("mcp.example.com:80", "http"),
        ("mcp.example.com", ""),
    ],
)
def test_every_spelling_of_a_host_is_one_host(authority: str, scheme: str) -> None:
    assert values(authority, scheme=scheme)["host"] == "mcp.example.com"


@pytest.mark.parametrize(
    "authority",
    [
        "mcp.example.com:8443",
        "mcp.example.com.",
        "\u212acp.example.com",
        "mcp.example.com:443:8443",
        "mcp.example.com:80",
        "m\u0130cp.example.com",
    ],
)
def test_what_is_another_host_stays_another(authority: str) -> None:
    assert values(authority)["host"] == authority


def test_one_port_is_removed_at_most() -> None:
    assert values("mcp.example.com:443:443")["host"] == "mcp.example.com:443"
    assert values("mcp.example.com:443:80", scheme="http")["host"] == "mcp.example.com:443"


def test_only_ascii_has_lower_case() -> None:
    """U+212A (the sign for kelvin) and U+0130 become ASCII letters by Unicode's rules."""
    index = ResourceIndex.of(policy(resource(uri="https://k.example.com/mcp")))
    for authority, found in [("K.example.com", True), ("k.example.com", True), ("\u212a.example.com", False)]:
        request = HttpRequest(method="POST", scheme="https", authority=authority, path="/mcp", headers={})
        assert (index.find(request) is not None) is found
        assert (values(authority)["host"] == "k.example.com") is found


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("/mcp", "/mcp"),
        ("/mcp?a=/b", "/mcp"),
        ("/mcp/", "/mcp/"),
        ("/Mcp", "/Mcp"),
        ("//mcp", None),
        ("/a/../mcp", None),
        ("/mc%70", None),
        ("/mcp;x=1", None),
        ("/mcp\\x", None),
        ("*", None),
        ("", None),
    ],
)
def test_a_path_that_can_be_read_in_two_ways_has_no_value(path: str, read: str | None) -> None:
    assert values(path=path)["path"] == read


def test_the_rest_is_exact() -> None:
    found = values()
    assert (found["http_method"], found["method"], found["protocol_version"]) == ("POST", "tools/call", "2025-11-25")
    assert {*found, "target"} == set(REQUEST_FIELDS)
