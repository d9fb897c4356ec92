"""What is fuzzed: functions of bytes that fail when something is wrong with what the service makes of them.

`message` takes a request in a form of its own: lines of `name: value` (a line without a colon is the HTTP method), an
empty line, the body. `check_request` takes the bytes of Envoy's `CheckRequest`; the token `GOOD` stands for a valid
one, since no fuzzer finds a signature.
"""

import json
from collections.abc import Callable

from google.protobuf.message import DecodeError

from extauthz.pdp.decision.decision import Permit
from extauthz.pdp.mcp.read import read_operation
from extauthz.pdp.operation import MessageKind, Operation, Unreadable
from extauthz.pdp.request import BodyForm, HttpRequest
from extauthz.pdp.strict_json import JsonFault, read_exactly, read_json
from extauthz.service.check.checked import Checked
from extauthz.wire import check_pb2 as wire
from tests.support.policies import policy
from tests.support.world import World, key_set, mint, weather

# Header and body of one message together, in bytes: enough for anything that MCP has.
MAX_INPUT_BYTES = 4096
_KEYS = key_set()
_POLICY = policy(weather(baseline=frozenset({"weather:read"}), responses=True))
_TOKEN = f"Bearer {mint()}"
_STAND_IN = "Bearer GOOD"
# Where servers read the name from, for the methods that every revision has.
_NAMES = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


def message(data: bytes) -> None:
    """Reading never raises, and what is let through is what an ordinary JSON reader finds."""
    head, _, body = data.partition(b"\n\n")
    method, headers, form = "POST", {}, BodyForm.RAW
    for line in head.decode("latin-1").split("\n"):
        name, colon, value = line.partition(": ")
        if not colon:
            method = name or method
        elif name == "text":
            form = BodyForm.TEXT
        else:
            headers[name.lower()] = value
    request = HttpRequest(
        method=method,
        scheme="https",
        authority="h",
        path="/mcp",
        headers=headers,
        body=body,
        body_form=form,
        body_size=len(body),
    )
    outcome = read_operation(request)
    assert isinstance(outcome, Operation | Unreadable)
    assert read_operation(request) == outcome
    value = read_json(body)
    assert isinstance(value, JsonFault) or read_exactly(body, None) == value
    if not isinstance(outcome, Operation) or outcome.kind in (MessageKind.STREAM, MessageKind.END):
        return
    read = json.loads(body)
    if outcome.kind is MessageKind.RESPONSE:
        assert "method" not in read
        return
    assert read["method"] == outcome.method
    if outcome.method in _NAMES:
        assert [target.name for target in outcome.targets] == [read["params"][_NAMES[outcome.method]]]


def checked(data: bytes) -> Checked:
    """The whole check of these bytes."""
    try:
        request = wire.CheckRequest.FromString(data)
    except DecodeError:
        pass
    else:
        headers = request.attributes.request.http.headers
        if headers.get("authorization") == _STAND_IN:
            headers["authorization"] = _TOKEN
            data = request.SerializeToString()
    return World(policy=_POLICY, keys=_KEYS).check(data)


def check_request(data: bytes) -> None:
    """A check never raises, and nothing is let through without a decision that permits a known caller's operation."""
    found = checked(data)
    answer = wire.CheckResponse.FromString(found.response)
    if answer.status.code == 0 or answer.WhichOneof("http_response") == "ok_response":
        assert answer.status.code == 0
        assert answer.WhichOneof("http_response") == "ok_response"
        assert isinstance(found.decision, Permit)
        assert isinstance(found.operation, Operation)
        assert found.principal is not None
        assert found.resource is not None


TARGETS: dict[str, Callable[[bytes], None]] = {"message": message, "check_request": check_request}
