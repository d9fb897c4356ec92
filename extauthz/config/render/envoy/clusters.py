"""Clusters: the service, the MCP servers, the collector."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, assert_never

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterCommonLbConfig,
    ClusterDiscoveryType,
    ClusterDnsLookupFamily,
    ClusterLbPolicy,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    HealthCheck,
    HealthCheckGrpcHealthCheck,
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    Pipe,
    SocketAddress,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    Endpoint as EndpointMessage,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions as UpstreamHttpProtocolOptions,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptionsExplicitHttpConfig as ExplicitHttpConfig,
)
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Any as AnyMessage

from extauthz.config.render.envoy.edge import Edge, is_ip_address
from extauthz.config.render.envoy.routes import cluster_name
from extauthz.config.render.envoy.sites import Layout, Site
from extauthz.config.render.envoy.tls import client_tls
from extauthz.service.endpoint import Endpoint, TcpEndpoint, UnixEndpoint

AUTHZ_CLUSTER: Final = "authz"
TRACING_CLUSTER: Final = "tracing"

CHECKS_PER_ENDPOINT: Final = 1_024
"""Checks under way: about what one worker process answers within the check's timeout. One that waits longer is late
whatever happens, and keeps the worker from those in time, so it is refused at once (503)."""
HEALTH_INTERVAL_S: Final = 1
"""How soon Envoy knows that an endpoint is about to stop (it says NOT_SERVING): its drain must last longer."""
PANIC_PERCENT: Final = 50
"""With fewer healthy endpoints than this Envoy asks all. Health checks of a busy service are late before its answers
are: with 0 one late health check of a single endpoint would refuse everybody."""
MAX_RETRIES: Final = 256
"""Retries under way. Envoy's default of 3 makes them fail as soon as a few requests meet a server that goes away."""
MAX_UPSTREAM_STREAMS: Final = 16_384
"""Every open event stream of an MCP client is a request under way; Envoy's default of 1,024 is soon used up."""
UPSTREAM_IDLE_S: Final = 4
"""Uvicorn and Node close idle connections after 5 s; a request on one that is just being closed would get 503."""

_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def clusters(layout: Layout, edge: Edge) -> list[Cluster]:
    """Every cluster that the listener needs."""
    tracing = [] if edge.tracing is None else [_tracing(edge.tracing)]
    return [_authz(edge), *(_upstream(site, edge) for site in layout.sites), *tracing]


def address(endpoint: Endpoint) -> Address:
    """An endpoint as Envoy's message."""
    match endpoint:
        case TcpEndpoint(host=host, port=port):
            return Address(socket_address=SocketAddress(address=host, port_value=port))
        case UnixEndpoint(path=path):
            return Address(pipe=Pipe(path=path))
        case _:
            assert_never(endpoint)


def _authz(edge: Edge) -> Cluster:
    cluster = _cluster(AUTHZ_CLUSTER, edge.authz, connect_timeout_s=0.5)
    cluster.lb_policy = ClusterLbPolicy.LEAST_REQUEST
    cluster.circuit_breakers = _breakers(CHECKS_PER_ENDPOINT * len(edge.authz), retries=MAX_RETRIES)
    cluster.common_lb_config = ClusterCommonLbConfig(healthy_panic_threshold=Percent(value=PANIC_PERCENT))
    cluster.health_checks = [
        HealthCheck(
            timeout=timedelta(seconds=HEALTH_INTERVAL_S),
            interval=timedelta(seconds=HEALTH_INTERVAL_S),
            no_traffic_interval=timedelta(seconds=HEALTH_INTERVAL_S),
            unhealthy_threshold=1,
            healthy_threshold=1,
            grpc_health_check=HealthCheckGrpcHealthCheck(),
        )
    ]
    cluster.typed_extension_protocol_options = _http2()
    if edge.authz_tls is not None:
        hosts = tuple(endpoint.host for endpoint in edge.authz if isinstance(endpoint, TcpEndpoint))
        cluster.transport_socket = client_tls(edge.authz_tls.ca, hosts, edge.authz_tls.client, alpn="h2")
    return cluster


def _upstream(site: Site, edge: Edge) -> Cluster:
    server = site.upstream.endpoint
    cluster = _cluster(cluster_name(site), [server], connect_timeout_s=5)
    cluster.circuit_breakers = _breakers(MAX_UPSTREAM_STREAMS, retries=MAX_RETRIES)
    cluster.typed_extension_protocol_options = _http1()
    if site.upstream.tls:
        cluster.transport_socket = client_tls(edge.upstream_ca, [server.host])
    return cluster


def _tracing(collector: TcpEndpoint) -> Cluster:
    cluster = _cluster(TRACING_CLUSTER, [collector], connect_timeout_s=1)
    cluster.typed_extension_protocol_options = _http2()
    return cluster


def _cluster(name: str, endpoints: Sequence[Endpoint], *, connect_timeout_s: float) -> Cluster:
    named = any(isinstance(endpoint, TcpEndpoint) and not is_ip_address(endpoint.host) for endpoint in endpoints)
    members = [LbEndpoint(endpoint=EndpointMessage(address=address(endpoint))) for endpoint in endpoints]
    cluster = Cluster(
        name=name,
        # Every address of a name is an endpoint of its own, as a headless Kubernetes service wants it.
        type=ClusterDiscoveryType.STRICT_DNS if named else ClusterDiscoveryType.STATIC,
        connect_timeout=timedelta(seconds=connect_timeout_s),
        load_assignment=ClusterLoadAssignment(cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=members)]),
    )
    if named:
        cluster.dns_lookup_family = ClusterDnsLookupFamily.V4_PREFERRED
    return cluster


def _breakers(concurrent: int, *, retries: int) -> CircuitBreakers:
    return CircuitBreakers(
        thresholds=[
            CircuitBreakersThresholds(
                max_connections=concurrent,
                max_pending_requests=concurrent,
                max_requests=concurrent,
                max_retries=retries,
            )
        ]
    )


def _http2() -> dict[str, AnyMessage]:
    options = UpstreamHttpProtocolOptions(
        explicit_http_config=ExplicitHttpConfig(http2_protocol_options=Http2ProtocolOptions())
    )
    return {_HTTP_OPTIONS: AnyMessage.pack(options)}


def _http1() -> dict[str, AnyMessage]:
    options = UpstreamHttpProtocolOptions(
        common_http_protocol_options=HttpProtocolOptions(idle_timeout=timedelta(seconds=UPSTREAM_IDLE_S)),
        explicit_http_config=ExplicitHttpConfig(http_protocol_options=Http1ProtocolOptions()),
    )
    return {_HTTP_OPTIONS: AnyMessage.pack(options)}
