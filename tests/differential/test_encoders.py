"""What real encoders write for ordinary names is let through, and permitted by a rule that names the thing plainly."""

import json
import subprocess
from pathlib import PurePosixPath
from re import sub
from urllib.parse import quote, quote_plus, urlencode

import pytest
from mcp.shared.uri_template import UriTemplate
from pydantic import AnyUrl

from extauthz.pdp.uri.uri_forms import forms_of
from extauthz.pdp.uri.uri_pattern import UriPatterns
from extauthz.pdp.uri.uris import uri_fault
from tests.differential.environments import SERVERS, go_encoder
from tests.differential.test_executions import unless_missing
from tests.e2e.client_environments import node

NAMES = ["plan", "my plan", "café", "cafe\u0301", "日本語", "emoji 😀", "a/b", "a&b=c", "50%", "C++", "~root", "it's"]
NAMES += [
    "my-doc_v1.2",
    "x (1)",
    "a:b@c",
    "[1]",
    "#1",
    "who?",
    "a,b;c!$",
    "*",
    "a\\b",
    '"q"',
    "<t>",
    "a|b^c`{d}",
    "100%25",
]
NAMES += ["Ä", "ﬁle", "½", "...", "a..b", "-", "_", "%2F", "https://example.com/a%20b?x=1#y"]
# What an encoder of whole URIs leaves to its caller: signs that are parts of a URI, or none of any.
_SIGNS = frozenset('#?%\\|^[]`{}"<>')


# Reserved signs that encoders escape or not: a rule that names them writes them as its clients do, or has a star.
_RESERVED = frozenset("/?#[]@:&=+,;*%{}")


def refused(written: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Those of (encoder, name, URI) that are refused, or not permitted by rules that name what they encode."""
    found = []
    for encoder, name, uri in written:
        forms = forms_of(uri)
        patterns = ["note://h/*", "search://x?q=*", "file:///d/*"]
        ways = [UriPatterns.of(patterns), UriPatterns.of([uri])]
        if not _RESERVED & {*name} and not uri.startswith("search:"):
            ways.append(UriPatterns.of([f"note://h/{name}", f"file:///d/{name}"]))
        if uri_fault(uri) or not all(way.permits(forms) for way in ways):
            found.append((encoder, name, uri))
    return found


def test_python_encoders() -> None:
    written = [("quote", name, f"note://h/{quote(name, safe='')}") for name in NAMES]
    written += [("quote of small digits", name, f"note://h/{small_digits(quote(name, safe=''))}") for name in NAMES]
    written += [("quote_plus", name, f"search://x?q={quote_plus(name)}") for name in NAMES]
    written += [("urlencode", name, "search://x?" + urlencode({"q": name})) for name in NAMES]
    written += [("AnyUrl", name, str(AnyUrl(f"note://h/{quote(name, safe='')}"))) for name in NAMES]
    written += [("AnyUrl of raw text", name, str(AnyUrl(f"note://h/{name}"))) for name in NAMES if not _SIGNS & {*name}]
    written += [("as_uri", name, PurePosixPath("/d", name).as_uri()) for name in NAMES]
    template = UriTemplate.parse("note://h/{name}")
    written += [("UriTemplate", name, template.expand({"name": name})) for name in NAMES]
    assert refused([each for each in written if "..." not in each[1]]) == []


def small_digits(uri: str) -> str:
    """As `HttpUtility.UrlEncode` of .NET writes escapes."""
    return sub("%[0-9A-F]{2}", lambda found: found[0].lower(), uri)


def read(command: list[str]) -> list[tuple[str, str, str]]:
    """What a program with encoders writes."""
    names = [name for name in NAMES if name != "..."]
    run = subprocess.run(command, input=json.dumps(names), capture_output=True, text=True, check=True, timeout=60)
    rows = json.loads(run.stdout).items()
    return [(encoder, name, uri) for encoder, uris in rows for name, uri in zip(names, uris, strict=True)]


@pytest.mark.e2e
def test_javascript_encoders() -> None:
    runtime = unless_missing("Node", node)
    written = read([str(runtime), str(SERVERS / "typescript" / "encode.mjs")])
    whole = ("URL of raw text", "encodeURI")
    kept = [each for each in written if each[0] not in whole or not _SIGNS & {*each[1]}]
    assert len(kept) > 5 * 20
    assert refused(kept) == []


@pytest.mark.e2e
def test_go_encoders() -> None:
    written = read(unless_missing("Go", go_encoder))
    assert len(written) > 5 * 20
    assert refused(written) == []
