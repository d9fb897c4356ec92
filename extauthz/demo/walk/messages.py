"""MCP messages as a client sends them over HTTP, and the JSON-RPC message in an answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

PROTOCOL_VERSION: Final = "2026-07-28"
LEGACY_VERSION: Final = "2025-11-25"

_META: Final = {
    "io.modelcontextprotocol/protocolVersion": PROTOCOL_VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "extauthz-demo", "version": "1"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One POST: a JSON body with the headers that go with it. `summary` is for people."""

    summary: str
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


def request(number: int, method: str, params: Mapping[str, Any] | None = None, *, name: str = "") -> Message:
    """A request of the stateless era (MCP 2026-07-28, Streamable HTTP): version and names stand in headers too."""
    params = dict(params or {})
    summary = " ".join(filter(None, [method, name, json.dumps(params["arguments"]) if params.get("arguments") else ""]))
    params["_meta"] = _META
    headers = {"mcp-protocol-version": PROTOCOL_VERSION, "mcp-method": method}
    if name:
        headers["mcp-name"] = name
    body = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return Message(summary=summary, body=json.dumps(body), headers=headers)


def tool_call(number: int, tool: str, **arguments: Any) -> Message:
    """A `tools/call` of the stateless era."""
    return request(number, "tools/call", {"name": tool, "arguments": arguments}, name=tool)


def initialize(number: int) -> Message:
    """The first message of an initialize-based client (up to MCP 2025-11-25)."""
    params = {
        "protocolVersion": LEGACY_VERSION,
        "capabilities": {},
        "clientInfo": {"name": "extauthz-demo", "version": "1"},
    }
    body = {"jsonrpc": "2.0", "id": number, "method": "initialize", "params": params}
    return Message(summary=f"initialize {LEGACY_VERSION}", body=json.dumps(body))


def batch(*messages: Message) -> Message:
    """Several messages in one array, as only MCP 2025-03-26 had them."""
    summary = f"[{', '.join(message.summary for message in messages)}]"
    return Message(summary=summary, body=f"[{', '.join(message.body for message in messages)}]")


def with_look_alike(message: Message, *, key: str, value: str) -> Message:
    """The same message with one more member in `params`, at its end."""
    body = json.loads(message.body)
    body["params"][key] = value
    return Message(
        summary=f'{message.summary}, with "{key}": "{value}" beside "name"',
        body=json.dumps(body),
        headers=message.headers,
    )


def answer_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON-RPC message in a response: a JSON body, or the first message of an event stream. Empty when none."""
    text = response.text
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        text = next((line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")), "")
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
