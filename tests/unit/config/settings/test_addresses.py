"""URLs, hosts and origins of a policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.config.policy_file.fault import Problem
from extauthz.config.settings.addresses import (
    MAX_URL_CHARS,
    authority_complaint,
    canonical_uri,
    is_loopback,
    origin_complaint,
    resource_uri_complaint,
    url_complaint,
)


def told(complaint: Problem | None) -> str:
    return "" if complaint is None else complaint.message


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "localhost.", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"]
)
def test_loopback_hosts(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", "0.0.0.0", "::", "127.1", "notlocalhost"]
)
def test_other_hosts(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "url",
    [
        "https://door.example.com",
        "https://door.example.com/",
        "https://door.example.com:8443/realms/a",
        "https://10.0.0.1/x",
        "https://[2001:db8::1]:8443/x",
        "http://127.0.0.1:8000",
        "http://localhost/x",
        "http://[::1]:8000/x",
        "https://door.example.com/a%20b",
        "https://under_score.internal/x",
    ],
)
def test_urls(url: str) -> None:
    assert url_complaint(url, allow_http=False) is None


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://door.example.com", "plain http to another machine"),
        ("http://127.0.0.1.example.com", "plain http to another machine"),
        ("ftp://door.example.com", "not an http or https URL"),
        ("file:///etc/passwd", "no valid host"),
        ("door.example.com", "not an absolute URL"),
        ("//door.example.com", "not an absolute URL"),
        ("https:/door.example.com", "not an absolute URL"),
        ("javascript:alert(1)", "not an absolute URL"),
        ("https://", "no valid host"),
        ("https:///x", "no valid host"),
        ("https://-door-.example.com", "no valid host"),
        ("https://door..example.com", "no valid host"),
        ("https://" + "a." * 130 + "com", "no valid host"),
        ("https://[::1", "host or port that cannot be"),
        ("https://[zz]/", "host or port that cannot be"),
        ("https://[v1.a]/", "no valid host"),
        ("https://door:99999", "host or port that cannot be"),
        ("https://door:0", "odd port"),
        ("https://door:", "odd port"),
        ("https://door:0443", "odd port"),
        ("https://user@door.example.com", "user name or password"),
        ("https://user:pass word@door.example.com", "user name or password"),
        ("https://door.example.com#", "fragment"),
        ("https://door.example.com?", "query"),
        ("https://door.example.com/a b", "characters that a URL cannot hold"),
        ("https://door.example.com/\n", "characters that a URL cannot hold"),
        ("https://dóor.example.com", "characters that a URL cannot hold"),
        ("https://door.example.com\\@evil.example.com", "user name or password"),
        ("https://door.example.com/%zz", "begins no escape"),
        ("https://door.example.com/" + "a" * MAX_URL_CHARS, "longer than"),
    ],
)
def test_other_urls(url: str, message: str) -> None:
    assert message in told(url_complaint(url, allow_http=False))


def test_http_and_queries_can_be_allowed() -> None:
    assert url_complaint("http://door.example.com/jwks?app=a", allow_http=True, allow_query=True) is None


@pytest.mark.parametrize(
    "uri",
    [
        "https://mcp.example.com",
        "https://mcp.example.com/mcp",
        "https://mcp.example.com:8443/a/b",
        "https://mcp.example.com/a%20b",
        "http://127.0.0.1:8080/mcp",
    ],
)
def test_resource_uris(uri: str) -> None:
    assert resource_uri_complaint(uri, allow_http=False) is None


@pytest.mark.parametrize(
    ("uri", "canonical"),
    [
        ("https://MCP.example.com/Mcp", "https://mcp.example.com/Mcp"),
        ("HTTPS://mcp.example.com", "https://mcp.example.com"),
        ("https://mcp.example.com:443/mcp", "https://mcp.example.com/mcp"),
        ("http://localhost:80/mcp", "http://localhost/mcp"),
        ("https://mcp.example.com/", "https://mcp.example.com"),
        ("https://mcp.example.com/mcp/", "https://mcp.example.com/mcp"),
    ],
)
def test_a_uri_in_another_form_is_told_its_canonical_form(uri: str, canonical: str) -> None:
    complaint = resource_uri_complaint(uri, allow_http=False)
    assert complaint is not None
    assert complaint.hint == f'write "{canonical}"'
    assert resource_uri_complaint(canonical, allow_http=False) is None


@pytest.mark.parametrize(
    "path", ["//a", "/a//b", "/a/../b", "/./a", "/a/..", "/a;b", "/%61", "/a%2fb", "/a%2Eb", "/a%00b", "/a%5cb"]
)
def test_paths_that_no_request_matches(path: str) -> None:
    assert "no request can match" in told(resource_uri_complaint(f"https://mcp.example.com{path}", allow_http=False))


@pytest.mark.parametrize("path", ["", "/mcp", "/a/b"])
def test_a_resource_does_not_stand_where_metadata_is_served(path: str) -> None:
    uri = f"https://mcp.example.com/.well-known/oauth-protected-resource{path}"
    assert "where metadata is served" in told(resource_uri_complaint(uri, allow_http=False))


@pytest.mark.parametrize("host", ["weather", "weather.internal:8080", "10.0.0.1:80", "[::1]:8080", "A.B"])
def test_authorities(host: str) -> None:
    assert authority_complaint(host) is None


@pytest.mark.parametrize(
    "host", ["", "http://a", "a/b", "*.a", "a:", "a:b", "a:0", "a:99999", "a b", "u@a", "::1", "a#b", "a?b", "a\\b"]
)
def test_other_authorities(host: str) -> None:
    assert authority_complaint(host) is not None


@pytest.mark.parametrize(
    "origin",
    ["https://app.example.com", "https://app.example.com:8443", "http://localhost:3000", "chrome-extension://abcdef"],
)
def test_origins(origin: str) -> None:
    assert origin_complaint(origin, allow_http=False) is None


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "null", "", "app.example.com", "https://app.example.com/", "https://APP.example.com"),
        *(
            "https://app.example.com:443",
            "https://*.example.com",
            "http://app.example.com",
            "https://u@app.example.com",
        ),
        *("https://app.example.com?x", "https://app.example.com#x", "file://"),
    ],
)
def test_other_origins(origin: str) -> None:
    assert origin_complaint(origin, allow_http=False) is not None


URI_TEXT = st.text("abAB09-._~:/?#[]@!$&'()*+,;=% \\é\n", max_size=40)


@given(URI_TEXT)
def test_no_text_raises_and_what_is_accepted_is_canonical(text: str) -> None:
    for uri in (text, f"https://{text}", f"https://h/{text}"):
        if resource_uri_complaint(uri, allow_http=False) is None:
            assert canonical_uri(uri) == uri
        authority_complaint(uri)
        origin_complaint(uri, allow_http=True)
        url_complaint(uri, allow_http=True, allow_query=True)
