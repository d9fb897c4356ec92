"""CheckRequests for tests, and CheckResponses in a form that reads well."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict

from extauthz.wire import check_pb2 as wire

HEADERS: Mapping[str, str] = {
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
    "user-agent": "test",
}


def message(method: str = "tools/call", params: Mapping[str, Any] | None = None, request_id: Any = 1) -> bytes:
    """A JSON-RPC request; `tools/call` of get_forecast unless told otherwise."""
    if params is None and method == "tools/call":
        params = {"name": "get_forecast", "arguments": {"city": "Rome"}}
    body: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if request_id is not None:
        body["id"] = request_id
    if params is not None:
        body["params"] = params
    return json.dumps(body).encode()


def call_tool(name: str, arguments: Mapping[str, Any] | None = None) -> bytes:
    """A `tools/call`."""
    return message(params={"name": name, "arguments": dict(arguments or {})})


def check_request(
    body: bytes | None = None,
    *,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    method: str = "POST",
    path: str = "/weather/mcp",
    authority: str = "mcp.example.com",
    scheme: str = "https",
    route: str = "",
    raw_headers: bool = False,
    text_body: bool = False,
    size: int | None = None,
    bare: bool = False,
) -> bytes:
    """The bytes of a `CheckRequest` as Envoy would send them. `bare`: no headers but those given."""
    request = wire.CheckRequest()
    http = request.attributes.request.http
    http.method, http.path, http.host, http.scheme = method, path, authority, scheme
    if body is None and method == "POST":
        body = message()
    body = body or b""
    if text_body:
        http.body = body.decode("utf-8", "replace").replace("\ufffd", "!")
    else:
        http.raw_body = body
    http.size = len(body) if size is None else size
    all_headers = {":method": method, ":path": path, ":authority": authority, ":scheme": scheme}
    if not bare:
        all_headers |= HEADERS if method == "POST" else {"accept": "text/event-stream"}
        if body:
            all_headers["content-length"] = str(len(body))
    if token is not None:
        all_headers["authorization"] = f"Bearer {token}"
    all_headers |= headers or {}
    for name, value in all_headers.items():
        if raw_headers:
            http.header_map.headers.add(key=name, raw_value=value.encode("utf-8", "surrogateescape"))
        else:
            http.headers[name] = value
    if route:
        request.attributes.context_extensions["resource"] = route
    return request.SerializeToString()


@dataclass(frozen=True, slots=True)
class Seen:
    """What the proxy would do. `status` is 0 when the request is forwarded."""

    status: int
    headers: dict[str, str]
    removed: frozenset[str]
    body: Any
    metadata: dict[str, Any]
    code: int

    @property
    def allowed(self) -> bool:
        """Whether Envoy would let the request pass."""
        return self.code == 0

    @property
    def reason(self) -> str:
        """The reason code in the metadata."""
        return str(self.metadata["reason"])

    @property
    def challenge(self) -> str | None:
        """The challenge, if any."""
        return self.headers.get("www-authenticate")


def seen(response: bytes) -> Seen:
    """Read the bytes of a `CheckResponse` as Envoy does."""
    parsed = wire.CheckResponse.FromString(response)
    kind = parsed.WhichOneof("http_response")
    metadata = MessageToDict(parsed.dynamic_metadata)
    if kind == "ok_response":
        ok = parsed.ok_response
        return Seen(
            status=0,
            headers={option.header.key: option.header.value for option in ok.headers},
            removed=frozenset(ok.headers_to_remove),
            body=None,
            metadata=metadata,
            code=parsed.status.code,
        )
    denied = parsed.error_response if kind == "error_response" else parsed.denied_response
    return Seen(
        status=denied.status.code,
        headers={option.header.key: option.header.value for option in denied.headers},
        removed=frozenset(),
        body=json.loads(denied.body) if denied.body else None,
        metadata=metadata,
        code=parsed.status.code,
    )
