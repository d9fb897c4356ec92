"""Builders of the requests that the tests of `extauthz.pdp.mcp` read."""

import json
from collections.abc import Mapping
from typing import Any

from extauthz.pdp.request import BodyForm, HttpRequest

MODERN = "2026-07-28"
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
MODERN_META: dict[str, Any] = {VERSION_KEY: MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
JSON_HEADERS = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


def post(
    body: bytes | str | dict[str, Any] | list[Any],
    headers: Mapping[str, str | None] | None = None,
    **changes: Any,
) -> HttpRequest:
    """A POST of the initialize-based eras without any MCP header. A header of None is left out."""
    if isinstance(body, dict | list):
        body = json.dumps(body)
    data = body if isinstance(body, bytes) else body.encode()
    merged: dict[str, str | None] = {**JSON_HEADERS, "content-length": str(len(data)), **(headers or {})}
    fields: dict[str, Any] = {
        "method": "POST",
        "scheme": "https",
        "authority": "mcp.example.com",
        "path": "/weather/mcp",
        "headers": {name: value for name, value in merged.items() if value is not None},
        "body": data,
        "body_size": len(data),
        **changes,
    }
    return HttpRequest(**fields)


def call(name: Any = "get_forecast", **params: Any) -> dict[str, Any]:
    """A `tools/call` request."""
    return request("tools/call", {"name": name, "arguments": {"city": "Berlin"}, **params})


def request(method: Any, params: Any = None, **members: Any) -> dict[str, Any]:
    """A request with id 1."""
    return {"jsonrpc": "2.0", "id": 1, "method": method, **({} if params is None else {"params": params}), **members}


def notification(method: str, params: Any = None) -> dict[str, Any]:
    """A notification."""
    return {"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})}


def modern(
    message: dict[str, Any],
    headers: Mapping[str, str | None] | None = None,
    *,
    version: str = MODERN,
    **changes: Any,
) -> HttpRequest:
    """A POST of 2026-07-28 as a conforming client sends it, but for the given headers."""
    params = dict(message.get("params", {}))
    params["_meta"] = {**MODERN_META, VERSION_KEY: version, **params.get("_meta", {})}
    mirrored = params.get(
        {
            "tools/call": "name",
            "prompts/get": "name",
            "resources/read": "uri",
            "tasks/get": "taskId",
            "tasks/update": "taskId",
            "tasks/cancel": "taskId",
        }.get(message["method"], "-")
    )
    standard = {"mcp-protocol-version": version, "mcp-method": message["method"], "mcp-name": mirrored}
    return post({**message, "params": params}, {**standard, **(headers or {})}, **changes)


def bodyless(method: str, headers: Mapping[str, str] | None = None, **changes: Any) -> HttpRequest:
    """A GET or DELETE."""
    fields: dict[str, Any] = {
        "method": method,
        "scheme": "https",
        "authority": "mcp.example.com",
        "path": "/weather/mcp",
        "headers": {"accept": "text/event-stream", **(headers or {})},
        **changes,
    }
    return HttpRequest(**fields)


TEXT = BodyForm.TEXT
