"""Requests for denied things in other words: whatever a server makes of them, it must not be what a rule denies.

The policy permits everything of a kind but some things. A request is one of those, spelt in a way that some reader
takes for the same: escapes, the case of digits and hosts, forms of Unicode, dot segments, parts that handlers do not
look at.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final
from unicodedata import normalize
from urllib.parse import quote

from extauthz.pdp.policy import Effect, Resource
from extauthz.pdp.principal import Principal
from extauthz.pdp.request import HttpRequest
from tests.differential.grammar import message_of
from tests.differential.recording import Sent
from tests.support.policies import resource, rule

Way = dict[str, Any]

NAMES: Final = (
    "secret/plan",
    "secret_plan",
    "secret-plan",
    "~root",
    "café",
    "top secret",
    "a&b=c",
    "50%",
    "C++",
    "x.y",
)
"""Denied, by their decoded names, in the templates that have one variable."""
PAIRS: Final = (("hr", "pay"), ("hr", "pay/2026"), ("hr dept", "é"))
LEVELS: Final = (("audit", ""), ("app", "secret"), ("app", "top secret"))
DENIED: Final[dict[str, frozenset[str]]] = {
    "docs://{name}": frozenset(NAMES),
    "notes://{folder}/{name}": frozenset("/".join(pair) for pair in PAIRS),
    "files:///{+path}": frozenset(NAMES),
    "logs://{service}{?level,since}": frozenset("?".join(pair) for pair in LEVELS),
    "tree://root{/path*}": frozenset(NAMES),
    "pics://h/{name}{.ext}": frozenset((*(name for name in NAMES if "." not in name), "x")),
    "page://h/{name}{#section}": frozenset(NAMES),
}
"""The contents that are denied, by template, as `contents` names them."""


def policy() -> Resource:
    """Everything is permitted but these things, which the rules name as people read them."""
    # `%` and `*` are signs of URIs and patterns; all others are written as they are.
    written = {name: name.replace("%", "%25") for name in (*NAMES, *("/".join(pair) for pair in PAIRS))}
    denied = [
        *(f"docs://{written[name]}" for name in NAMES),
        *(f"notes://{written['/'.join(pair)]}" for pair in PAIRS),
        *(f"files:///{written[name]}" for name in NAMES),
        "logs://audit*",
        "logs://app?level=secret",
        "logs://app?level=top secret",
        *(f"tree://root/{written[name]}" for name in NAMES),
        *(f"pics://h/{written[name]}.*" for name in NAMES),
        *(f"page://h/{written[name]}" for name in NAMES),
    ]
    methods = ["tools/call", "prompts/get", "resources/read", "completion/complete"]
    return resource(
        [
            rule(methods, tools=["*"], prompts=["*"], uris=["*"]),
            rule(methods, effect=Effect.DENY, tools=["admin"], prompts=["admin"], uris=denied),
        ]
    )


PUBLIC: Final[dict[str, Callable[[str], bool]]] = {
    "docs://{name}": lambda content: content.startswith("public"),
    "notes://{folder}/{name}": lambda content: content.startswith("public/"),
    "files:///{+path}": lambda content: content.startswith("public/"),
    "logs://{service}{?level,since}": lambda content: (
        content.startswith(("public?", "app?open")) or content == "public"
    ),
    "tree://root{/path*}": lambda content: content.startswith("public/") or not content,
    "pics://h/{name}{.ext}": lambda content: content.startswith("public"),
    "page://h/{name}{#section}": lambda content: content.startswith("public"),
}
"""Which contents are permitted, by template, where only public things are; dots never lead out of them."""


def public_policy() -> Resource:
    """Nothing is permitted but public things."""
    patterns = ["docs://public*", "notes://public/*", "files:///public/*", "logs://public", "logs://app?level=open*"]
    patterns += ["tree://root/public/*", "pics://h/public*.png", "page://h/public*#*", "docs://public*.txt"]
    return resource([rule(["resources/read"], uris=patterns)])


def principal() -> Principal:
    """Somebody who has every scope that is asked for."""
    return Principal(
        issuer="https://door.example.com",
        subject="u1",
        organization="acme",
        name="alice",
        client_id="c",
        scopes=frozenset(("weather:read",)),
        roles=frozenset(),
        groups=frozenset(),
        machine=False,
    )


def contents(template: str, way: Way) -> list[str]:
    """What a handler shows that reads its request in this way: variables of the template, or parts of the URL."""
    if not way:
        return []
    if "host" in way:
        host, path = way["host"], way["path"]
        rest = path.lstrip("/")
        match template.partition("://")[0]:
            case "docs":
                return [host + path.rstrip("/"), host]
            case "notes":
                return [f"{host}/{rest}"]
            case "logs":
                return _levels(host, way["query"].get("level", ""))
            case "pics":
                return [rest.rpartition(".")[0]]
            case _:
                return [rest]
    match template.partition("://")[0]:
        case "notes":
            return [f"{way.get('folder')}/{way.get('name')}"]
        case "logs":
            return _levels(str(way.get("service")), str(way.get("level", "")))
        case "tree":
            path = way.get("path", "")
            return ["/".join(path) if isinstance(path, list) else str(path)]
        case "files":
            return [str(way.get("path"))]
        case _:
            return [str(way.get("name"))]


def _levels(service: str, level: str) -> list[str]:
    return [f"{service}?", f"{service}?{level}"] if service == "audit" else [f"{service}?{level}"]


def same_text(shown: str) -> str:
    """A name as a store finds it that treats canonically equivalent texts alike."""
    return normalize("NFC", shown)


@dataclass(frozen=True, slots=True)
class Respelled:
    """A request for something denied, spelt otherwise."""

    request: HttpRequest
    sent: Sent
    named: str


def respelled_uris(random: Random, count: int) -> list[Respelled]:
    """Reads of denied resources."""
    makers: list[Callable[[Random], str]] = [
        lambda random: "docs://" + _escaped(random.choice(NAMES), random, "/"),
        lambda random: "notes://" + "/".join(_escaped(part, random, "") for part in random.choice(PAIRS)),
        lambda random: "files:///" + _escaped(random.choice(NAMES), random, "/"),
        _logs,
        lambda random: "tree://root/" + _escaped(random.choice(NAMES), random, "/"),
        lambda random: "pics://h/" + _escaped(random.choice(NAMES), random, "/") + ".png",
        lambda random: "page://h/" + _escaped(random.choice(NAMES), random, "/") + "#top",
    ]
    found = []
    for number in range(count):
        uri = _changed(makers[number % len(makers)](random), random)
        found.append(_message("resources/read", {"uri": uri}, uri))
    return found


_STARTS: Final = ("docs://", "notes://", "files:///", "logs://", "tree://root/", "pics://h/", "page://h/")
_PIECES: Final = (
    *(
        "public",
        "public",
        "public/",
        "secret",
        "secret/",
        "app",
        "x",
        ".png",
        ".txt",
        "#top",
        "level=open",
        "level=secret",
    ),
    *(
        "?",
        "&",
        "#",
        "@",
        ":",
        "/",
        "/../",
        "..",
        "%2F..%2F",
        "%252F..%252F",
        "%5C..%5C",
        "%40",
        "%3F",
        "%23",
        "//",
        ";",
    ),
    *("%2E", "%252E%252E", "?level=open", "&level=secret", ":x@", "%00", "%EF%BC%8F", "+", "%20", "=", "!", "*"),
)


def beyond_uris(random: Random, count: int) -> list[Respelled]:
    """Reads of what is public and of what is not, in one URI."""
    found = []
    for number in range(count):
        start = _STARTS[number % len(_STARTS)]
        pieces = random.choices(_PIECES, k=random.randint(1, 4))
        if random.random() < 0.7:
            pieces.insert(0, random.choice(("public", "public/", "app?level=open", "public")))
        if random.random() < 0.4:
            pieces.append(random.choice((".png", "#top", ".txt", "/x", ".png")))
        uri = start + "".join(pieces)
        found.append(_message("resources/read", {"uri": uri}, uri))
    return found


def respelled_names(random: Random, count: int) -> list[Respelled]:
    """Calls of the denied tool, and of the denied prompt."""
    found = []
    for _ in range(count):
        name = random.choice(_NAME_CHANGES)("admin", random)
        for method in ("tools/call", "prompts/get"):
            found.append(_message(method, {"name": name}, name))
    return found


def _message(method: str, params: dict[str, Any], named: str) -> Respelled:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request, sent = message_of((("content-type", "application/json"),), body)
    return Respelled(request, sent, named)


def _logs(random: Random) -> str:
    service, level = random.choice(LEVELS)
    pairs = [f"since={random.randint(1, 9)}", "utm=x", "level=open"][: random.randint(0, 2)]
    if level:
        pairs.insert(
            random.randint(0, len(pairs)),
            "level=" + _escaped(level, random, "").replace("%20", random.choice(("%20", "+"))),
        )
    return f"logs://{_escaped(service, random, '')}" + (f"?{'&'.join(pairs)}" if pairs else "")


def _escaped(text: str, random: Random, kept: str) -> str:
    """The text as an encoder writes it, or with more escaped, in small digits, decomposed, or escaped twice."""
    if random.random() < 0.2:
        text = normalize("NFD", text)
    often, small, twice = random.choice((0, 0, 0.2, 1)), random.random() < 0.3, random.random() < 0.15
    written = ""
    for character in text:
        needed = not (character.isascii() and (character.isalnum() or character in "-._~" + kept))
        if needed or random.random() < often:
            if character.isalnum() and character.isascii() and random.random() < 0.9:
                written += character  # escapes of these are refused by themselves
                continue
            escape = quote(character, safe="") if needed else f"%{ord(character):02X}"
            escape = escape if "%" in escape else f"%{ord(character):02X}"
            escape = escape.lower() if small else escape
            written += escape.replace("%", "%25") if twice else escape
        else:
            written += character
    return written


def _changed(uri: str, random: Random) -> str:
    """The URI with something changed that changes nothing to some reader."""
    change = random.choice((*_URI_CHANGES, *([lambda uri, _: uri] * 6)))
    return change(uri, random)


def _with_authority(change: Callable[[str], str]) -> Callable[[str, Random], str]:
    def changed(uri: str, _: Random) -> str:
        scheme, _, rest = uri.partition("://")
        at = min((rest.find(sign) for sign in "/?#" if sign in rest), default=len(rest))
        return f"{scheme}://{change(rest[:at])}{rest[at:]}"

    return changed


_URI_CHANGES: Final[tuple[Callable[[str, Random], str], ...]] = (
    lambda uri, _: uri + "#x",
    lambda uri, _: uri + "#",
    lambda uri, _: uri + "?",
    lambda uri, _: uri + "?utm=x",
    lambda uri, _: uri + "&utm=x",
    lambda uri, _: uri + "/",
    lambda uri, _: uri.replace("://", "://someone@", 1),
    lambda uri, _: uri.replace("://", "://a:b@", 1),
    _with_authority(lambda host: host + ":1"),
    _with_authority(str.upper),
    _with_authority(str.title),
    lambda uri, _: uri.partition("://")[0].upper() + uri[uri.index("://") :],
    lambda uri, _: uri.replace("/", "/./", 3),
    lambda uri, random: uri + random.choice(("/x/..", "%2Fx%2F..", "%2F.", "/.")),
    lambda uri, random: uri + random.choice(("%00", "%0A", "%E2%80%A8", "%FF", "\n", "\t", " ", "%20")),
    lambda uri, _: uri.replace("://", ":\\\\", 1),
    lambda uri, random: uri[:-1] + chr(ord(uri[-1]) + 0xFEE0) if uri[-1].isalpha() else uri,
    lambda uri, _: uri[::-1].replace("/", "//", 1)[::-1],
    lambda uri, _: uri[::-1].replace("/", "c5%", 1)[::-1],
    lambda uri, _: uri.replace("?", "?&", 1),
)

_NAME_CHANGES: Final[tuple[Callable[[str, Random], str], ...]] = (
    lambda name, _: name,
    lambda name, _: name.upper(),
    lambda name, _: name.title(),
    lambda name, random: (
        name + random.choice((" ", "\t", "\n", "\x00", "\u00a0", "\u200b", "\u2028", "/", ".", ";x", "#", "?"))
    ),
    lambda name, random: random.choice((" ", "\ufeff", "\u200e", "./", "../", "/", "x/../", "admin/../")) + name,
    lambda name, random: "".join(chr(ord(one) + 0xFEE0) if random.random() < 0.5 else one for one in name),
    lambda name, random: "".join(f"%{ord(one):02x}" if random.random() < 0.5 else one for one in name),
    lambda name, random: "".join(f"\\u{ord(one):04x}" if random.random() < 0.3 else one for one in name),
    lambda name, _: name.replace("i", "\u0131"),
    lambda name, _: name.replace("a", "\u0430"),
    lambda name, _: name[:2] + "\u0307" + name[2:],
    lambda name, _: f"=?base64?{'YWRtaW4='}?=",
    lambda name, _: name[:3] + "\u00ad" + name[3:],
    lambda name, _: f"{name},{name}",
    lambda name, _: f'"{name}"',
    lambda name, _: f"server__{name}",
    lambda name, _: f"server.{name}",
)
