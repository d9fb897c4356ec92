"""A request whose body was not handed over, read from the headers that the server is obliged to compare with it.

MCP 2026-07-28 has clients mirror the method and the name in headers, and servers refuse a request whose body says
otherwise (Streamable HTTP, Server Validation). Behind a server that does, these headers are the operation, or nothing
is carried out: docs/explanation/header-only.md has the argument step by step. Everything that the argument does not
cover needs the body, and is refused without it.
"""

from collections.abc import Iterable, Mapping
from re import compile as compile_pattern
from typing import Final

from extauthz.pdp.mcp.body import PARTIAL_BODY_HEADER, form_fault
from extauthz.pdp.mcp.headers import (
    METHOD_HEADER,
    NAME_HEADER,
    VERSION_HEADER,
    WHITESPACE,
    decode_value,
    joined_names,
    mirror_fault,
    mirrors,
    spelling_fault,
)
from extauthz.pdp.mcp.message import JsonObject, Message
from extauthz.pdp.mcp.methods import METHODS, Method
from extauthz.pdp.mcp.session import read_session
from extauthz.pdp.mcp.targets import target_fault
from extauthz.pdp.mcp.witness import witness_fault
from extauthz.pdp.operation import Era, MessageKind, Operation, Target, Unreadable
from extauthz.pdp.policy import Rule
from extauthz.pdp.reason import Reason
from extauthz.pdp.request import HttpRequest

VERIFYING_REVISIONS: Final = frozenset(("2026-07-28",))
"""Revisions that oblige servers to compare headers and body. A later one may oblige to something else."""


def _settled_by_headers(method: Method) -> bool:
    in_schema = method.revisions - method.extended
    return (
        method.kind is MessageKind.REQUEST
        and in_schema >= VERIFYING_REVISIONS
        and (method.mirrored or not method.target_field)
    )


SETTLED_METHODS: Final = frozenset(name for name, method in METHODS.items() if _settled_by_headers(method))
"""Requests of these revisions that name nothing, or name one thing that is mirrored in `Mcp-Name`.

Not among them: `subscriptions/listen` and `completion/complete`, which name things in the body only; methods of
extensions (tasks), whose mirroring the revision itself does not oblige servers to check; notifications, for which it
leaves the headers undefined.
"""


def settled_methods(rules: Iterable[Rule]) -> frozenset[str]:
    """The methods that headers settle under these rules: those of which no rule reads arguments."""
    readers = [rule.methods for rule in rules if rule.when is not None and rule.when.reads_arguments]
    return frozenset(name for name in SETTLED_METHODS if not any(methods.matches(name) for methods in readers))


# A length as HTTP has it, of a body that there is.
_LENGTH: Final = compile_pattern(r"[1-9][0-9]{0,14}")
# In a plain value: what joins repeated headers, and what the proxy writes for a byte outside ASCII.
_UNCERTAIN: Final = compile_pattern("[,!]")
_NO_TARGETS: Final[tuple[Target, ...]] = ()


def is_without_body(request: HttpRequest) -> bool:
    """Whether the proxy handed over nothing of the body and does not say that it cut it."""
    return not request.body and request.body_size == 0 and PARTIAL_BODY_HEADER not in request.headers


def read_headers(request: HttpRequest, methods: frozenset[str]) -> Operation | Unreadable:
    """The operation that a POST without its body can only be, or why the body is needed.

    `methods` are those that the resource lets be settled by headers, a subset of `SETTLED_METHODS`.
    """
    headers = request.headers
    fault = form_fault(headers)
    if fault is not None:
        return fault
    if "transfer-encoding" not in headers and not _LENGTH.fullmatch(headers.get("content-length", "1")):
        return _needs_body("content-length says that there is none")
    names = joined_names(headers)
    if detail := spelling_fault(headers, names):
        return _mismatch(detail)
    version = headers.get(VERSION_HEADER, "").strip(WHITESPACE)
    if version not in VERIFYING_REVISIONS:
        return _needs_body("MCP-Protocol-Version is no revision that obliges servers to compare headers with it")
    if read_session(request) != "":
        return _needs_body("a request with a session id can be one of an initialize-based revision")
    method = headers.get(METHOD_HEADER, "").strip(WHITESPACE)
    row = METHODS.get(method)
    if row is None or method not in SETTLED_METHODS or method not in methods:
        return _needs_body("Mcp-Method is none that headers settle here")
    targets = _read_name(headers.get(NAME_HEADER), row)
    if isinstance(targets, Unreadable):
        return targets
    if detail := mirror_fault(mirrors(headers, names)):
        return _mismatch(detail, method)
    if request.mcp_metadata is not None and (detail := _witness_fault(request.mcp_metadata, row, targets)):
        return _mismatch(detail, method)
    return Operation(
        kind=row.kind,
        method=method,
        era=Era.MODERN,
        protocol_version=version,
        targets=targets,
        baseline=row.baseline,
        arguments_exact=False,
        header_only=True,
    )


def _read_name(header: str | None, row: Method) -> tuple[Target, ...] | Unreadable:
    if row.target_kind is None:
        return _NO_TARGETS if header is None else _mismatch("Mcp-Name names something, the method does not", row.name)
    if header is None:
        return _mismatch("Mcp-Name is absent: this revision requires it for this method", row.name)
    if _UNCERTAIN.search(header):
        return _needs_body("Mcp-Name has a comma or an exclamation mark, which can stand for something else", row.name)
    name = decode_value(header)
    if name is None:
        return _mismatch("Mcp-Name is malformed: encode it as MCP says", row.name)
    fault = target_fault(name, row.target_kind)
    if fault:
        return Unreadable(reason=Reason.MESSAGE_INVALID, detail=f"Mcp-Name: {fault}", method=row.name)
    return (Target(row.target_kind, name),)


def _witness_fault(metadata: Mapping[str, object], row: Method, targets: tuple[Target, ...]) -> str:
    params: JsonObject = {row.target_field: targets[0].name} if targets else {}
    return witness_fault(metadata, Message(row.kind, row.name, None, params, row))


def _needs_body(why: str, method: str = "") -> Unreadable:
    detail = f"no body arrived, and it is needed: {why}. Let the proxy hand bodies over (with_request_body)"
    return Unreadable(reason=Reason.BODY_MISSING, detail=detail, method=method)


def _mismatch(detail: str, method: str = "") -> Unreadable:
    return Unreadable(reason=Reason.HEADER_MISMATCH, detail=detail, method=method)
