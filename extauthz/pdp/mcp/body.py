"""Whether the bytes that the proxy handed over are the whole body, and of the one form that servers read alike.

Order: cut bodies first (nothing else about them can be trusted), then absent ones, then their form.
"""

from collections.abc import Mapping
from re import compile as compile_pattern
from typing import Final

from extauthz.pdp.operation import Unreadable
from extauthz.pdp.reason import Reason
from extauthz.pdp.request import HttpRequest

# Bytes. The official SDKs' servers read 4 MiB and answer 413 beyond, and gRPC's default message limit is the same.
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
# Set by Envoy itself on a body that it cut (`with_request_body`); a client cannot forge it.
PARTIAL_BODY_HEADER: Final = "x-envoy-auth-partial-body"
_PLAIN_CONTENT_TYPE: Final = "application/json"
# RFC 9110 §8.3: type and parameter name without case, the value of charset too, quoted or not.
_CONTENT_TYPE: Final = compile_pattern(r'(?i:application/json(?:[ \t]*;[ \t]*charset=(?:utf-8|"utf-8"))?)')
_DIGITS: Final = compile_pattern(r"[0-9]{1,15}")


def body_fault(request: HttpRequest) -> Unreadable | None:
    """Why the body of a POST cannot be judged, or None."""
    headers = request.headers
    body = request.body
    if headers.get(PARTIAL_BODY_HEADER, "false") != "false":
        return _truncated("the proxy cut the body: raise max_request_bytes, or send less")
    if request.body_size > len(body) or len(body) > MAX_BODY_BYTES:
        return _truncated(f"the body is larger than what is handed over or {MAX_BODY_BYTES} bytes: send less")
    if not body:
        return Unreadable(
            reason=Reason.BODY_MISSING,
            detail="no body arrived: send a message, and let the proxy hand bodies over (with_request_body)",
        )
    declared = headers.get("content-length")
    if declared is not None and declared != str(len(body)):
        return _truncated("the body is not as long as content-length says: let the proxy hand over whole bodies")
    return form_fault(headers)


def form_fault(headers: Mapping[str, str]) -> Unreadable | None:
    """Why a body in the form that these headers declare cannot be judged, or None."""
    content_type = headers.get("content-type", "")
    if content_type != _PLAIN_CONTENT_TYPE and not _CONTENT_TYPE.fullmatch(content_type):
        return _form("content-type is not application/json (charset=utf-8 at most, and once): send that")
    encoding = headers.get("content-encoding")
    if encoding is not None and encoding.lower() != "identity":
        return _form("content-encoding is not identity: send the message unencoded")
    transfer = headers.get("transfer-encoding")
    if transfer is not None and transfer.lower() != "chunked":
        return _form("transfer-encoding is not chunked: send the message unencoded")
    return None


def unexpected_body_fault(request: HttpRequest) -> Unreadable | None:
    """Why a GET or DELETE is refused that comes with a body (MCP gives it none), or None."""
    headers = request.headers
    declared = headers.get("content-length")
    if (
        request.body
        or request.body_size > 0
        or PARTIAL_BODY_HEADER in headers
        or "transfer-encoding" in headers
        or (declared is not None and (not _DIGITS.fullmatch(declared) or int(declared)))
    ):
        return Unreadable(reason=Reason.MESSAGE_INVALID, detail="a GET or DELETE came with a body: send it without")
    return None


def _truncated(detail: str) -> Unreadable:
    return Unreadable(reason=Reason.BODY_TRUNCATED, detail=detail)


def _form(detail: str) -> Unreadable:
    return Unreadable(reason=Reason.BODY_ENCODING, detail=detail)
