"""What an Envoy tells its operators: one JSON line per request, and spans.

Neither holds a query: that is where a client may wrongly have put its token.
"""

from typing import Final

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog
from envoy_data_plane.envoy.config.core.v3 import GrpcService, GrpcServiceEnvoyGrpc, SubstitutionFormatString
from envoy_data_plane.envoy.config.trace.v3 import OpenTelemetryConfig, TracingHttp
from envoy_data_plane.envoy.extensions.access_loggers.stream.v3 import StdoutAccessLog
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpConnectionManagerTracing
from envoy_data_plane.envoy.type.tracing.v3 import CustomTag
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Any as AnyMessage
from envoy_data_plane.google.protobuf import Struct

from extauthz.config.render.envoy.clusters import TRACING_CLUSTER

TRACED_SERVICE: Final = "envoy"
"""OpenTelemetry `service.name` of Envoy's own spans."""

_DECISION: Final = "DYNAMIC_METADATA(envoy.filters.http.ext_authz:{})"
# As the client sent them, before the router wrote the upstream's into the request; the client's own copies of both
# headers were removed early. Lengths bound what a client can make us write.
_AUTHORITY: Final = "%REQ(X-FORWARDED-HOST?:AUTHORITY):255%"
_PATH: Final = "%PATH(NQ:ORIG_OR_PATH):1024%"
_FIELDS: Final = {
    "time": "%START_TIME%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "http_method": "%REQ(:METHOD):32%",
    "authority": _AUTHORITY,
    "path": _PATH,
    "protocol": "%PROTOCOL%",
    "route": "%ROUTE_NAME%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "decision_id": f"%{_DECISION.format('decision_id')}%",
    "reason": f"%{_DECISION.format('reason')}%",
    "resource": f"%{_DECISION.format('resource')}%",
    "method": f"%{_DECISION.format('method')}%",
    "target": f"%{_DECISION.format('target')}%",
    "check_ms": f"%{_DECISION.format('ext_authz_duration')}%",
    "upstream": "%UPSTREAM_HOST%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration_ms": "%DURATION%",
    "connection_id": "%CONNECTION_ID%",
    "request_id": "%REQ(X-REQUEST-ID):64%",
    "trace_id": "%TRACE_ID%",
    "user_agent": "%REQ(USER-AGENT):128%",
}


def access_log() -> AccessLog:
    """One JSON line per request on standard output (Envoy's own messages go to standard error)."""
    form = SubstitutionFormatString(json_format=Struct.from_dict(_FIELDS), omit_empty_values=True)
    return AccessLog(name="envoy.access_loggers.stdout", typed_config=AnyMessage.pack(StdoutAccessLog(log_format=form)))


def tracing() -> HttpConnectionManagerTracing:
    """Every request is a span; whether it is kept is what the client's `traceparent` or the collector says."""
    provider = OpenTelemetryConfig(
        grpc_service=GrpcService(envoy_grpc=GrpcServiceEnvoyGrpc(cluster_name=TRACING_CLUSTER)),
        service_name=TRACED_SERVICE,
    )
    return HttpConnectionManagerTracing(
        provider=TracingHttp(name="envoy.tracers.opentelemetry", typed_config=AnyMessage.pack(provider)),
        random_sampling=Percent(value=100),
        custom_tags=[
            # Takes the place of Envoy's own, which has the query in it.
            CustomTag(tag="http.url", value=f"%REQ(:SCHEME)%://{_AUTHORITY}{_PATH}"),
            CustomTag(tag="extauthz.decision.id", value=f"%{_DECISION.format('decision_id')}%"),
            CustomTag(tag="extauthz.decision.reason", value=f"%{_DECISION.format('reason')}%"),
        ],
    )
