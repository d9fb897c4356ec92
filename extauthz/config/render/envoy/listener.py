"""The listener: what is believed of a request, and the filters that it passes."""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import (
    HeaderMutation,
    HeaderMutationRemoveOnMatch,
    HeaderMutationRules,
)
from envoy_data_plane.envoy.config.core.v3 import (
    BackoffStrategy,
    GrpcService,
    GrpcServiceEnvoyGrpc,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    HttpProtocolOptionsHeadersWithUnderscoresAction,
    RetryPolicy,
    RetryPolicyRetryHostPredicate,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.extensions.filters.http.cors.v3 import Cors
from envoy_data_plane.envoy.extensions.filters.http.ext_authz.v3 import BufferSettings, ExtAuthz
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerPathWithEscapedSlashesAction,
    HttpFilter,
)
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation.v3 import (
    HeaderMutation as EarlyHeaderMutation,
)
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts.v3 import PreviousHostsPredicate
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher
from envoy_data_plane.envoy.type.v3 import HttpStatus, StatusCode
from envoy_data_plane.google.protobuf import Any as AnyMessage

from extauthz.config.render.envoy.clusters import AUTHZ_CLUSTER, address
from extauthz.config.render.envoy.edge import Edge
from extauthz.config.render.envoy.local_replies import local_replies
from extauthz.config.render.envoy.observing import access_log, tracing
from extauthz.config.render.envoy.routes import CORS_FILTER, EXT_AUTHZ_FILTER, route_configuration
from extauthz.config.render.envoy.sites import Layout
from extauthz.config.render.envoy.tls import server_tls
from extauthz.config.render.untrusted_headers import UNTRUSTED_HEADERS, UNTRUSTED_PREFIXES

CHECK_TIMEOUT_S: Final = 1
"""For asking the service, retries included (Envoy's default is 0.2 s)."""
HOST_PICKS: Final = 20
"""How often a retry picks anew while it picks an endpoint that has just failed. Of two endpoints, every second pick is
that one: with 3 new picks, both retries of one check in 512 went to a dead endpoint (9 of 4,000 were 503)."""
HEADERS_WITHIN_S: Final = 10
REQUEST_WITHIN_S: Final = 30
"""The whole request, body included; answers may stream on."""
IDLE_S: Final = 3_600
"""A quiet event stream, and a connection without requests, live this long."""
BUFFER_BYTES: Final = 65_536
"""What one connection may hold in each direction before Envoy reads no more from it. A body that is judged gets
the room that it needs from ext_authz."""
DEFAULT_IDENTITY_PREFIX: Final = "x-auth-"


def listener(layout: Layout, edge: Edge) -> Listener:
    """The one listener."""
    manager = Filter(
        name="envoy.filters.network.http_connection_manager",
        typed_config=AnyMessage.pack(_connection_manager(layout, edge)),
    )
    return Listener(
        name="edge",
        address=address(edge.listen),
        per_connection_buffer_limit_bytes=BUFFER_BYTES,
        filter_chains=[
            FilterChain(
                filters=[manager],
                transport_socket=None if edge.certificate is None else server_tls(edge.certificate),
            )
        ],
    )


def _connection_manager(layout: Layout, edge: Edge) -> HttpConnectionManager:
    prefixes = _identity_prefixes(layout)
    return HttpConnectionManager(
        stat_prefix="edge",
        use_remote_address=True,
        xff_num_trusted_hops=edge.trusted_hops,
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action=HttpConnectionManagerPathWithEscapedSlashesAction.REJECT_REQUEST,
        common_http_protocol_options=HttpProtocolOptions(
            headers_with_underscores_action=HttpProtocolOptionsHeadersWithUnderscoresAction.REJECT_REQUEST,
            idle_timeout=timedelta(seconds=IDLE_S),
        ),
        http2_protocol_options=Http2ProtocolOptions(
            max_concurrent_streams=100, initial_stream_window_size=65_536, initial_connection_window_size=1_048_576
        ),
        request_headers_timeout=timedelta(seconds=HEADERS_WITHIN_S),
        request_timeout=timedelta(seconds=REQUEST_WITHIN_S),
        stream_idle_timeout=timedelta(seconds=IDLE_S),
        early_header_mutation_extensions=[_early_removal(prefixes)],
        access_log=[access_log()],
        local_reply_config=local_replies(edge),
        tracing=None if edge.tracing is None else tracing(),
        http_filters=[
            HttpFilter(name=CORS_FILTER, typed_config=AnyMessage.pack(Cors())),
            HttpFilter(name=EXT_AUTHZ_FILTER, typed_config=AnyMessage.pack(_ext_authz(prefixes, edge))),
            HttpFilter(name="envoy.filters.http.router", typed_config=AnyMessage.pack(Router())),
        ],
        route_config=route_configuration(layout, edge),
    )


def _identity_prefixes(layout: Layout) -> tuple[str, ...]:
    return tuple(sorted({site.resource.upstream_headers.prefix for site in layout.sites}))


def _early_removal(identity_prefixes: Iterable[str]) -> TypedExtensionConfig:
    """Before any filter, and for every client: nobody but the service says who a caller is."""
    prefixes = dict.fromkeys((DEFAULT_IDENTITY_PREFIX, *identity_prefixes, *UNTRUSTED_PREFIXES))
    by_prefix = [
        HeaderMutation(remove_on_match=HeaderMutationRemoveOnMatch(key_matcher=StringMatcher(prefix=prefix)))
        for prefix in prefixes
    ]
    by_name = [HeaderMutation(remove=name) for name in UNTRUSTED_HEADERS]
    return TypedExtensionConfig(
        name="envoy.http.early_header_mutation.header_mutation",
        typed_config=AnyMessage.pack(EarlyHeaderMutation(mutations=[*by_prefix, *by_name])),
    )


def _ext_authz(identity_prefixes: Iterable[str], edge: Edge) -> ExtAuthz:
    # `.*`, not a narrower class: a name that the rule lacks is a 500 for the caller, and all of them are the service's.
    ours = "|".join(f"{re.escape(prefix)}.*" for prefix in identity_prefixes)
    return ExtAuthz(
        grpc_service=_authz_service(),
        failure_mode_allow=False,
        status_on_error=HttpStatus(code=StatusCode.ServiceUnavailable),
        validate_mutations=True,
        decoder_header_mutation_rules=HeaderMutationRules(
            disallow_all=True,
            allow_expression=RegexMatcher(regex=f"^(?:authorization|{ours})$"),
            disallow_is_error=True,
        ),
        with_request_body=BufferSettings(max_request_bytes=edge.max_body_bytes, pack_as_bytes=True),
        encode_raw_headers=True,
        include_tls_session=True,
        charge_cluster_response_stats=False,
        stat_prefix="mcp",
    )


def _authz_service() -> GrpcService:
    return GrpcService(
        envoy_grpc=GrpcServiceEnvoyGrpc(cluster_name=AUTHZ_CLUSTER),
        timeout=timedelta(seconds=CHECK_TIMEOUT_S),
        retry_policy=RetryPolicy(
            retry_on="unavailable,connect-failure,refused-stream,reset,reset-before-request",
            num_retries=2,
            # Envoy takes `max_interval` for the timeout of one attempt as well: a shorter one would give up on, and ask
            # again, every check that waits its turn, which is what a busy service can bear least.
            retry_back_off=BackoffStrategy(
                base_interval=timedelta(milliseconds=10), max_interval=timedelta(seconds=CHECK_TIMEOUT_S)
            ),
            retry_host_predicate=[
                RetryPolicyRetryHostPredicate(
                    name="envoy.retry_host_predicates.previous_hosts",
                    typed_config=AnyMessage.pack(PreviousHostsPredicate()),
                )
            ],
            host_selection_retry_max_attempts=HOST_PICKS,
        ),
    )
