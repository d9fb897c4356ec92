"""Near-valid MCP messages: a Hypothesis grammar of messages that are right or nearly so, and mutations of them.

The grammar makes few and well-spread messages, the mutations (a seeded `random.Random`) many from each: another
spelling that changes nothing, another member, another byte, another header.
"""

import json
from base64 import b64encode
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from extauthz.pdp.mcp.methods import LEGACY_REVISIONS
from extauthz.pdp.request import HttpRequest
from tests.differential.environments import FIXTURE
from tests.differential.recording import Sent
from tests.property.test_mcp_reading import CAPABILITIES, MODERN, VERSION, Members, alike

Lines: TypeAlias = tuple[tuple[str, str], ...]

_NAMED = json.loads(FIXTURE.read_text(encoding="utf-8"))["named"]
_OTHER_NAMES = ["ADMIN", " admin", "admin ", "a,b", "w\u00e4hle", "\U0001f600", "=?base64?YWRtaW4=?=", "__proto__"]
_OTHER_NAMES += ["constructor", "toString", "null", "1", "../admin", "a/b", "admin\u200b", "\uff41dmin", "x" * 200]
NAMES = st.sampled_from(_NAMED["names"]) | st.sampled_from(_NAMED["names"]) | st.sampled_from(_OTHER_NAMES)

# URIs from parts, so that whatever some parser rewrites meets whatever another leaves.
_SCHEMES = [
    "weather",
    "secret",
    "file",
    "https",
    "http",
    "ws",
    "urn",
    "data",
    "mailto",
    "blob",
    "about",
    "HTTPS",
    "x-y+z.1",
]
_AFTER_SCHEME = ["://", "://", "://", ":///", ":", ":/", ""]
_HOSTS = ["berlin", "x", "h.example", "H.example", "h.example:443", "h.example:80", "h.example:8443", "u@h.example"]
_HOSTS += [
    "u:p@h.example",
    "1.2.3.4",
    "0x7f.1",
    "[::1]",
    "xn--nxasmq6b",
    "h.example.",
    "h%2eexample",
    "",
    "localhost",
    "a_b",
]
_HOSTS += ["xn--a", "h..example", "-h-", "1", "1.2", "h.1", "C:", "c|", "h~1", "a!b", "*", "h;x"]
_PATHS = [
    "",
    "/",
    "/a",
    "/admin",
    "/public/../secret",
    "/a/./b",
    "//admin",
    "/a%2Fadmin",
    "/%61",
    "/a;p=1",
    "/a b",
    "/a//",
]
_PATHS += [
    "/.",
    "/..",
    "/...",
    "/%2e%2e/x",
    "/a\\b",
    "/C:/x",
    "/c|/x",
    "/a%20b",
    "/a'b",
    "/a|b",
    "/a^b",
    "/\u00e4",
    "/%C3%A4",
]
_PATHS += ["/a[1]", "/%7Ea", "/%7e", "/@", "/:", "/a:b", "/{id}", "/%", "/a%zz", "/%00", "/$&+,=", "/!()*~"]
_QUERIES = ["", "", "?", "?x=1", "?q='", "?a b", "?%27", "?a[]=1", "?\u00e4", "?a?b", "?a/../b", "?{x}"]
_FRAGMENTS = ["", "", "", "#", "#f", "#f g", "#/../x", "#a#b", "#`", "#'", "#%41"]
_URI_PARTS = (_SCHEMES, _AFTER_SCHEME, _HOSTS, _PATHS, _QUERIES, _FRAGMENTS)
URIS = st.sampled_from(_NAMED["uris"]) | st.tuples(*map(st.sampled_from, _URI_PARTS)).map("".join)

_URI_CHARACTERS = "abC:/?#[]@!$&'()*+,;=%.~-_0179{}|"
_URI_PIECES = ["..", "//", "%2f", "%5C", ":80", "@", "c:", "C|", "xn--", *_URI_CHARACTERS]


def mutated_uri(random: Random) -> str:
    """A URI from parts, with some characters added or lost."""
    uri = "".join(random.choice(part) for part in _URI_PARTS)
    for _ in range(random.choice((0, 0, 1, 2, 3))):
        at = random.randint(0, len(uri))
        uri = uri[:at] + (random.choice(_URI_PIECES) + uri[at:] if random.random() < 0.6 else uri[at + 1 :])
    return uri


_SCALARS = st.sampled_from([None, True, False, 0, 1, -1, 1.0, 1.5, 1e21, 1e-7, 2**53 - 1, "", "x", "admin", "\u2028"])
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=2) | st.tuples(inner).map(lambda value: Members([("k", value[0])]))
)
_ARGUMENT_NAMES = st.sampled_from(
    ["city", "City", "name", "uri", "__proto__", "constructor", "arguments", "", "\u00e4"]
)
_ARGUMENTS = st.dictionaries(_ARGUMENT_NAMES, _VALUES, max_size=3).map(lambda given: Members(given.items()))
_TEXT_ARGUMENTS = st.dictionaries(_ARGUMENT_NAMES, st.sampled_from(["", "x", "1"]), max_size=2).map(
    lambda given: Members(given.items())
)
_REFERENCES = st.one_of(
    NAMES.map(lambda name: Members([("type", "ref/prompt"), ("name", name)])),
    URIS.map(lambda uri: Members([("type", "ref/resource"), ("uri", uri)])),
)
_ARGUMENT = st.tuples(st.sampled_from(["a", "city"]), st.sampled_from(["b", "", "1"])).map(
    lambda pair: Members([("name", pair[0]), ("value", pair[1])])
)
_CONTEXT = _TEXT_ARGUMENTS.map(lambda given: Members([("arguments", given)]))
_TASKS = st.sampled_from(["t-1", "other", "786512e2-9e0d-44bd-8f29-789f320fe840"])


def _given(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Members]:
    return st.tuples(*members.values()).map(lambda values: Members(zip(members, values, strict=True)))


_LISTENED = _given(resourceSubscriptions=st.lists(URIS, max_size=3), toolsListChanged=st.booleans())
# Method, whether initialize-based eras and the modern one have it, and its parameters.
_METHODS: tuple[tuple[str, bool, bool, st.SearchStrategy[Members]], ...] = (
    ("tools/call", True, True, _given(name=NAMES, arguments=_ARGUMENTS)),
    ("tools/call", True, True, _given(name=NAMES)),
    ("prompts/get", True, True, _given(name=NAMES, arguments=_TEXT_ARGUMENTS)),
    ("resources/read", True, True, _given(uri=URIS)),
    ("resources/read", True, True, _given(uri=URIS)),
    ("resources/subscribe", True, False, _given(uri=URIS)),
    ("resources/unsubscribe", True, False, _given(uri=URIS)),
    ("completion/complete", True, True, _given(ref=_REFERENCES, argument=_ARGUMENT)),
    ("completion/complete", True, True, _given(ref=_REFERENCES, argument=_ARGUMENT, context=_CONTEXT)),
    ("subscriptions/listen", False, True, _given(notifications=_LISTENED)),
    ("logging/setLevel", True, False, _given(level=st.just("info"))),
    ("tools/list", True, True, _given(cursor=NAMES)),
    ("prompts/list", True, True, _given()),
    ("resources/list", True, True, _given()),
    ("ping", True, False, _given()),
    ("tasks/get", True, True, _given(taskId=_TASKS)),
    ("tasks/result", True, False, _given(taskId=_TASKS)),
    ("tasks/cancel", True, True, _given(taskId=_TASKS)),
    ("custom/method", True, True, _given(name=NAMES)),
    ("notifications/cancelled", True, True, _given(requestId=st.just(7))),
)
_IDS = st.sampled_from([1, 0, -1, "a", "", "1", 2**53 - 1]) | st.integers(0, 1000)
_LEGACY = sorted(LEGACY_REVISIONS)


@dataclass(frozen=True, slots=True)
class Near:
    """A message as a tree, and the headers that it should come with."""

    message: Members
    headers: dict[str, str]


@st.composite
def near_messages(draw: st.DrawFn) -> Near:
    """A message of one of the eras as a client would send it, but for its names."""
    method, legacy, modern, given_params = draw(st.sampled_from(_METHODS))
    params = draw(given_params)
    headers = {"content-type": "application/json"}
    if modern and (not legacy or draw(st.booleans())):
        params.append(("_meta", Members([(VERSION, MODERN), (CAPABILITIES, Members())])))
        headers |= {"mcp-protocol-version": MODERN, "mcp-method": method}
        mirrored = next((value for name, value in params if name in ("name", "uri", "taskId")), None)
        if mirrored is not None:
            headers["mcp-name"] = field_value(mirrored)
    else:
        version = draw(st.none() | st.sampled_from(_LEGACY))
        headers |= {} if version is None else {"mcp-protocol-version": version}
    message = Members([("jsonrpc", "2.0"), ("id", draw(_IDS)), ("method", method), ("params", params)])
    if method.startswith("notifications/"):
        message.pop(1)
    return Near(message, headers)


def field_value(text: str) -> str:
    if text.isascii() and text.isprintable() and text == text.strip() and not text.startswith("=?"):
        return text
    return f"=?base64?{b64encode(text.encode()).decode()}?="


def near(count: int, number: int) -> list[Near]:
    """So many messages of the grammar; `number` seeds."""
    found: list[Near] = []

    @seed(number)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(near_messages())
    def collect(message: Near) -> None:
        found.append(message)

    collect()
    return found


# Mutations of the tree

_WANTED: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 2,
    "method": "tools/call",
    "name": "admin",
    "uri": "secret://x",
    "taskId": "other",
    "params": Members([("name", "admin"), ("uri", "secret://x"), ("taskId", "other")]),
    "arguments": Members([("city", "admin")]),
    "ref": Members([("type", "ref/prompt"), ("name", "admin")]),
    "type": "ref/resource",
    "notifications": Members([("resourceSubscriptions", ["secret://x"])]),
    "resourceSubscriptions": ["secret://x"],
    "taskIds": ["other"],
    "_meta": Members([(VERSION, "2025-11-25")]),
    VERSION: "2025-11-25",
    "__proto__": Members([("name", "admin"), ("uri", "secret://x"), ("method", "tools/call")]),
    "result": Members(),
    "task": Members([("ttl", 1)]),
}


def _objects(message: Members) -> list[Members]:
    found = [message]
    for listed in found:
        found += [inner for _, inner in listed if isinstance(inner, Members)]
    return found


def _insert(message: Members, random: Random) -> None:
    """One more member, where an attacker would want it."""
    listed = random.choice(_objects(message))
    name = random.choice([*_WANTED, *(name for name, _ in listed)])
    value = deepcopy(_WANTED.get(name, "admin"))
    listed.insert(random.randint(0, len(listed)), (random.choice([name, name, *alike(name)]), value))


def _insert_prototype(message: Members, random: Random) -> None:
    """A member that is no ordinary one in JavaScript."""
    listed = random.choice(_objects(message))
    value = deepcopy(random.choice([_WANTED["__proto__"], listed, None, "admin"]))
    listed.insert(random.randint(0, len(listed)), (random.choice(["__proto__", "constructor", "prototype"]), value))


def _remove(message: Members, random: Random) -> None:
    listed = random.choice(_objects(message))
    if listed:
        listed.pop(random.randrange(len(listed)))


def _replace(message: Members, random: Random) -> None:
    """Another value under a name that is there."""
    listed = random.choice(_objects(message))
    if listed:
        at = random.randrange(len(listed))
        values = [None, True, 0, 1.0, "", "admin", [], ["admin"], Members(), "tools/call", "secret://x", MODERN]
        listed[at] = (listed[at][0], random.choice([*values, deepcopy(_WANTED.get(listed[at][0], "x"))]))


def _respell(message: Members, random: Random) -> None:
    """A string written otherwise: case, space, escapes, look-alikes."""
    listed = random.choice(_objects(message))
    texts = [at for at, (_, value) in enumerate(listed) if isinstance(value, str) and value]
    if texts:
        at = random.choice(texts)
        name, value = listed[at]
        listed[at] = (name, random.choice([*alike(value), value + "/", value * 2, value + "#", value + "?"]))


def _shuffle(message: Members, random: Random) -> None:
    random.shuffle(random.choice(_objects(message)))


_TREE: tuple[Callable[[Members, Random], None], ...] = (
    _insert,
    _insert_prototype,
    _remove,
    _replace,
    _respell,
    _shuffle,
)

# Mutations of the text


def _text(value: Any, random: Random, odd: float) -> str:
    """JSON, with each string, number and space written in one of the ways that JSON has."""
    if isinstance(value, Members):
        items = [f"{_text(n, random, odd)}{_space(random, odd)}:{_text(v, random, odd)}" for n, v in value]
        return _space(random, odd) + "{" + ",".join(items) + _space(random, odd) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_text(inner, random, odd) for inner in value) + _space(random, odd) + "]"
    if isinstance(value, str):
        return _string(value, random, odd)
    if isinstance(value, int) and not isinstance(value, bool) and random.random() < odd:
        return random.choice([f"{value}.0", f"{value}e0", f"{value}E+0", f"{value}0e-1", f"-{value}"])
    return json.dumps(value)


def _string(text: str, random: Random, odd: float) -> str:
    if random.random() >= odd:
        return json.dumps(text, ensure_ascii=random.random() < 0.5)
    written = ""
    for character in text:
        plain = json.dumps(character, ensure_ascii=random.random() < 0.5)[1:-1]
        if character == "/" and random.random() < 0.5:
            written += "\\/"
        elif len(character.encode("utf-16-be")) == 2 and random.random() < 0.3:
            code = f"{ord(character):04x}"
            written += "\\u" + random.choice([code, code.upper()])
        else:
            written += plain
    return f'"{written}"'


def _space(random: Random, odd: float) -> str:
    return "".join(random.choices(" \t\r\n", k=random.randint(1, 3))) if random.random() < odd else ""


_BYTES = [
    b"\x00",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\x0b",
    b"\x0c",
    b"\xc2\xa0",
    b"//",
    b"/**/",
]
_BYTES += [b",", b"}", b"{", b"]", b'"', b"\\", b"\\u0000", b"\\ud800", b"NaN", b"1e999", b"'", b"\n", b"0", b"\x1f"]


def changed_bytes(body: bytes, random: Random) -> bytes:
    """Some bytes added, lost, exchanged or repeated; or the whole in another encoding."""
    at = random.randint(0, len(body))
    until = min(len(body), at + random.randint(1, 20))
    return random.choice(
        [
            body[:at] + random.choice(_BYTES) + body[at:],
            body[:at] + random.choice(_BYTES) + body[at + 1 :],
            body[:at] + body[at + 1 :],
            body[:at] + bytes([random.randrange(256)]) + body[at + 1 :],
            body[:until] + body[at:],
            body + random.choice([b"\n", b" ", b"\x00", b"{}", b"null", b",", b"\x1e" + body]),
            random.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\n", b"\x1e", b" "]) + body,
            b"[" + body + b"," + body + b"]",
            body.decode("utf-8", "replace").encode(random.choice(["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])),
        ]
    )


# Mutations of the headers

_HEADERS: dict[str, list[str]] = {
    "mcp-protocol-version": [
        MODERN,
        *_LEGACY,
        f"{_LEGACY[-1]},{MODERN}",
        f"{MODERN},{_LEGACY[-1]}",
        "",
        "2027-01-01",
        "x",
    ],
    "mcp-method": ["tools/call", "ping", "tools/call,ping", "TOOLS/CALL", "tools/list", " tools/call ", ""],
    "mcp-name": [
        "admin",
        "get_forecast",
        "admin,get_forecast",
        "=?base64?YWRtaW4=?=",
        "secret://x",
        " admin",
        "a,b",
        "a, b",
    ],
    "mcp-session-id": ["s-1", "s-1,s-2", "", "../x"],
    "mcp-param-city": ["admin", "x", "1"],
    "content-type": ["application/json; charset=utf-8", "application/json;charset=UTF-8", "text/plain", ""],
    "content-encoding": ["identity", "gzip"],
    "last-event-id": ["1"],
    "x-http-method-override": ["DELETE"],
    "x-mcp-method": ["tools/call"],
}


def changed_headers(lines: Lines, random: Random) -> Lines:
    """One header more, less or otherwise."""
    headers = dict(lines)
    _change_headers(headers, random)
    return tuple(headers.items())


def _change_headers(headers: dict[str, str], random: Random) -> None:
    name = random.choice([*_HEADERS, "mcp-protocol-version", "mcp-name", "mcp-method"])
    if random.random() < 0.3:
        headers.pop(name, None)
    else:
        headers[name] = random.choice(_HEADERS[name])


def message_text(message: Members, random: Random) -> bytes:
    """A message in one of the spellings that JSON has for it."""
    return _text(message, random, random.choice((0.0, 0.2, 0.8))).encode("utf-8", "surrogatepass")


def mutated(near: Near, random: Random) -> tuple[HttpRequest, Sent]:
    """One message made from a near one, as the service sees it and as it goes to a server."""
    message, headers = deepcopy(near.message), dict(near.headers)
    for _ in range(random.choice((0, 0, 1, 1, 2))):
        random.choice(_TREE)(message, random)
    body = message_text(message, random)
    if random.random() < 0.12:
        body = changed_bytes(body, random)
    if random.random() < 0.2:
        _change_headers(headers, random)
    return message_of(tuple(line for name, value in headers.items() for line in _lines(name, value, random)), body)


def _lines(name: str, value: str, random: Random) -> list[tuple[str, str]]:
    """A value with a comma may be two lines that the proxy joined."""
    if "," in value and random.random() < 0.5:
        return [(name, part) for part in value.split(",")]
    return [(name, value)]


def message_of(lines: Lines, body: bytes) -> tuple[HttpRequest, Sent]:
    """A message as the service sees it, repeated headers joined, and as it goes to a server."""
    headers: dict[str, str] = {}
    for name, value in lines:
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    request = HttpRequest(
        method="POST",
        scheme="https",
        authority="h",
        path="/mcp",
        headers=headers | {"content-length": str(len(body))},
        body=body,
        body_size=len(body),
    )
    return request, Sent(lines=lines, body=body)
