"""What conditions read under `request.`: the forms in which requests are matched, not those in which they came."""

from collections.abc import Mapping

from extauthz.pdp.decision.resource_index import authority_of, path_of
from extauthz.pdp.operation import Operation
from extauthz.pdp.policy import Resource
from extauthz.pdp.request import HttpRequest


def request_values(request: HttpRequest, operation: Operation, resource: Resource | None) -> Mapping[str, str | None]:
    """The values of `REQUEST_FIELDS` but `target`; None where there is no form in which all readers agree.

    `host` has no default port: neither that of the request's scheme nor, since the proxy may stand behind something
    that terminates TLS, that of the resource's. `path` has no query, and is None for a path that matches no resource
    (one that only the proxy's route has brought here).
    """
    host = authority_of(request.authority, request.scheme)
    if resource is not None and len(host) == len(request.authority):
        host = authority_of(host, resource.uri.partition("://")[0])
    return {
        "host": host,
        "path": path_of(request.path),
        "http_method": request.method,
        "method": operation.method,
        "protocol_version": operation.protocol_version,
    }
