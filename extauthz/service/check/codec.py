"""Between Envoy's messages and our values: `CheckRequest` bytes in, `CheckResponse` bytes out. No rule lives here.

Facts about Envoy that this file keeps: an empty `CheckResponse`, or one with status code 0, is an *allow*, so code 0
is written in exactly one place, for a `Forward`; both header forms and both body forms are read; `append` is never
set (Envoy drops a denial's header that has it); errors go out as `error_response` with their own HTTP status.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, assert_never, cast

from google.protobuf.message import DecodeError

from extauthz.pdp.answer.verdict import Forward, Reply, Verdict
from extauthz.pdp.reason import ANSWERS, Reason
from extauthz.pdp.request import MAX_HEADERS, BodyForm, HttpRequest
from extauthz.service.check.header_count import more_lines_than
from extauthz.wire import check_pb2 as wire

MCP_METADATA: Final = "envoy.filters.http.mcp"
RESOURCE_EXTENSION: Final = "resource"

MAX_UNCOUNTED_BYTES: Final = 4_096
"""Of a request whose header lines are counted only when it has been read: most are shorter, and one of this length can
have no more than 40 us' worth of them."""

MAX_IDENTITY_PARTS: Final = 4_096
"""Beginnings of answers kept, about 1 KB each: for as many callers as are busy at once."""
MAX_IDENTITY_CHARS: Final = 1_024
"""Of the headers in one that is kept: with its key 2.5 KB, so that all of them take 10 MB at most."""

# What is removed from a request in which the client sent none of our header names.
_USUALLY_REMOVED: Final = (("authorization",), ())

# google.rpc.Code values.
_OK: Final = 0
_PERMISSION_DENIED: Final = 7
_UNAVAILABLE: Final = 14


_TOO_MANY_HEADERS: Final = HttpRequest(method="", scheme="", authority="", path="", headers={}, too_many_headers=True)


class NotACheckRequest(Exception):
    """The bytes are no `CheckRequest`."""


def decode(data: bytes) -> HttpRequest:
    """Read a `CheckRequest`; nothing of one with more than `MAX_HEADERS` header lines. Raises `NotACheckRequest`."""
    if len(data) > MAX_UNCOUNTED_BYTES and more_lines_than(data, MAX_HEADERS):
        return _TOO_MANY_HEADERS
    try:
        attributes = wire.CheckRequest.FromString(data).attributes
    except DecodeError as error:
        raise NotACheckRequest("the proxy sent bytes that are no CheckRequest") from error
    http = attributes.request.http
    raw = http.raw_body
    body = raw or http.body.encode()
    in_map = http.HasField("header_map")
    if (len(http.header_map.headers) if in_map else len(http.headers)) > MAX_HEADERS:
        return _TOO_MANY_HEADERS
    return HttpRequest(
        method=http.method,
        scheme=http.scheme,
        authority=http.host,
        path=http.path,
        headers=_joined(http.header_map) if in_map else _plain(http.headers),
        body=body,
        body_form=BodyForm.RAW if raw or not body else BodyForm.TEXT,
        body_size=http.size,
        route_resource=attributes.context_extensions.get(RESOURCE_EXTENSION, ""),
        mcp_metadata=_mcp_metadata(attributes),
    )


def _plain(headers: Mapping[str, str]) -> Mapping[str, str]:
    # `dict(headers)` and `items()` of the generated map take a quarter longer, for every check.
    return {name: headers[name] for name in headers}


def _joined(lines: wire.HeaderMap) -> Mapping[str, str]:
    """One value per name, repeats joined as Envoy joins them in its other form."""
    headers: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    for line in lines.headers:
        name = line.key.lower()
        value = _text(line.raw_value) if line.raw_value else line.value
        if name not in headers:
            headers[name] = value
        elif name in repeated:
            repeated[name].append(value)
        else:
            repeated[name] = [headers[name], value]
    # All at once: joining them one by one would copy what is there for each of them.
    for name, values in repeated.items():
        headers[name] = ",".join(values)
    return headers


def _text(value: bytes) -> str:
    """A value that is not UTF-8 becomes U+FFFD, which no rule accepts in a value that it reads."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return "\ufffd"


class _McpMetadata(Mapping[str, Any]):
    """What Envoy's MCP filter read of the body, unpacked on first use: that takes 1 us a byte, which nobody spends on a
    caller without a token."""

    __slots__ = ("_message", "_unpacked")

    def __init__(self, message: Any) -> None:
        self._message = message
        self._unpacked: Mapping[str, Any] | None = None

    def _members(self) -> Mapping[str, Any]:
        if self._unpacked is None:
            # Takes 50 ms and 2 MiB to import, which a proxy without that filter need not cost.
            from google.protobuf.json_format import MessageToDict  # noqa: PLC0415

            self._unpacked = MessageToDict(self._message)
        return self._unpacked

    def __getitem__(self, name: str) -> Any:
        return self._members()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members())

    def __len__(self) -> int:
        return len(self._members())


def _mcp_metadata(attributes: wire.AttributeContext) -> Mapping[str, Any] | None:
    filters = attributes.metadata_context.filter_metadata
    return _McpMetadata(filters[MCP_METADATA]) if MCP_METADATA in filters else None


def encode_request(request: HttpRequest) -> bytes:
    """Write the `CheckRequest` that a proxy would send for a request: for explaining, trying and measuring."""
    message = wire.CheckRequest()
    http = message.attributes.request.http
    http.method, http.scheme, http.host, http.path = request.method, request.scheme, request.authority, request.path
    for name, value in request.headers.items():
        http.headers[name] = value
    if request.body_form is BodyForm.RAW:
        http.raw_body = request.body
    else:
        http.body = request.body.decode()
    http.size = request.body_size or len(request.body)
    if request.route_resource:
        message.attributes.context_extensions[RESOURCE_EXTENSION] = request.route_resource
    return message.SerializeToString()


def encode(verdict: Verdict, metadata: Mapping[str, str]) -> bytes:
    """Write a `CheckResponse`. `metadata` becomes dynamic metadata under `envoy.filters.http.ext_authz`."""
    response = wire.CheckResponse()
    fields = response.dynamic_metadata.fields
    for name, value in metadata.items():
        fields[name].string_value = value
    match verdict:
        case Forward():
            header = response.ok_response.headers.add().header
            header.key, header.value = verdict.decision
            identity, removed = verdict.identity, verdict.remove_headers
            if removed not in _USUALLY_REMOVED:
                # Names that the client chose.
                response.ok_response.headers_to_remove.extend(removed)
                removed = ()
            small = sum([len(name) + len(value) for name, value in identity]) <= MAX_IDENTITY_CHARS
            part = _kept_identity_part(identity, removed) if small else _identity_part(identity, removed)
            return part + response.SerializeToString()
        case Reply():
            response.status.code = _UNAVAILABLE if verdict.indeterminate else _PERMISSION_DENIED
            denied = response.error_response if verdict.indeterminate else response.denied_response
            # Any number can stand in an open enum; the generated types know only the named ones.
            denied.status.code = cast("wire.StatusCode", verdict.status)
            denied.body = verdict.body
            for name, value in verdict.headers:
                header = denied.headers.add().header
                header.key = name
                header.value = value
            return response.SerializeToString()
        case _:
            assert_never(verdict)


def _identity_part(identity: tuple[tuple[str, str], ...], removed: tuple[str, ...]) -> bytes:
    """The beginning of an allowing answer, which is the same for every check of one caller.

    Serialised messages that are put one after the other are merged when they are read (Protocol Buffers, Encoding,
    "Last One Wins"): repeated fields add up, and a oneof that has the same member twice has the two merged.
    """
    response = wire.CheckResponse()
    response.status.code = _OK
    for name, value in identity:
        header = response.ok_response.headers.add().header
        header.key = name
        header.value = value
    response.ok_response.headers_to_remove.extend(removed)
    return response.SerializeToString()


_kept_identity_part: Final = lru_cache(MAX_IDENTITY_PARTS)(_identity_part)


def encode_undecided(decision_id: str, reason: Reason = Reason.INTERNAL_ERROR) -> bytes:
    """The answer to a check that could not be decided at all: an error with status 503, never an allow."""
    answer = ANSWERS[reason]
    body = f'{{"jsonrpc":"2.0","id":null,"error":{{"code":{answer.code},"message":"{answer.message}"}}}}'
    headers = (
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("x-extauthz-decision", decision_id),
        ("retry-after", "5"),
    )
    return encode(
        Reply(status=503, headers=headers, body=body, indeterminate=True),
        {"decision_id": decision_id, "reason": reason},
    )
