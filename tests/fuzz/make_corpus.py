"""Write the corpus anew: `python -m tests.fuzz.make_corpus`. Small and plain; the fuzzer finds the rest by itself."""

from pathlib import Path

from extauthz.wire import check_pb2 as wire
from tests.support.checks import call_tool, check_request, message

CORPUS = Path(__file__).parent / "corpus"
MODERN = "2026-07-28"
_KEYS = "io.modelcontextprotocol"
META = f'"_meta":{{"{_KEYS}/protocolVersion":"{MODERN}","{_KEYS}/clientCapabilities":{{}}}}'


def request(method: str, params: str, *headers: str) -> bytes:
    """One input of the target `message`."""
    body = f'{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}'
    return "\n".join(["content-type: application/json", *headers, "", body]).encode()


def modern(method: str, params: str, name: str = "") -> bytes:
    """The same in the modern era."""
    headers = [f"mcp-protocol-version: {MODERN}", f"mcp-method: {method}"] + [f"mcp-name: {name}"] * bool(name)
    return request(method, ",".join(filter(None, [params, META])), *headers)


MESSAGES = {
    "initialize": request("initialize", '"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c"}'),
    "tool": request("tools/call", '"name":"get_forecast","arguments":{"city":"Rome","days":[1,2.5,null,true]}'),
    "tool-modern": modern("tools/call", '"name":"get_forecast","arguments":{"city":"Rome"}', "get_forecast"),
    "tool-encoded": modern("tools/call", '"name":"w\\u00e4hle"', "=?base64?d8OkaGxl?="),
    "tool-mirrored": modern("tools/call", '"name":"t","arguments":{"city":"Rome"}', "t\nmcp-param-city: Rome"),
    "prompt": request("prompts/get", '"name":"packing_list","arguments":{"city":"Rome"}'),
    "resource": request("resources/read", '"uri":"https://h.example:8443/a/b?x=1#f"', "mcp-session-id: s-1"),
    "file": modern("resources/read", '"uri":"file:///C:/a.txt"', "file:///C:/a.txt"),
    "completion": request(
        "completion/complete", '"ref":{"type":"ref/resource","uri":"w://{c}"},"argument":{"name":"c"}'
    ),
    "listen": modern("subscriptions/listen", '"notifications":{"resourceSubscriptions":["w://b"],"taskIds":["t"]}'),
    "task": modern("tasks/get", '"taskId":"t-1"', "t-1"),
    "text": b"text: \n" + request("tools/call", '"name":"t","arguments":{"a":"!"}'),
    "response": b'content-type: application/json; charset=utf-8\n\n{"jsonrpc":"2.0","id":"s","result":{}}',
    "notification": b'content-type: application/json\n\n{"jsonrpc":"2.0","method":"notifications/initialized"}',
    "batch": b'content-type: application/json\n\n[{"jsonrpc":"2.0","id":1,"method":"ping"}]',
    "stream": b"GET\nmcp-session-id: s-1\n\n",
    "end": b"DELETE\nmcp-protocol-version: 2025-11-25\n\n",
}
_CHECKS = {
    "allowed": check_request(token="GOOD"),
    "scope": check_request(call_tool("set_alert"), token="GOOD"),
    "list": check_request(message("tools/list"), token="GOOD"),
    "session": check_request(token="GOOD", headers={"mcp-session-id": "s-1", "mcp-protocol-version": "2025-11-25"}),
    "raw-headers": check_request(token="GOOD", raw_headers=True),
    "text": check_request(token="GOOD", text_body=True),
    "route": check_request(token="GOOD", route="weather"),
    "stream": check_request(token="GOOD", method="GET"),
    "end": check_request(token="GOOD", method="DELETE"),
    "nobody": check_request(),
    "unknown": check_request(token="GOOD", path="/other"),
    "preflight": check_request(
        method="OPTIONS", headers={"origin": "http://localhost:6274", "access-control-request-method": "POST"}
    ),
}

CHECKS = {
    name: wire.CheckRequest.FromString(each).SerializeToString(deterministic=True) for name, each in _CHECKS.items()
}

if __name__ == "__main__":
    for folder, inputs in (("message", MESSAGES), ("check_request", CHECKS)):
        (CORPUS / folder).mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            (CORPUS / folder / name).write_bytes(data)
