"""A URI that a server reads as a denied one is denied, however it is written; what clients write stays permitted."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.pdp.uri.uri_forms import MAX_DECODINGS, forms_of, readings_of
from extauthz.pdp.uri.uri_pattern import UriPatterns, has_unordered_parameters, pattern_fault, plain_pattern
from extauthz.pdp.uri.uris import uri_fault


def denied(pattern: str, uri: str) -> bool:
    """Whether a rule that denies the pattern stands in the way of the URI, by itself or before it."""
    return bool(uri_fault(uri)) or UriPatterns.of([pattern]).denies(forms_of(uri))


def permitted(pattern: str, uri: str) -> bool:
    return not uri_fault(uri) and UriPatterns.of([pattern]).permits(forms_of(uri))


SAME = [
    # unreserved characters escaped (RFC 3986 §6.2.2.2)
    ("docs://secret_plan", "docs://secret%5Fplan"),
    ("docs://secret-plan", "docs://secret%2Dplan"),
    ("docs://~root", "docs://%7Eroot"),
    ("docs://~root", "docs://%7eroot"),
    ("docs://secret", "docs://%73ecret"),
    ("docs://a.b", "docs://a%2Eb"),
    # case of hexadecimal digits (§6.2.2.1)
    ("note://h/%C3%A6", "note://h/%c3%a6"),
    ("note://h/%c3%a6", "note://h/%C3%A6"),
    ("note://h/%c3%a6", "note://h/%c3%A6"),
    # reserved characters escaped, in one segment and in several
    ("docs://secret/plan", "docs://secret%2Fplan"),
    ("docs://secret/plan", "docs://secret%2fplan"),
    ("docs://secret%2Fplan", "docs://secret/plan"),
    ("notes://a/b:c@d", "notes://a/b%3Ac%40d"),
    ("notes://a/b&c", "notes://a/b%26c"),
    ("notes://a/it's", "notes://a/it%27s"),
    ("notes://a/b?c", "notes://a/b%3Fc"),
    ("notes://a/b#c", "notes://a/b%23c"),
    ("notes://a/b*", "notes://a/b%2Ac"),
    ("notes://a/b%2Ac", "notes://a/b*c"),
    # escapes of escapes
    ("docs://secret/plan", "docs://secret%252Fplan"),
    ("docs://secret/plan", "docs://secret%25252Fplan"),
    ("docs://secret_plan", "docs://secret%255Fplan"),
    ("docs://100%25", "docs://100%2525"),
    ("docs://a%2541", "docs://aA"),
    ("docs://100%25*", "docs://100%2541"),
    # how people write it
    ("note://café", "note://caf%C3%A9"),
    ("note://caf%C3%A9", "note://caf%C3%A9"),
    ("note://my plans/*", "note://my%20plans/x"),
    ('note://h/"x"', "note://h/%22x%22"),
    # Unicode (RFC 3987 §5.3.2.2)
    ("note://café", "note://cafe%CC%81"),
    ("note://cafe\u0301", "note://caf%C3%A9"),
    ("note://secret", "note://%EF%BD%93ecret"),
    ("note://\ufb01le", "note://file"),
    # form decoding
    ("search://x?q=top secret", "search://x?q=top+secret"),
    ("search://x?q=top+secret", "search://x?q=top%20secret"),
    ("search://x?q=a%2Bb", "search://x?q=a+b"),
    # parameters in another order, among others, twice
    ("search://x?level=secret", "search://x?a=1&level=secret"),
    ("search://x?level=secret", "search://x?level=secret&a=1"),
    ("search://x?level=secret", "search://x?level=secret&level=open"),
    ("search://x?level=secret", "search://x?a=1&level=sec%5Fret&level=%73ecret"),
    ("search://x?level=secret", "search://x?a=1&&level=secret#top"),
    ("search://x?a=1&b=2", "search://x?b=2&a=1"),
    ("search://x?a=1&b=2", "search://x?b=2&c=3&a=1"),
    ("search://x?level=sec*", "search://x?a=1&level=secret"),
    ("search://x?a=*&level=secret", "search://x?level=secret&z=0&a=1"),
    # what handlers do not look at
    ("docs://secret", "docs://secret#x"),
    ("docs://secret", "docs://secret?x=1"),
    ("docs://secret", "docs://secret?"),
    ("docs://secret", "docs://secret#"),
    ("docs://secret", "docs://secret?x=1#y"),
    ("docs://secret/*", "docs://someone@secret/x"),
    ("docs://secret/*", "docs://secret:8080/x"),
    ("docs://secret/*", "docs://a:b@secret:8080/x"),
    ("docs://secret", "docs://a@secret:1?x#y"),
    ("docs://secret?x=1", "docs://a@secret:1?y&x=1"),
    ("docs://secret", "docs://secret/"),
    ("files:///a/b", "files:///a//b"),
    ("files:///a/b", "files:///a/b//"),
    ("files:///a/b", "files:///a%5Cb"),
    ("files:///a/b", "files:///a%2F%2Fb"),
    # the case of schemes and hosts (RFC 3986 §3.1, §3.2.2)
    ("docs://secret/*", "DOCS://secret/x"),
    ("DOCS://secret/*", "docs://secret/x"),
    ("docs://secret/x", "docs://SECRET/x"),
    ("docs://Secret/x", "docs://sECRET/x"),
    ("docs://secret/Plan", "docs://SECRET%2FPlan"),
    ("https://H.example:443/x", "https://h.example/x"),
    ("https://h.example", "https://h.example/"),
    ("http://h.example:80/*", "http://h.example/x"),
    # dot segments (§5.2.4), however they are decoded
    ("files:///etc/*", "files:///public/../etc/x"),
    ("files:///etc/*", "files:///public%2F..%2Fetc/x"),
    ("files:///etc/*", "files:///public%252F..%252Fetc/x"),
    ("files:///etc/*", "files:///public/%252e%252e/etc/x"),
    ("files:///etc/*", "files:///public/..%5Cetc/x"),
    ("files:///etc/*", "files:///public/..;a/etc/x"),
    ("files:///etc/*", "files:///public/%EF%BC%8E%EF%BC%8E/etc/x"),
    ("files://list?dir=/etc", "files://list?dir=/public/../etc"),
    ("files://list?dir=etc", "files://list?dir=..%2Fetc"),
    ("files://list#etc", "files://list#x/../etc"),
    # escapes that decoders do not agree on
    ("docs://secret", "docs://secret%00"),
    ("docs://secret", "docs://secret%2500"),
    ("docs://secret", "docs://secret%C2%85"),
    ("docs://secret", "docs://secret%E2%80%A8"),
    ("docs://secret", "docs://secret%FF"),
    ("docs://a/b", "docs://a%C0%AFb"),
    ("docs://a", "docs://%ED%A1%81"),
    ("docs://secret", "docs://secret%"),
    ("docs://secret", "docs://secret%u0041"),
    ("docs://secret", "docs://sec\tret"),
    ("docs://secret", "docs://secret\n"),
    ("docs://secret/x", "docs:\\\\secret\\x"),
    ("docs://café", "docs://café"),
    ("docs://secret", "docs://%2525252573ecret"),
]


def test_each_kind_of_spelling_is_met_by_a_rule_and_not_only_refused() -> None:
    """Most are let through, so that what ordinary clients write is not refused for looking odd."""
    assert sum(not uri_fault(uri) for _, uri in SAME) > len(SAME) / 2


@pytest.mark.parametrize(("pattern", "uri"), SAME)
def test_another_spelling_of_a_denied_uri_is_denied(pattern: str, uri: str) -> None:
    assert denied(pattern, uri)


OTHER = [
    ("docs://secret", "docs://secrets"),
    ("docs://secret", "docs://secret/plan"),
    ("docs://secret/plan", "docs://secret/Plan"),
    ("docs://secret:1/x", "docs://secret:2/x"),
    ("docs://alice@h/x", "docs://bob@h/x"),
    ("docs://alice@h/x", "docs://h/x"),
    ("search://x?level=secret", "search://x?level=secrets"),
    ("search://x?level=secret", "search://x?xlevel=secret"),
    ("search://x?level=secret", "search://x"),
    ("search://x?a=1&b=2", "search://x?a=1"),
    ("note://a%2Ab", "note://aXb"),
    ("note://cafe", "note://caf%C3%A9"),
    ("web://h/100%25", "web://h/100"),
]


@pytest.mark.parametrize(("pattern", "uri"), OTHER)
def test_another_uri_is_not_denied(pattern: str, uri: str) -> None:
    assert not denied(pattern, uri)


NOT_COVERED = [
    # a star does not take up what hides another resource
    ("docs://*.txt", "docs://secret?.txt"),
    ("docs://*.txt", "docs://secret#.txt"),
    ("docs://*.txt", "docs://secret?x#.txt"),
    ("docs://*.txt", "docs://secret?.txt#.txt"),
    ("docs://public*", "docs://public@secret/plan"),
    ("docs://public*", "docs://public:x@secret/plan"),
    ("docs://*?lang=de", "docs://secret#?lang=de"),
    ("logs://app?level=open*", "logs://app?level=open&level=secret"),
    ("logs://app?*level=open", "logs://app?level=secret&level=open"),
    ("docs://100%25*", "docs://100%2541"),
    ("files:///public/*", "files:///public/../secret"),
    ("files:///public/*", "files:///public/%2E%2E/secret"),
    ("docs://public", "docs://public#x"),
    ("docs://public", "docs://public?x"),
    ("docs://public", "docs://PUBLIC"),
    ("docs://a%2Fb", "docs://a/b"),
    ("docs://a/b", "docs://a%2Fb"),
]


@pytest.mark.parametrize(("pattern", "uri"), NOT_COVERED)
def test_an_allow_pattern_covers_nothing_that_a_server_reads_otherwise(pattern: str, uri: str) -> None:
    assert not permitted(pattern, uri)


COVERED = [
    ("weather://*", "weather://berlin/today?unit=c#now"),
    ("weather://*/today", "weather://berlin/today"),
    ("weather://Berlin/*", "weather://Berlin/today"),
    ("weather://berlin?unit=*", "weather://berlin?unit=c&lang=de"),
    ("weather://*#now", "weather://berlin#now"),
    ("weather://berlin?day=*", "weather://berlin?day=1&day=2"),
    ("weather://*", "weather://berlin?day=1&day=2"),
    ("weather://*", "weather://someone@berlin/today"),
    ("postgres://reader@db.example.com:5432/*", "postgres://reader@db.example.com:5432/shop/schema"),
    ("screen://localhost:9000", "screen://localhost:9000"),
    ("note://café", "note://caf%C3%A9"),
    ("note://caf%C3%A9", "note://caf%c3%a9"),
    ("note://caf*", "note://cafe%CC%81"),
    ("note://my plans/*", "note://my%20plans/x"),
    ("note://h/~*", "note://h/%7Eroot"),
    ("note://h/it's (1)!$", "note://h/it%27s%20%281%29%21%24"),
    ("note://h/it%27s%20%281%29", "note://h/it's%20(1)"),
    ("web://https%3A%2F%2Fexample.com%2F*", "web://https%3A%2F%2Fexample.com%2Fa%2520b%3Fx%3D%252520"),
    ("github://repo/owner%2Fname/*", "github://repo/owner%2Fname/contents"),
    ("foo://h//a//b/", "foo://h//a//b/"),
    ("search://x?q=C%2B%2B", "search://x?q=C%2B%2B"),
    ("search://x?q=a+b", "search://x?q=a+b"),
    ("files:///a/*/", "files:///a/b/"),
    ("https://H.example:443/*", "https://h.example/x"),
    ("SCREEN://*", "screen://x"),
    ("config", "config"),
    ("/etc/*", "/etc/motd"),
    ("docs://{name}", "docs://{name}"),
    ("web://h/100%25*", "web://h/100%25"),
]


@pytest.mark.parametrize(("pattern", "uri"), COVERED)
def test_an_allow_pattern_covers_what_it_names(pattern: str, uri: str) -> None:
    fits = UriPatterns.of([pattern]).permits(forms_of(uri))
    assert (uri_fault(uri, template=True), fits) == ("", True)


TEXTS = st.text(st.sampled_from("ab-_~/:@?#&=+ *%é\u0301\uff0f\u3000()'!$,;[]Z0"), min_size=1, max_size=6)


def escaped(text: str, choices: list[int]) -> str:
    """The text with each character escaped or not, with capital or small digits, once or more often."""
    written = ""
    for character, choice in zip(text, choices, strict=False):
        one = "".join(f"%{byte:02X}" for byte in character.encode())
        if choice % 2 == 0 and character in "abZ0-_~/:()'!$,;":
            written += character
        else:
            one = one.lower() if choice % 3 == 0 else one
            written += one.replace("%", "%25") if choice % 5 == 0 else one
    return written


@given(TEXTS, st.lists(st.integers(0, 29), min_size=6, max_size=6), st.booleans())
def test_no_way_of_escaping_passes_a_deny_pattern(text: str, choices: list[int], encoded: bool) -> None:
    """Whatever name a handler decodes: the pattern may be written as the handler sees it or as an encoder writes it."""
    pattern = "x://h/" + (quote(text, safe="") if encoded else text.replace("%", "%25").replace("*", "%2A"))
    assert denied(pattern, "x://h/" + escaped(text, choices))


@given(TEXTS, st.lists(st.integers(0, 29), min_size=6, max_size=6))
def test_what_an_allow_pattern_covers_it_covers_decoded_too(text: str, choices: list[int]) -> None:
    uri = "x://h/" + escaped(text, choices)
    pattern = "x://h/" + quote(text[:2], safe="") + "*"
    if permitted(pattern, uri):
        covered = UriPatterns.of([pattern])
        assert covered.permits(forms_of(uri)) is covered.denies(forms_of(uri)) is True


@given(st.lists(st.sampled_from([*"ab/%?#@:&=+*", "//", "%2F", "%25", "%3F", "%40", "://"]), max_size=12).map("".join))
def test_what_is_permitted_by_a_pattern_is_denied_by_the_same(rest: str) -> None:
    """Nothing that a pattern fits as an allow pattern is beyond it as a deny pattern."""
    uri = f"x://h{rest}"
    if not uri_fault(uri):
        for pattern in (uri, "x://*", "*", uri[:-1] + "*", "*" + uri[3:]):
            compiled = UriPatterns.of([pattern])
            assert compiled.denies(forms_of(uri)) or not compiled.permits(forms_of(uri))


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("note://café", "note://caf%C3%A9"),
        ("note://a b", "note://a%20b"),
        ("note://caf%c3%a9%7e", "note://caf%C3%A9~"),
        ("NOTE://X", "note://X"),
        ("HTTPS://User@H.example:443/A", "https://User@h.example/A"),
        ("https://h.example", "https://h.example/"),
        ("https://*", "https://*"),
        ("https://h.example*", "https://h.example*"),
        ("file://*", "file://*"),
        ("*", "*"),
        ("docs://{name}", "docs://{name}"),
    ],
)
def test_patterns_are_brought_into_the_form_that_clients_send(written: str, plain: str) -> None:
    assert plain_pattern(written) == plain


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "docs://a%2*",
            "docs://100%",
            "docs://a%00b",
            "docs://%FF",
            "docs://a/../b",
            "docs://a/../*",
            "x://h/%2525252541",
        ),
        *("http:h", "file://localhost/x", "foo://@h/x", "https://1.2/x"),
    ],
)
def test_patterns_that_match_nothing_are_told(pattern: str) -> None:
    assert pattern_fault(pattern)


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in COVERED])
def test_patterns_that_match_something_are_not_told(pattern: str) -> None:
    assert not pattern_fault(pattern)


def test_patterns_with_too_many_parameters_to_find_in_any_order_are_told() -> None:
    assert not has_unordered_parameters("x://h?a=1&b=2&c=3&d=4")
    assert has_unordered_parameters("x://h?a=1&b=2&c=3&d=4&e=5")


def test_conditions_read_every_decoding() -> None:
    assert readings_of("x://h/a%252Fb+c") == (
        "x://h/a%252Fb+c",
        "x://h/a%2Fb+c",
        "x://h/a/b+c",
        "x://h/a%252Fb c",
        "x://h/a%2Fb c",
        "x://h/a/b c",
    )
    assert readings_of("x://h/a") == ("x://h/a",)


def test_the_names_of_a_uri_are_few_whatever_it_is() -> None:
    """Each is compared with each pattern."""
    uri = "x://u@h:1/" + "%252F" * 800 + "/?" + "a=%20+&" * 60 + "#/%2525%25"
    assert not uri_fault(uri)
    assert len(forms_of(uri).names) <= 40
    assert MAX_DECODINGS == 3
