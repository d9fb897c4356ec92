"""Resource URIs are taken only in the form in which the URL parsers of servers leave them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AnyUrl, TypeAdapter, ValidationError

from extauthz.pdp.uri.uris import uri_fault

ANY_URL: TypeAdapter[AnyUrl] = TypeAdapter(AnyUrl)


def parsed(uri: str) -> str | None:
    """What the Python SDK 1.x makes of a URI (WHATWG URL, as `new URL` in the TypeScript SDK); None: an error."""
    try:
        return str(ANY_URL.validate_python(uri))
    except ValidationError:
        return None


ORDINARY = [
    "weather://berlin/today",
    "weather://Berlin/Today?unit=c#now",
    "test://static-text",
    "test://template/123/data",
    "memo://insights",
    "file:///projects/myapp/config.json",
    "file:///My%20Documents/a%C3%A9.txt",
    "file://server/share/a.txt",
    "file:///C:/a.txt",
    "file://server/ab:/a.txt",
    "https://example.com/",
    "https://example.com:8443/a/b.c?x=1&y=a%20b#top",
    "http://127.0.0.1:8080/x",
    "https://a_b.example-1.com/x",
    "http://256.example/x",
    "postgres://reader@db.example.com:5432/shop/orders/schema",
    "screen://localhost:9000",
    "urn:isbn:0451450523",
    "mailto:a@example.com",
    "ui://widget/view.html",
    "web://https%3A%2F%2Fexample.com%2Fpage",
    "github://repo/owner%2Fname/contents",
    "note:a.b..c/...d/e..",
    "config",
    "/etc/motd",
    "tag:example.com,2026:a;b=c(d)*!$&'~+",
    "foo://h//a//b/",
    "foo:///path",
    "weather://h/x?q=..&r=.",
    "weather://h/x?range=a..b#v1...v2",
    "weather://h/%EF%BF%BD",
    "weather://h/100%25/%25zz",
    "weather://h/my%5Fdoc%2Dv1%7E",
    "weather://h/caf%c3%a9",
]


@pytest.mark.parametrize("uri", ORDINARY)
def test_ordinary_uris_are_taken_as_they_are(uri: str) -> None:
    assert uri_fault(uri) == ""
    assert parsed(uri) in (uri, None)


REWRITTEN = {
    "dot segments": "file:///public/../secret",
    "single dot": "weather://h/./x",
    "dots at the end": "weather://h/a/..",
    "escaped dots": "weather://h/%2e%2e/x",
    "half escaped dots": "weather://h/.%2E/x",
    "dots of a path without authority": "foo:/a/../b",
    "capital scheme": "SECRET://x",
    "mixed scheme": "File:///etc/passwd",
    "capital host": "https://EXAMPLE.com/",
    "no path": "https://example.com",
    "no path before the query": "https://example.com?x=1",
    "default port": "https://example.com:443/",
    "default http port": "http://example.com:80/",
    "padded port": "foo://example.com:0080/",
    "empty port": "foo://example.com:/",
    "empty port of a known scheme": "https://example.com:/x",
    "one slash": "https:/example.com/",
    "no slash": "https:example.com/",
    "three slashes": "https:///example.com/",
    "file without slashes": "file:/etc/passwd",
    "file with four slashes": "file:////etc/passwd",
    "file with localhost": "file://localhost/etc/passwd",
    "backslash": "file:///public\\..\\secret",
    "backslash authority": "https://example.com\\@evil/",
    "empty user": "foo://@h/x",
    "empty password": "foo://user:@h/x",
    "leading space": " weather://h/x",
    "trailing space": "weather://h/x ",
    "space": "weather://h/a b",
    "tab": "weather://h/a\tb",
    "newline": "weather://h/a\nb",
    "NUL": "weather://h/a\x00",
    "non-ASCII": "note://caf\u00e9",
    "non-ASCII path": "note://h/\u65e5\u672c",
    "quotation mark": 'note://h/"x"',
    "angle bracket": "note://h/<x>",
    "brace": "note://h/{x}",
    "backtick": "note://h/`",
    "apostrophe in a query": "https://h/?q='x'",
    "short IPv4": "http://127.1/",
    "one number": "http://2130706433/",
    "hexadecimal IPv4": "http://0x7f.0.0.1/",
    "octal IPv4": "http://0177.0.0.1/",
    "long IPv6": "http://[0:0:0:0:0:0:0:1]/",
    "IPv6 elsewhere": "foo://[0:0:0:0:0:0:0:1]/",
    "drive letter": "file:///C|/x",
    "drive letter after a host": "file://x/C:/a",
    "nothing but a drive letter after a host": "file://x/c:?y",
}


@pytest.mark.parametrize("uri", REWRITTEN.values(), ids=REWRITTEN.keys())
def test_uris_that_url_parsers_rewrite_are_refused(uri: str) -> None:
    """Judged as one text, looked up as another: such a URI would walk round a deny rule or out of a prefix."""
    assert uri_fault(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "weather://h/..%2fx",
        "weather://h/..%5Cx",
        "weather://h/x%2F..",
        "../secret",
        "a/../b",
        "foo:..",
        "weather://h/%61dmin",
        "weather://h/%31",
        "weather://h/%00",
        "weather://h/%0d%0a",
        "weather://h/%7f",
        "weather://h/%",
        "weather://h/%2",
        "weather://h/%zz",
        "weather://h/%u0041",
        "weather://h/%FF",
        "weather://h/caf%E9",
        "weather://h/%C0%AE%C0%AE/x",
        "weather://h/%ED%A0%80",
        "weather://h/%F4%90%80%80",
        "weather://h/%E2%80%A8",
        "weather://h/%C2%9F",
        "weather://h/%2500",
        "weather://h/%252e%252e/x",
        "weather://h/%25252e%25252e%25252fx",
        "weather://h/%252525252e",
        "weather://h/..;v=1/x",
        "weather://h/%EF%BC%8E%EF%BC%8E/x",
        "weather://h/x?dir=../x",
        "weather://h/x?dir=a/../x",
        "weather://h/x?dir=a%2F..",
        "weather://h/x?dir=a%252F..%5Cb",
        "weather://h/x#/../y",
        "weather://h/x?" + "&" * 64,
    ],
)
def test_uris_that_handlers_unescape_into_another_path_are_refused(uri: str) -> None:
    """URL parsers leave these; handlers that turn a URI into a path or a template's variables undo them."""
    assert uri_fault(uri)


@pytest.mark.parametrize("uri", ["file:///{path}", "weather://{city}/{+rest}{?unit,lang}", "test://template/{id}/data"])
def test_templates_have_braces(uri: str) -> None:
    assert uri_fault(uri, template=True) == ""
    assert uri_fault(uri)


@pytest.mark.parametrize("uri", ["file:///../{path}", "FILE:///{path}", "file:///{path} x"])
def test_templates_are_otherwise_judged_alike(uri: str) -> None:
    assert uri_fault(uri, template=True)


SIGNS = "http https ws ftp file foo a EX : // / @ .. . %2e %2F %20 %41 ? # ' 80 443 0 127 0x7f x- _ [ ] ::1 & = ; ~ |"
PIECES = st.sampled_from(SIGNS.split())


@given(
    st.builds(
        str.__add__,
        st.sampled_from(["http://", "https://", "file://", "foo://", "foo:", ""]),
        st.lists(PIECES, max_size=8).map("".join),
    )
)
def test_whatever_is_taken_is_left_as_it_is_by_a_url_parser(uri: str) -> None:
    if uri and not uri_fault(uri):
        assert parsed(uri) in (uri, None)
