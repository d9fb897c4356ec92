"""One HTTP request to one operation, or to the reason why it is not exactly one.

Whatever is let through here, every server that carries something out carries out exactly that. Steps of a POST:

1. the body is whole, and JSON in UTF-8 without encoding (`body`);
2. it is JSON that all readers take alike (`strict_json`);
3. it is one message, without names that a server could take for others (`message`, `names`);
4. its headers are single, and put it in one era (`headers`) and in one session or none (`session`);
5. what it names can be named in a policy (`targets`, `uris`);
6. headers, and the proxy's own reading where there is one, agree with it (`headers`, `witness`).
"""

from typing import Final, assert_never

from extauthz.pdp.mcp.arguments import read_arguments
from extauthz.pdp.mcp.body import body_fault, unexpected_body_fault
from extauthz.pdp.mcp.header_only import is_without_body, read_headers
from extauthz.pdp.mcp.headers import (
    METHOD_HEADER,
    NAME_HEADER,
    agreement_fault,
    joined_names,
    read_era,
    read_version,
    spelling_fault,
)
from extauthz.pdp.mcp.message import Message, read_message
from extauthz.pdp.mcp.session import is_resumable, read_session
from extauthz.pdp.mcp.targets import read_targets
from extauthz.pdp.mcp.witness import witness_fault
from extauthz.pdp.operation import (
    END_METHOD,
    STREAM_METHOD,
    Era,
    MessageKind,
    Operation,
    Target,
    Unreadable,
)
from extauthz.pdp.reason import Reason
from extauthz.pdp.request import BodyForm, HttpRequest
from extauthz.pdp.strict_json import JsonFault, JsonFaultKind, read_json

# What the proxy writes for a byte that is not UTF-8 when it hands a body over as text.
_REPLACEMENT: Final = "!"
NO_METHODS: Final[frozenset[str]] = frozenset()


def read_operation(
    request: HttpRequest,
    header_only: frozenset[str] = NO_METHODS,
    *,
    own_path: str | None = None,
    strips_last_event: bool = False,
) -> Operation | Unreadable:
    """Read what a request asks the server to do. Never raises; reads nothing but its arguments.

    `header_only` are the methods that are read from headers where the proxy hands no body over (`header_only`).
    `own_path` is where the server's streams and sessions are (None: anywhere): a GET or DELETE elsewhere asks for
    something that MCP does not know, so that the baseline does not cover it. With `strips_last_event` a `Last-Event-ID`
    that cannot be used is no reason to refuse, as it does not reach the server.
    The session id is always kept, though servers of the modern era ignore it: whoever binds sessions to principals
    must not depend on which era a server takes the request to be of.
    """
    if "upgrade" in request.headers:
        return Unreadable(reason=Reason.HTTP_METHOD_REFUSED, detail="the request asks for an upgrade: MCP has none")
    match request.method:
        case "POST":
            if header_only and is_without_body(request):
                return read_headers(request, header_only)
            return _read_post(request)
        case "GET":
            read = _read_bodyless(request, MessageKind.STREAM, STREAM_METHOD, own_path)
            if isinstance(read, Unreadable) or strips_last_event or is_resumable(request.headers, read.session_id):
                return read
            return Unreadable(reason=Reason.MESSAGE_INVALID, detail=_EVENT_DETAIL, method=STREAM_METHOD)
        case "DELETE":
            return _read_bodyless(request, MessageKind.END, END_METHOD, own_path)
        case _:
            return Unreadable(reason=Reason.HTTP_METHOD_REFUSED, detail="use POST, GET or DELETE")


def _read_post(request: HttpRequest) -> Operation | Unreadable:
    fault = body_fault(request)
    if fault is not None:
        return fault
    value = read_json(request.body)
    if isinstance(value, JsonFault):
        return Unreadable(reason=_reason_of(value.kind), detail=value.detail)
    message = read_message(value)
    if isinstance(message, Unreadable):
        return message
    headers = request.headers
    names = joined_names(headers)
    if detail := spelling_fault(headers, names):
        return _refuse(message, Reason.HEADER_MISMATCH, detail)
    version = read_version(headers)
    if version is None:
        return _refuse(message, Reason.HEADER_MISMATCH, _VERSION_DETAIL)
    era = read_era(version, message)
    if not isinstance(era, Era):
        return _refuse(message, Reason.HEADER_MISMATCH, era)
    session_id = read_session(request)
    if session_id is None:
        return _refuse(message, Reason.MESSAGE_INVALID, _SESSION_DETAIL)
    if message.kind is MessageKind.RESPONSE and era is Era.MODERN:
        return _refuse(message, Reason.MESSAGE_INVALID, "this revision has no responses from clients: retry the call")
    targets = read_targets(message, era)
    if isinstance(targets, str):
        return _refuse(message, Reason.MESSAGE_INVALID, targets)
    if detail := agreement_fault(headers, names, message, era, targets):
        return _refuse(message, Reason.HEADER_MISMATCH, detail)
    if request.mcp_metadata is not None and (detail := witness_fault(request.mcp_metadata, message)):
        return _refuse(message, Reason.HEADER_MISMATCH, detail)
    replaced = request.body_form is BodyForm.TEXT and b"!" in request.body
    if replaced and _names_replaced(message, targets):
        return _refuse(message, Reason.BODY_ENCODING, _TEXT_DETAIL)
    return _operation(message, era, version, targets, session_id, replaced=replaced)


def _operation(
    message: Message, era: Era, version: str, targets: tuple[Target, ...], session_id: str, *, replaced: bool
) -> Operation:
    row = message.row
    arguments, exact = read_arguments(message)
    return Operation(
        kind=message.kind,
        method=message.method,
        era=era,
        protocol_version=version,
        targets=targets,
        known=row is not None or message.kind is MessageKind.RESPONSE,
        baseline=_is_baseline(message, targets),
        arguments=arguments,
        arguments_exact=exact and (not replaced or _REPLACEMENT not in repr(arguments)),
        request_id=message.request_id,
        session_id=session_id,
    )


def _is_baseline(message: Message, targets: tuple[Target, ...]) -> bool:
    """Whether the resource's baseline is enough. `subscriptions/listen` is, as long as it names nothing."""
    if message.row is None:
        return message.kind is MessageKind.RESPONSE
    return message.row.baseline and (not targets or message.kind is MessageKind.NOTIFICATION)


def _read_bodyless(
    request: HttpRequest, kind: MessageKind, method: str, own_path: str | None
) -> Operation | Unreadable:
    """GET and DELETE: who asks is all there is to judge. A server of the modern era answers 405."""
    headers = request.headers
    fault = unexpected_body_fault(request)
    if fault is not None:
        return fault
    detail = spelling_fault(headers, joined_names(headers))
    if METHOD_HEADER in headers or NAME_HEADER in headers:
        detail = "Mcp-Method or Mcp-Name on a request without a message: leave them out"
    if not detail and request.mcp_metadata is not None:
        detail = witness_fault(request.mcp_metadata, None)
    if detail:
        return Unreadable(reason=Reason.HEADER_MISMATCH, detail=detail, method=method)
    version = read_version(headers)
    if version is None:
        return Unreadable(reason=Reason.HEADER_MISMATCH, detail=_VERSION_DETAIL, method=method)
    era = read_era(version, None)
    if not isinstance(era, Era):
        return Unreadable(reason=Reason.HEADER_MISMATCH, detail=era, method=method)
    session_id = read_session(request)
    if session_id is None:
        return Unreadable(reason=Reason.MESSAGE_INVALID, detail=_SESSION_DETAIL, method=method)
    return Operation(
        kind=kind,
        method=method,
        era=era,
        protocol_version=version,
        baseline=own_path is None or request.path.partition("?")[0].removesuffix("/") == own_path,
        session_id=session_id,
    )


_VERSION_DETAIL: Final = "MCP-Protocol-Version is not one version: send it once, as in the revision"
_SESSION_DETAIL: Final = (
    "Mcp-Session-Id or the query is not one session id: send it once, in one of the two, as the server gave it"
)
_EVENT_DETAIL: Final = (
    "Last-Event-ID is repeated, empty or without a session: send it once, with the Mcp-Session-Id of its stream"
)
_TEXT_DETAIL: Final = (
    "the proxy hands bodies over as text, where `!` can stand for another byte, and a name has one: set pack_as_bytes"
)


def _names_replaced(message: Message, targets: tuple[Target, ...]) -> bool:
    return _REPLACEMENT in message.method or any(_REPLACEMENT in target.name for target in targets)


def _refuse(message: Message, reason: Reason, detail: str) -> Unreadable:
    return Unreadable(reason=reason, detail=detail, request_id=message.request_id, method=message.method)


def _reason_of(kind: JsonFaultKind) -> Reason:
    match kind:
        case JsonFaultKind.DUPLICATE_MEMBER | JsonFaultKind.PROTOTYPE_MEMBER:
            return Reason.KEY_AMBIGUOUS
        case JsonFaultKind.NOT_UTF8 | JsonFaultKind.BOM | JsonFaultKind.NOT_JSON | JsonFaultKind.LONE_SURROGATE:
            return Reason.BODY_NOT_JSON
        case JsonFaultKind.TOO_DEEP | JsonFaultKind.TOO_MANY_VALUES | JsonFaultKind.NUMBER_RANGE:
            return Reason.MESSAGE_INVALID
        case _:
            assert_never(kind)
