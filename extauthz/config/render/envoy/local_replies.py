"""Answers that Envoy makes itself, in the form of the service's own: a JSON-RPC error that names cause and limit.

The service's answers are local replies of Envoy as well, and pass unchanged: its denials are known by what the reply
was made for (`response.code_details`), its 503 by the decision id. `data` holds an id that the access log has, too:
`request_id`, or `connection_id` where Envoy refuses a request before it gives it an id.
"""

import json
from collections.abc import Iterator
from typing import Final

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLogFilter, ExtensionFilter
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    SubstitutionFormatString,
)
from envoy_data_plane.envoy.extensions.access_loggers.filters.cel.v3 import ExpressionFilter
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    LocalReplyConfig,
    ResponseMapper,
)
from envoy_data_plane.google.protobuf import Any as AnyMessage

from extauthz.config.render.envoy.edge import Edge
from extauthz.pdp.answer.verdict import DECISION_HEADER, RETRY_AFTER_S
from extauthz.pdp.reason import ANSWERS, INVALID_REQUEST, METHOD_NOT_FOUND, UNAVAILABLE, Reason

MAX_HEADERS_KIB: Final = 60
"""Envoy's default for all request headers together (`max_request_headers_kb`)."""
REQUEST_ID: Final = "%REQ(X-REQUEST-ID):64%"
CONNECTION_ID: Final = "%CONNECTION_ID%"

# By Envoy's response code details (docs: configuration/http/http_conn_man/response_code_details). Whatever is not here,
# and is no denial of the service, is told by its status alone.
_NOT_OURS: Final = f"response.code_details != 'ext_authz_denied' && !('{DECISION_HEADER}' in response.headers)"
_UNAVAILABLE: Final = {"retry-after": str(RETRY_AFTER_S)}


def local_replies(edge: Edge) -> LocalReplyConfig:
    """The first mapper that fits is taken."""
    return LocalReplyConfig(mappers=list(_mappers(edge)))


def _mappers(edge: Edge) -> Iterator[ResponseMapper]:
    truncated, unknown, method = Reason.BODY_TRUNCATED, Reason.RESOURCE_UNKNOWN, Reason.HTTP_METHOD_REFUSED
    yield _mapper(
        "response.code == 413",
        message=f"the message is larger than {edge.max_body_bytes} bytes, the most that this server reads: send less",
        code=INVALID_REQUEST,
        reason=truncated,
    )
    yield _mapper(
        "response.code == 431",
        message=f"the request headers are larger than {MAX_HEADERS_KIB} KiB: send fewer or shorter ones",
        code=INVALID_REQUEST,
        reason="headers_too_large",
        early=True,
    )
    yield _mapper(
        "response.code == 403 && response.code_details == 'upgrade_failed'",
        message="upgrades are not supported: " + ANSWERS[method].message,
        code=INVALID_REQUEST,
        reason=method,
        status=405,
        headers={"allow": "GET, POST, DELETE"},
    )
    yield _mapper("response.code == 404", message=ANSWERS[unknown].message, code=METHOD_NOT_FOUND, reason=unknown)
    yield _mapper(
        "response.code == 503 && response.code_details.startsWith('ext_authz_error')",
        message="the authorization service cannot be reached at the moment: try again",
        code=UNAVAILABLE,
        reason="authorization_unavailable",
        headers=_UNAVAILABLE,
    )
    yield _mapper(
        "response.code == 502 || response.code == 503 || response.code == 504",
        message="the MCP server cannot be reached at the moment: try again",
        code=UNAVAILABLE,
        reason="upstream_unavailable",
        headers=_UNAVAILABLE,
    )
    yield _mapper(
        "response.code == 408",
        message="the request did not arrive whole in time: send it again",
        code=INVALID_REQUEST,
        reason="request_timeout",
        early=True,
    )
    yield _mapper(
        "response.code >= 400 && response.code < 500 && response.code != 405",
        message="the request is not one that this server takes: send plain HTTP with a normal path and header names",
        code=INVALID_REQUEST,
        reason="request_invalid",
        early=True,
    )
    yield _mapper(
        "response.code >= 500",
        message="the request failed on its way: try again",
        code=UNAVAILABLE,
        reason="proxy_error",
    )


def _mapper(
    condition: str,
    *,
    message: str,
    code: int,
    reason: str,
    status: int | None = None,
    headers: dict[str, str] | None = None,
    early: bool = False,
) -> ResponseMapper:
    ident = {"connection_id": CONNECTION_ID} if early else {"request_id": REQUEST_ID}
    error = {"code": code, "message": message, "data": {"reason": str(reason), **ident}}
    body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}, separators=(",", ":"))
    expression = f"{_NOT_OURS} && ({condition})"
    overwrite = HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
    return ResponseMapper(
        filter=AccessLogFilter(
            extension_filter=ExtensionFilter(
                name="envoy.access_loggers.extension_filters.cel",
                typed_config=AnyMessage.pack(ExpressionFilter(expression=expression)),
            )
        ),
        status_code=status,
        body_format_override=SubstitutionFormatString(
            text_format_source=DataSource(inline_string=body), content_type="application/json"
        ),
        headers_to_add=[
            HeaderValueOption(header=HeaderValue(key=key, value=value), append_action=overwrite)
            for key, value in {"cache-control": "no-store", **(headers or {})}.items()
        ],
    )
