"""Envoy's own `mcp` filter as a second witness: where it has read the message too, it must have read the same.

Its dynamic metadata (namespace `envoy.filters.http.mcp`) never stands in for the body: the filter is work in progress,
and says nothing when it gave up.
"""

from collections.abc import Mapping
from typing import Any, Final

from extauthz.pdp.mcp.message import Message
from extauthz.pdp.operation import MessageKind

# What the filter calls the method of a response.
_RESPONSE: Final = "__jsonrpc_response"
_NAMES: Final = ("name", "uri", "taskId", "protocolVersion")


def witness_fault(metadata: Mapping[str, Any], message: Message | None) -> str:
    """What the filter read otherwise, as a sentence; empty when nothing. `message` is None for GET and DELETE."""
    if "method" in metadata:
        method = "" if message is None else _RESPONSE if message.kind is MessageKind.RESPONSE else message.method
        if metadata["method"] != method:
            return "the proxy's mcp filter read another method: make its settings refuse what is not MCP"
    params = metadata.get("params")
    if params is None:
        return ""
    if not isinstance(params, Mapping) or message is None:
        return "the proxy's mcp filter read parameters where there are none"
    for name in _NAMES:
        if name in params and params[name] != message.params.get(name):
            return f"the proxy's mcp filter read another params.{name}: make its settings refuse duplicate keys"
    return ""
