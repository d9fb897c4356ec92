"""Whatever is let through, every kind of server reads as the same operation.

The servers here are models: each parses the raw text by a rule of its own that some real parser has (first member
wins, last wins, case folding as in Go's `encoding/json`, snake case aliases, dropped NULs and invisible characters),
and routes to an era by the rules of an official SDK. None shares code with what is tested.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from extauthz.pdp.mcp.read import read_operation
from extauthz.pdp.operation import Era, MessageKind, Operation, Unreadable
from extauthz.pdp.request import BodyForm, HttpRequest

MODERN = "2026-07-28"
LEGACY = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
# Examples may take as long as they take on a busy machine.
SEARCH = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"

# A grammar of near-valid messages: texts whose objects are lists of members, so that any name can come twice.


class Members(list[tuple[str, Any]]):
    """An object, members in order, names as often as they come."""


def written(value: Any, escape: Callable[[str], str]) -> str:
    if isinstance(value, Members):
        return "{" + ",".join(f"{escape(name)}:{written(inner, escape)}" for name, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(inner, escape) for inner in value) + "]"
    return escape(value) if isinstance(value, str) else json.dumps(value)


def plain(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def escaped(text: str) -> str:
    """Every other character as an escape."""
    units = text.encode("utf-16-be")
    points = [units[index : index + 2] for index in range(0, len(units), 2)]
    if len(points) != len(text):
        return json.dumps(text)
    return (
        '"'
        + "".join(
            f"\\u{point.hex()}" if index % 2 else json.dumps(character)[1:-1]
            for index, (point, character) in enumerate(zip(points, text, strict=True))
        )
        + '"'
    )


def alike(name: str) -> list[str]:
    """Names that some parser takes for this one."""
    snake = "".join("_" + character.lower() if character.isupper() else character for character in name)
    variants = [name.upper(), name.capitalize(), name + "\x00", "\x00" + name, " " + name, name + " ", snake]
    variants += [name[:1] + "\u200b" + name[1:], name.replace("s", "\u017f"), name.replace("k", "\u212a")]
    variants += ["".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in name), name.lstrip("_")]
    return [variant for variant in variants if variant != name]


NAMES = st.sampled_from(["get_forecast", "admin", "a", "", "x\x00", "w\u00e4hle", "!", "a,b", "file:///a/../b"])
URIS = st.sampled_from(["weather://berlin", "secret://x", "FILE:///x", "file:///a/../b", "a,b", ""])
SCALARS = st.sampled_from([None, True, 0, 1, 1.5, "", "x", "admin"])
JUNK: st.SearchStrategy[Any] = SCALARS | st.just(Members()) | st.just([])
ARGUMENTS = st.lists(st.tuples(st.sampled_from(["name", "Name", "city", "x!"]), SCALARS), max_size=3).map(Members)


def members(fields: Mapping[str, st.SearchStrategy[Any]], extra: int = 1) -> st.SearchStrategy[Members]:
    """Each field, mostly once, in any order, and a few that are twice, alike or unknown."""
    listed = [
        (st.tuples(st.just(name), value), st.tuples(st.sampled_from([name, *alike(name)]), value | JUNK))
        for name, value in fields.items()
    ]
    usual = st.tuples(*(st.lists(exact, min_size=1, max_size=1) for exact, _ in listed))
    odd = st.lists(st.one_of(*(strange for _, strange in listed), st.tuples(st.just("extra"), JUNK)), max_size=extra)
    return st.tuples(usual, st.just([]) | st.just([]) | odd, st.randoms(use_true_random=False)).map(
        lambda parts: _shuffled([member for group in parts[0] for member in group] + parts[1], parts[2])
    )


def _shuffled(listed: list[tuple[str, Any]], random: Any) -> Members:
    random.shuffle(listed)
    return Members(listed)


def optional(strategy: st.SearchStrategy[Members], *names: str) -> st.SearchStrategy[Members]:
    """The same, sometimes without these members."""
    return st.tuples(strategy, st.sets(st.sampled_from(names))).map(
        lambda parts: Members(member for member in parts[0] if member[0] not in parts[1])
    )


META = optional(
    members({VERSION: st.sampled_from([MODERN, "2025-11-25", "2027-01-01"]), CAPABILITIES: st.just(Members())}),
    VERSION,
)
URI_LISTS = st.lists(URIS, max_size=2)
FILTER = optional(
    members({"resourceSubscriptions": URI_LISTS, "taskIds": st.lists(NAMES, max_size=2), "toolsListChanged": SCALARS}),
    "resourceSubscriptions",
    "taskIds",
    "toolsListChanged",
)
REFERENCE = members({"type": st.just("ref/prompt"), "name": NAMES}) | members(
    {"type": st.just("ref/resource"), "uri": URIS}
)
PARAMS: dict[str, st.SearchStrategy[Members]] = {
    "tools/call": optional(members({"name": NAMES, "arguments": ARGUMENTS, "_meta": META}), "_meta", "arguments"),
    "prompts/get": optional(members({"name": NAMES, "arguments": ARGUMENTS, "_meta": META}), "_meta", "arguments"),
    "resources/read": optional(members({"uri": URIS, "_meta": META}), "_meta"),
    "resources/subscribe": optional(members({"uri": URIS, "_meta": META}), "_meta"),
    "completion/complete": optional(members({"ref": REFERENCE, "_meta": META}), "_meta"),
    "subscriptions/listen": optional(members({"notifications": FILTER, "_meta": META}), "_meta"),
    "tasks/get": optional(members({"taskId": NAMES, "_meta": META}), "_meta"),
    "tools/list": optional(members({"cursor": NAMES, "_meta": META}), "_meta", "cursor"),
    "initialize": optional(members({"protocolVersion": st.just("2025-11-25"), "_meta": META}), "_meta"),
    "notifications/initialized": optional(members({"_meta": META}), "_meta"),
    "custom/method": optional(members({"name": NAMES, "_meta": META}), "_meta"),
}
IDS = st.sampled_from([1, "a", 0, "b", 2]) | st.sampled_from([3, "c"]) | st.just(4) | st.just("d") | JUNK


def messages(method: str) -> st.SearchStrategy[Members]:
    fields = {"jsonrpc": st.just("2.0"), "id": IDS, "method": st.just(method), "params": PARAMS[method]}
    if method.startswith("notifications/"):
        del fields["id"]
    return members(fields)


RESPONSES = members({"jsonrpc": st.just("2.0"), "id": IDS, "result": ARGUMENTS})
MESSAGES = st.one_of(*map(messages, PARAMS), RESPONSES)
VERSIONS = st.sampled_from([None, MODERN, *LEGACY, "2027-01-01", f"2025-11-25,{MODERN}", ""])


@st.composite
def requests(draw: st.DrawFn, kinds: st.SearchStrategy[Members] = MESSAGES) -> HttpRequest:
    """A message with headers that mostly agree with it."""
    message = draw(kinds)
    body = written(message, draw(st.sampled_from([plain, escaped]))).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    method = next((value for name, value in message if name == "method"), "response")
    params = next((value for name, value in message if name == "params" and isinstance(value, Members)), Members())
    names = [value for name, value in params if name in ("name", "uri", "taskId") and isinstance(value, str)]
    claims = [
        value
        for name, meta in params
        if name == "_meta" and isinstance(meta, Members)
        for key, value in meta
        if key == VERSION
    ]
    claim = claims[0] if claims and isinstance(claims[0], str) else None
    offered: dict[str, Any] = {
        "mcp-protocol-version": draw(st.just(claim) | VERSIONS),
        "mcp-method": draw(st.just(method) | st.sampled_from([None, method, "ping", f"{method},ping"])),
        "mcp-name": draw(st.just(names[0] if names else None) | st.sampled_from([None, "admin", "get_forecast,admin"])),
        "mcp-session-id": draw(st.sampled_from([None, "s-1", "s-1,s-2"])),
    }
    headers |= {name: value for name, value in offered.items() if isinstance(value, str)}
    return HttpRequest(
        method="POST", scheme="https", authority="h", path="/mcp", headers=headers, body=body, body_size=len(body)
    )


# Models of servers: how each finds a member by its name

Finder: TypeAlias = Callable[[Members, str], Any]
ABSENT = object()


def first_wins(listed: Members, name: str) -> Any:
    return next((value for key, value in listed if key == name), ABSENT)


def last_wins(listed: Members, name: str) -> Any:
    return next((value for key, value in reversed(listed) if key == name), ABSENT)


def by(normal: Callable[[str], str]) -> Finder:
    """Last wins among all names that are the same in a normal form."""

    def find_member(listed: Members, name: str) -> Any:
        return next((value for key, value in reversed(listed) if normal(key) == normal(name)), ABSENT)

    return find_member


def without_invisible(name: str) -> str:
    return "".join(character for character in name if character.isprintable() and not character.isspace())


FINDERS: dict[str, Finder] = {
    "first wins": first_wins,
    "last wins (Python, JavaScript)": last_wins,
    "case folded, last wins (Go encoding/json)": by(
        lambda name: name.replace("\u017f", "s").replace("\u212a", "k").lower()
    ),
    "Unicode case folded": by(str.casefold),
    "NUL terminated (GO-2026-4770)": by(lambda name: name.split("\x00")[0] or name),
    "stripped": by(lambda name: name.strip("\x00 \t\u200b")),
    "without invisible characters": by(without_invisible),
    "snake case or camel case": by(lambda name: name.replace("_", "").lower()),
    "fullwidth": by(lambda name: "".join(chr(ord(c) - 0xFEE0) if "\uff01" <= c <= "\uff5e" else c for c in name)),
}

TARGETS = {
    "tools/call": ("tool", "name"),
    "prompts/get": ("prompt", "name"),
    "resources/read": ("resource", "uri"),
    "resources/subscribe": ("resource", "uri"),
    "tasks/get": ("task", "taskId"),
}


def carried_out(text: bytes, member: Finder) -> tuple[str, list[tuple[str, str]], Any] | None:
    """What a server would do with this text: method, what it touches, arguments. None: an answer to the server."""
    message = json.loads(text, object_pairs_hook=Members)
    method = member(message, "method")
    if method is ABSENT:
        return None
    params = member(message, "params")
    params = params if isinstance(params, Members) else Members()
    touched: list[tuple[str, str]] = []
    if method in TARGETS:
        kind, field = TARGETS[method]
        touched = [(kind, member(params, field))]
    elif method == "completion/complete":
        reference = member(params, "ref")
        kind, field = {"ref/prompt": ("prompt", "name"), "ref/resource": ("resource", "uri")}[member(reference, "type")]
        touched = [(kind, member(reference, field))]
    elif method == "subscriptions/listen":
        listened = member(params, "notifications")
        for kind, field in (("resource", "resourceSubscriptions"), ("task", "taskIds")):
            entries = member(listened, field) if isinstance(listened, Members) else ABSENT
            touched += [(kind, entry) for entry in (entries if isinstance(entries, list) else [])]
    arguments = member(params, "arguments") if method in ("tools/call", "prompts/get") else ABSENT
    return method, touched, dict(arguments) if isinstance(arguments, Members) else {}


# Models of servers: which era each takes a request to be of


def claim_of(text: bytes) -> Any:
    message = json.loads(text)
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    return meta.get(VERSION, ABSENT) if isinstance(meta, dict) else ABSENT


def claim_by(member: Finder, text: bytes) -> Any:
    """The claim as a server finds it that looks members up in its own way."""
    message = json.loads(text, object_pairs_hook=Members)
    for name in ("params", "_meta", VERSION):
        message = member(message, name) if isinstance(message, Members) else ABSENT
    return message


def python_sdk(headers: Mapping[str, str], text: bytes) -> Era | None:
    """By the header alone; None: refused. (mcp 2.3.0)"""
    header = headers.get("mcp-protocol-version")
    if header is None or header in LEGACY:
        return Era.LEGACY
    message = json.loads(text)
    if "method" not in message or ("id" in message and (claim_of(text) != header or header != MODERN)):
        return None
    return Era.MODERN


def typescript_sdk(headers: Mapping[str, str], text: bytes) -> Era | None:
    """By the body first; None: refused. (server 2.4.0)"""
    header, claim, message = headers.get("mcp-protocol-version"), claim_of(text), json.loads(text)
    if "method" not in message:
        return Era.LEGACY
    if claim is not ABSENT:
        return Era.MODERN if claim == MODERN and header in (None, claim) else None
    if header is not None and header >= MODERN:
        return None if "id" in message else Era.MODERN
    return Era.LEGACY if header is None or header in LEGACY else None


@settings(SEARCH, max_examples=400)
@given(requests())
def test_every_server_carries_out_the_operation_that_was_read(request: HttpRequest) -> None:
    operation = read_operation(request)
    if not isinstance(operation, Operation):
        return
    for reader, member in FINDERS.items():
        assert carried_out(request.body, member) == reading_of(operation), reader


@settings(SEARCH, max_examples=400)
@given(requests())
def test_every_server_routes_to_the_era_that_was_read_or_refuses(request: HttpRequest) -> None:
    operation = read_operation(request)
    if isinstance(operation, Operation):
        assert python_sdk(request.headers, request.body) in (operation.era, None)
        assert typescript_sdk(request.headers, request.body) in (operation.era, None)


@settings(SEARCH, max_examples=400)
@given(requests())
def test_whoever_routes_by_a_header_routes_the_operation_that_was_read(request: HttpRequest) -> None:
    operation = read_operation(request)
    if not isinstance(operation, Operation):
        return
    method = request.headers.get("mcp-method", operation.method)
    assert {method, method.split(",")[0], method.split(",")[-1]} == {operation.method}
    name = request.headers.get("mcp-name")
    if name is not None and operation.targets:
        assert [target.name for target in operation.targets] == [name]
    assert "," not in operation.session_id


@pytest.mark.parametrize("method", PARAMS)
@pytest.mark.parametrize("era", [Era.LEGACY, Era.MODERN])
def test_the_grammar_has_messages_that_are_let_through(method: str, era: Era) -> None:
    """Else the properties above would say nothing."""
    operation = find(
        requests(messages(method)).map(read_operation),
        lambda outcome: isinstance(outcome, Operation) and outcome.method == method and outcome.era is era,
        settings=settings(SEARCH, max_examples=5_000, database=None, phases=[Phase.generate]),
    )
    assert isinstance(operation, Operation)


HEADER_NAMES = st.sampled_from(
    [
        "content-type",
        "content-encoding",
        "content-length",
        "transfer-encoding",
        "upgrade",
        "accept",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "mcp-session-id",
        "mcp-param-x",
        "mcp_name",
        "x-envoy-auth-partial-body",
    ]
)
HEADER_VALUES = st.text(max_size=20) | st.sampled_from(
    ["application/json", MODERN, "tools/call", "=?base64?eA==?=", "chunked"]
)
METADATA = st.dictionaries(
    st.sampled_from(["method", "params", "id"]), JUNK | st.dictionaries(st.text(max_size=5), JUNK)
)


@settings(SEARCH)
@given(
    st.sampled_from(["POST", "GET", "DELETE", "PUT"]) | st.text(max_size=5),
    st.dictionaries(HEADER_NAMES, HEADER_VALUES, max_size=8),
    st.binary(max_size=200) | MESSAGES.map(lambda message: written(message, plain).encode()),
    st.sampled_from(BodyForm),
    st.integers(-1, 300),
    st.none() | METADATA,
)
def test_nothing_raises(
    method: str, headers: dict[str, str], body: bytes, form: BodyForm, size: int, metadata: dict[str, Any] | None
) -> None:
    request = HttpRequest(
        method=method,
        scheme="http",
        authority="h",
        path="/",
        headers=headers,
        body=body,
        body_form=form,
        body_size=size,
        mcp_metadata=metadata,
    )
    outcome = read_operation(request)
    assert isinstance(outcome, Operation | Unreadable)
    assert read_operation(request) == outcome


def reading_of(operation: Operation) -> tuple[str, list[tuple[str, str]], Any] | None:
    if operation.kind is MessageKind.RESPONSE:
        return None
    return operation.method, [(str(t.kind), t.name) for t in operation.targets], dict(operation.arguments)


# Attacks: a message that is let through, and one more member in one of its objects, of a name that is there or alike.


def tree(value: Any) -> Any:
    if isinstance(value, dict):
        return Members((name, tree(inner)) for name, inner in value.items())
    return [tree(inner) for inner in value] if isinstance(value, list) else value


LISTENED = {"resourceSubscriptions": ["a://b"], "taskIds": ["t"], "toolsListChanged": True}
CONFORMING: list[tuple[str, dict[str, Any]]] = [
    ("tools/call", {"name": "get_forecast", "arguments": {"city": "x"}, "task": {"ttl": 1}}),
    ("prompts/get", {"name": "p", "arguments": {"city": "x"}}),
    ("resources/read", {"uri": "a://b"}),
    ("resources/subscribe", {"uri": "a://b"}),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "n", "value": "v"}}),
    ("completion/complete", {"ref": {"type": "ref/resource", "uri": "a://b"}, "context": {"arguments": {}}}),
    ("subscriptions/listen", {"notifications": LISTENED}),
    ("tasks/get", {"taskId": "t"}),
    ("tools/list", {"cursor": "c"}),
]
# What an attacker would rather have: by name, and of the type that servers look for.
WANTED: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 2,
    "method": "resources/read",
    "params": Members([("name", "admin"), ("uri", "secret://x"), ("taskId", "other")]),
    "name": "admin",
    "uri": "secret://x",
    "taskId": "other",
    "arguments": Members([("city", "admin")]),
    "ref": Members([("type", "ref/prompt"), ("name", "admin")]),
    "type": "ref/resource",
    "notifications": Members([("resourceSubscriptions", ["secret://x"])]),
    "resourceSubscriptions": ["secret://x"],
    "taskIds": ["other"],
    "_meta": Members([(VERSION, "2025-11-25")]),
    VERSION: "2025-11-25",
    "city": "admin",
}


@st.composite
def attacks(draw: st.DrawFn) -> HttpRequest:
    method, given_params = draw(st.sampled_from(CONFORMING))
    claimed = draw(st.booleans())
    params = {**given_params, **({"_meta": {VERSION: MODERN, CAPABILITIES: {}}} if claimed else {})}
    message = tree({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    objects = [message]
    for listed in objects:
        objects += [inner for _, inner in listed if isinstance(inner, Members)]
    attacked = draw(st.sampled_from([listed for listed in objects if listed]))
    name, value = draw(st.sampled_from(attacked))
    attacked.insert(
        draw(st.integers(0, len(attacked))),
        (draw(st.just(name) | st.sampled_from(alike(name))), WANTED.get(name, value)),
    )
    body = written(message, draw(st.sampled_from([plain, escaped]))).encode()
    headers = {"content-type": "application/json"}
    if claimed:
        mirrored = given_params.get("name", given_params.get("uri", given_params.get("taskId")))
        headers |= {"mcp-protocol-version": MODERN, "mcp-method": method}
        headers |= {} if mirrored is None else {"mcp-name": mirrored}
    return HttpRequest(method="POST", scheme="https", authority="h", path="/mcp", headers=headers, body=body)


@settings(SEARCH, max_examples=1_000)
@given(attacks())
def test_one_more_member_is_refused_or_changes_nothing_for_any_server(request: HttpRequest) -> None:
    operation = read_operation(request)
    if isinstance(operation, Operation):
        readings = {reader: carried_out(request.body, member) for reader, member in FINDERS.items()}
        assert readings == dict.fromkeys(FINDERS, reading_of(operation))
        claims = {reader: claim_by(member, request.body) for reader, member in FINDERS.items()}
        assert claims == dict.fromkeys(FINDERS, claim_of(request.body))
        assert python_sdk(request.headers, request.body) in (operation.era, None)
        assert typescript_sdk(request.headers, request.body) in (operation.era, None)


@settings(SEARCH, max_examples=300)
@given(requests(), st.data())
def test_a_flipped_byte_never_changes_who_reads_what(request: HttpRequest, data: st.DataObject) -> None:
    """A message with any one byte replaced is refused, or again the same to every server."""
    at = data.draw(st.integers(0, len(request.body) - 1))
    byte = data.draw(st.integers(0, 255))
    changed = request._replace(body=request.body[:at] + bytes([byte]) + request.body[at + 1 :])
    operation = read_operation(changed)
    if isinstance(operation, Operation) and operation.known:
        assert all(carried_out(changed.body, member) == reading_of(operation) for member in FINDERS.values())


@settings(SEARCH)
@given(st.text(max_size=30), st.text(max_size=30))
def test_a_body_as_text_is_judged_only_where_no_byte_can_be_missing(name: str, city: str) -> None:
    """`!` may stand for any byte: with another byte there, the names and exact arguments would be the same."""
    body = json.dumps(
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": name, "arguments": {"city": city}},
        },
        ensure_ascii=False,
    ).encode("utf-8", "replace")
    operation = read_operation(
        HttpRequest(
            method="POST",
            scheme="https",
            authority="h",
            path="/mcp",
            headers={"content-type": "application/json"},
            body=body,
            body_form=BodyForm.TEXT,
        )
    )
    if isinstance(operation, Operation):
        assert all("!" not in target.name for target in operation.targets)
        assert not operation.arguments_exact or "!" not in str(operation.arguments)
