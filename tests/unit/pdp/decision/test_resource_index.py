import pytest

from extauthz.pdp.decision.resource_index import MAX_PATH_CHARS, ResourceIndex, authority_of, path_of
from extauthz.pdp.request import HttpRequest
from tests.support.policies import policy, resource

INDEX = ResourceIndex.of(
    policy(
        resource(name="weather", uri="https://mcp.example.com/weather/mcp", hosts=("weather.internal:8080",)),
        resource(name="deep", uri="https://mcp.example.com/weather/mcp/deep"),
        resource(name="other", uri="https://mcp.example.com/other"),
        resource(name="root", uri="https://root.example.com"),
        resource(name="local", uri="http://127.0.0.1:8080/mcp"),
    )
)


def found(authority: str, path: str, scheme: str = "https", route: str = "") -> str | None:
    request = HttpRequest(
        method="POST", scheme=scheme, authority=authority, path=path, headers={}, route_resource=route
    )
    one = INDEX.find(request)
    return None if one is None else one.name


@pytest.mark.parametrize(
    ("authority", "path", "name"),
    [
        # ordinary
        ("mcp.example.com", "/weather/mcp", "weather"),
        ("mcp.example.com", "/weather/mcp?x=1", "weather"),
        ("mcp.example.com", "/weather/mcp/messages", "weather"),
        ("mcp.example.com", "/other", "other"),
        ("weather.internal:8080", "/weather/mcp", "weather"),
        ("root.example.com", "/", "root"),
        ("root.example.com", "/anything", "root"),
        ("127.0.0.1:8080", "/mcp", "local"),
        # the longest path first
        ("mcp.example.com", "/weather/mcp/deep", "deep"),
        ("mcp.example.com", "/weather/mcp/deep/er", "deep"),
        # authorities compare without case and without the default port
        ("MCP.Example.COM", "/other", "other"),
        ("mcp.example.com:443", "/other", "other"),
        # near misses
        ("mcp.example.com", "/weather/mcpx", None),
        ("mcp.example.com", "/weather/MCP", None),
        ("mcp.example.com", "/weather", None),
        ("mcp.example.com", "/", None),
        ("mcp.example.com:8443", "/other", None),
        ("mcp.example.com.", "/other", None),
        ("user@mcp.example.com", "/other", None),
        ("evil.com,mcp.example.com", "/other", None),
        ("", "/other", None),
        ("weather.internal", "/weather/mcp", None),
    ],
)
def test_resource_by_authority_and_path(authority: str, path: str, name: str | None) -> None:
    assert name == found(authority, path)


def test_a_proxy_behind_a_tls_terminator_reports_scheme_http_with_the_https_port() -> None:
    assert found("mcp.example.com:443", "/other", scheme="http") == "other"


def test_the_word_of_the_route_counts_before_authority_and_path() -> None:
    assert found("whatever", "/x", route="weather") == "weather"


def test_a_route_that_names_no_resource_of_the_policy_is_refused() -> None:
    assert found("mcp.example.com", "/other", route="nobody") is None


@pytest.mark.parametrize(
    "path",
    [
        "//weather/mcp",
        "/weather//mcp",
        "/weather/./mcp",
        "/weather/../weather/mcp",
        "/weather/mcp/..",
        "/weather/mcp/.",
        "/weather/mcp;a=b",
        "/public/..;/weather/mcp",
        "/weather\\mcp",
        "/weather/mcp/\x00",
        "/weather/mcp/\x7f",
        "/weather/mcp/é",
        "/weather/mcp/%2e%2e",
        "/weather%2fmcp",
        "/weather%2Fmcp",
        "/weather%5cmcp",
        "/weather/%6dcp",
        "/weather/mcp/%30",
        "/weather/mcp/%0a",
        "/weather/mcp/%7F",
        "/weather/mcp/%252e",
        "/weather/mcp/%zz",
        "/weather/mcp/%",
        "/weather/mcp#x",
        "weather/mcp",
        "*",
        "",
        "https://mcp.example.com/weather/mcp",
    ],
)
def test_a_path_that_can_be_read_in_two_ways_matches_nothing(path: str) -> None:
    assert path_of(path) is None
    assert found("mcp.example.com", path) is None


@pytest.mark.parametrize("path", ["/a/b", "/a%20b", "/a%28b", "/-._~!$&'()*+,=:@", "/..a/...", "/a/"])
def test_an_unambiguous_path_is_read_as_it_is(path: str) -> None:
    assert path == path_of(path)


def test_no_default_port_is_taken_from_a_scheme_that_has_none() -> None:
    assert authority_of("H:443", "") == "h:443"


def test_a_path_is_compared_up_to_a_length() -> None:
    longest = "/" + "a" * (MAX_PATH_CHARS - 1)
    assert path_of(longest + "?" + "q" * 5_000) == longest
    assert path_of(longest + "a") is None
    below = "/weather/mcp/" + "a" * (MAX_PATH_CHARS - len("/weather/mcp/"))
    assert found("mcp.example.com", below) is not None
    assert found("mcp.example.com", below + "a") is None
