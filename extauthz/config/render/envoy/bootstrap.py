"""A policy and an edge in, the text of a complete Envoy bootstrap out."""

from dataclasses import dataclass
from typing import Any, Final

import betterproto2
from envoy_data_plane.envoy.config.bootstrap.v3 import Admin, Bootstrap, BootstrapStaticResources
from envoy_data_plane.envoy.config.overload.v3 import OverloadManager, ResourceMonitor
from envoy_data_plane.envoy.extensions.resource_monitors.downstream_connections.v3 import DownstreamConnectionsConfig
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any as AnyMessage

from extauthz.config.render.envoy.clusters import address, clusters
from extauthz.config.render.envoy.edge import Edge, edge_faults
from extauthz.config.render.envoy.listener import listener
from extauthz.config.render.envoy.plain_fields import add_plain_fields
from extauthz.config.render.envoy.sites import Layout, LayoutFaults, lay_out
from extauthz.config.render.envoy.yaml_text import to_yaml
from extauthz.pdp.policy import Policy
from extauthz.service.endpoint import TcpEndpoint

MAX_DOWNSTREAM_CONNECTIONS: Final = 10_000
"""Beyond this Envoy refuses connections. Each takes two file descriptors, and memory for its buffers."""
ADMIN_READS: Final = ("/ready", "/stats", "/clusters", "/listeners", "/certs", "/config_dump", "/server_info")
"""What the admin interface answers: reading, nothing that changes or ends this Envoy."""

HEAD: Final = (
    "Made by `extauthz render envoy` from a policy file, for Envoy 1.40 or newer: change that file and render again.\n"
    "What each setting is for: docs/reference/envoy.md."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The bootstrap as YAML."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrenderable:
    """Everything that stands in the way, each with how to mend it."""

    faults: tuple[str, ...]


def render_envoy(policy: Policy, edge: Edge) -> Rendered | Unrenderable:
    """The whole bootstrap for every resource of the policy. The same arguments give the same bytes."""
    faults = edge_faults(edge)
    match lay_out(policy):
        case LayoutFaults(messages=messages):
            return Unrenderable(faults=faults + messages)
        case Layout() as layout:
            if faults:
                return Unrenderable(faults=faults)
            return Rendered(text=to_yaml(bootstrap_tree(layout, edge), head=HEAD))


def bootstrap_tree(layout: Layout, edge: Edge) -> dict[str, Any]:
    """The bootstrap as plain data, with the field names of Envoy's documentation."""
    connections = DownstreamConnectionsConfig(max_active_downstream_connections=MAX_DOWNSTREAM_CONNECTIONS)
    bootstrap = Bootstrap(
        admin=None if edge.admin is None else _admin(edge.admin),
        static_resources=BootstrapStaticResources(listeners=[listener(layout, edge)], clusters=clusters(layout, edge)),
        overload_manager=OverloadManager(
            resource_monitors=[
                ResourceMonitor(
                    name="envoy.resource_monitors.global_downstream_max_connections",
                    typed_config=AnyMessage.pack(connections),
                )
            ]
        ),
    )
    tree = bootstrap.to_dict(casing=betterproto2.Casing.SNAKE)
    add_plain_fields(tree, edge)
    return _in_reading_order(tree)


def _in_reading_order(tree: dict[str, Any]) -> dict[str, Any]:
    """The short before the long: `admin` above the listener, the filters above the routes."""
    for filter_chain in tree["static_resources"]["listeners"][0]["filter_chains"]:
        manager = filter_chain["filters"][0]["typed_config"]
        for last in ("access_log", "http_filters", "route_config"):
            manager[last] = manager.pop(last)
    tree["static_resources"] = tree.pop("static_resources")
    return tree


def _admin(endpoint: TcpEndpoint) -> Admin:
    return Admin(address=address(endpoint), allow_paths=[StringMatcher(prefix=path) for path in ADMIN_READS])
