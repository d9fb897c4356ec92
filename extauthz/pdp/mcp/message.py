"""The shape of one JSON-RPC message: exactly a request, a notification or a response, read by exact names.

Stricter than JSON-RPC 2.0 where servers are known to differ: no batches, no `id` that is null, fractional or boolean,
no `params` that is null or an array, no members besides the specified ones (one server runs `method` beside `result`,
others answer 400).
"""

from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

from extauthz.pdp.mcp.methods import METHODS, Method
from extauthz.pdp.mcp.names import (
    ARGUMENT_MEMBERS,
    CONTEXT_MEMBERS,
    FILTER_MEMBERS,
    MESSAGE_MEMBERS,
    META_MEMBERS,
    METHOD_NAMES,
    OTHER_PARAMS_MEMBERS,
    PARAMS_MEMBERS,
    REFERENCE_MEMBERS,
    TASK_MEMBERS,
    ReservedNames,
    fold,
)
from extauthz.pdp.operation import RESPONSE_METHOD, MessageKind, RequestId, Unreadable
from extauthz.pdp.reason import Reason
from extauthz.pdp.strict_json import JsonValue

JsonObject: TypeAlias = dict[str, JsonValue]

# Characters. The longest method of MCP has 32; extensions prefix theirs with a reversed domain name.
MAX_METHOD_LENGTH: Final = 256
# Characters of a string id: clients use counters and UUIDs. It is echoed in answers and written to spans.
MAX_ID_LENGTH: Final = 256

_NO_PARAMS: Final[JsonObject] = {}
_META: Final = "_meta"


class Message(NamedTuple):
    """One message of a known shape. `row` is None for a method that no revision has, and for a response."""

    kind: MessageKind
    method: str
    request_id: RequestId
    params: JsonObject
    row: Method | None

    @property
    def meta(self) -> JsonObject:
        """`params._meta`, empty when absent."""
        meta = self.params.get(_META)
        return meta if isinstance(meta, dict) else _NO_PARAMS


def read_message(value: JsonValue) -> Message | Unreadable:
    """Read the shape of a message, and refuse names that a server could take for those of MCP."""
    if isinstance(value, list):
        return Unreadable(reason=Reason.BATCH_REFUSED, detail="the body is a batch: send one message per request")
    if not isinstance(value, dict):
        return _invalid("the body is not an object: send one JSON-RPC message")
    request_id = value.get("id")
    if "id" in value and not _is_request_id(request_id):
        return _invalid(f"id is neither an integer nor a string of up to {MAX_ID_LENGTH} characters: send one")
    known_id = request_id if isinstance(request_id, str | int) else None
    method = value.get("method")
    told = method if isinstance(method, str) and len(method) <= MAX_METHOD_LENGTH else ""
    if not value.keys() <= MESSAGE_MEMBERS.exact:
        if ambiguity := MESSAGE_MEMBERS.ambiguity(value):
            return Unreadable(reason=Reason.KEY_AMBIGUOUS, detail=ambiguity, request_id=known_id, method=told)
        return _invalid("the message has members that JSON-RPC does not define: send none", known_id, told)
    if value.get("jsonrpc") != "2.0":
        return _invalid('jsonrpc is not "2.0": send it as a string', known_id, told)
    if "method" not in value:
        return _read_response(value, known_id)
    if not isinstance(method, str) or not 0 < len(method) <= MAX_METHOD_LENGTH:
        return _invalid(f"method is no string of 1 to {MAX_METHOD_LENGTH} characters: send one", known_id)
    if "result" in value or "error" in value:
        return _invalid("the message is a request and a response in one: send one of them", known_id, method)
    params = value.get("params", _NO_PARAMS)
    if not isinstance(params, dict):
        return _invalid("params is not an object: send an object, or leave it out", known_id, method)
    row = METHODS.get(method)
    if row is None and fold(method) in METHOD_NAMES.folded:
        # No server is known to take it for the method that it looks like. Should one, a rule for that method would not
        # have been asked, where another allows every method.
        detail = "the method can be taken for one of MCP of another spelling: send the exact name"
        return Unreadable(reason=Reason.METHOD_UNKNOWN, detail=detail, request_id=known_id, method=method)
    kind = MessageKind.REQUEST if "id" in value else MessageKind.NOTIFICATION
    if row is not None and row.kind is not kind:
        return _invalid(f"{method} is sent as a {kind}: it is a {row.kind}", known_id, method)
    if params and (fault := _params_fault(params, method, row)) is not None:
        reason, detail = fault
        return Unreadable(reason=reason, detail=detail, request_id=known_id, method=method)
    return Message(kind, method, known_id, params, row)


def _is_request_id(value: JsonValue) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_ID_LENGTH
    return isinstance(value, int) and not isinstance(value, bool)


def _read_response(value: JsonObject, request_id: RequestId) -> Message | Unreadable:
    members = value.keys() - {"jsonrpc"}
    if members == {"id", "result"} and isinstance(value["result"], dict):
        return Message(MessageKind.RESPONSE, RESPONSE_METHOD, request_id, _NO_PARAMS, None)
    if members == {"id", "error"}:
        error = value["error"]
        if isinstance(error, dict) and type(error.get("code")) is int and isinstance(error.get("message"), str):
            return Message(MessageKind.RESPONSE, RESPONSE_METHOD, request_id, _NO_PARAMS, None)
    return _invalid("the message is neither request, notification nor response: send one of them", request_id)


def _params_fault(params: JsonObject, method: str, row: Method | None) -> tuple[Reason, str] | None:
    """What is wrong in the places of `params` where servers read names."""
    reserved = PARAMS_MEMBERS[method] if row is not None else OTHER_PARAMS_MEMBERS
    if not params.keys() <= reserved.exact and (ambiguity := reserved.ambiguity(params)):
        return Reason.KEY_AMBIGUOUS, ambiguity
    if _META in params and (fault := _member_fault(params, _META, META_MEMBERS)) is not None:
        return fault
    if row is None:
        return None
    for name, members in _OBJECTS.get(method, ()):
        if name in params and (fault := _member_fault(params, name, members)) is not None:
            return fault
    if method == "prompts/get" and not all(isinstance(each, str) for each in _values(params.get("arguments"))):
        # Every revision's schema says so; servers differ about what they make of others (Go: null is "").
        return Reason.MESSAGE_INVALID, "params.arguments has a value that is not a string: prompts take strings only"
    return None


def _values(member: JsonValue) -> Iterable[JsonValue]:
    return member.values() if isinstance(member, dict) else ()


def _member_fault(params: JsonObject, name: str, reserved: ReservedNames | None) -> tuple[Reason, str] | None:
    member = params[name]
    if not isinstance(member, dict):
        return Reason.MESSAGE_INVALID, f"params.{name} is not an object: send an object, or leave it out"
    if reserved is not None and (ambiguity := reserved.ambiguity(member)):
        return Reason.KEY_AMBIGUOUS, f"in params.{name}, {ambiguity}"
    return None


# The members of `params` that must be objects where given, and the names that servers read in them. The members of
# `arguments` belong to the tool or prompt.
_OBJECTS: Final[dict[str, tuple[tuple[str, ReservedNames | None], ...]]] = {
    "tools/call": (("arguments", None), ("task", TASK_MEMBERS)),
    "prompts/get": (("arguments", None),),
    "completion/complete": (("ref", REFERENCE_MEMBERS), ("argument", ARGUMENT_MEMBERS), ("context", CONTEXT_MEMBERS)),
    "subscriptions/listen": (("notifications", FILTER_MEMBERS),),
}


def _invalid(detail: str, request_id: RequestId = None, method: str = "") -> Unreadable:
    return Unreadable(reason=Reason.MESSAGE_INVALID, detail=detail, request_id=request_id, method=method)
