"""The fields that typed messages cannot carry, added as plain data.

Two kinds: fields of Envoy 1.40 that `envoy-data-plane` does not know yet, and defaults that a reader of the file should
find written out (a message equal to its default is left out when it becomes data).
"""

from typing import Any, Final, TypeAlias

from extauthz.config.render.envoy.edge import Edge
from extauthz.config.render.envoy.routes import EXT_AUTHZ_FILTER

Tree: TypeAlias = dict[str, Any]

BODY_SIZE_LIMIT_FILTER: Final = "envoy.filters.http.body_size_limit"


def add_plain_fields(bootstrap: Tree, edge: Edge) -> None:
    """Complete a bootstrap, in place."""
    for listener in bootstrap["static_resources"]["listeners"]:
        for chain in listener["filter_chains"]:
            for network_filter in chain["filters"]:
                _complete_connection_manager(network_filter["typed_config"], edge)


def _complete_connection_manager(manager: Tree, edge: Edge) -> None:
    filters: list[Tree] = manager["http_filters"]
    at = next(index for index, item in enumerate(filters) if item["name"] == EXT_AUTHZ_FILTER)
    check: Tree = filters[at]["typed_config"]
    check["failure_mode_allow"] = False
    check["with_request_body"]["allow_partial_message"] = False
    manager.setdefault("xff_num_trusted_hops", 0)
    filters.insert(at, _body_size_limit(edge.max_body_bytes))  # guard: only-needed-filters


def _body_size_limit(max_request_bytes: int) -> Tree:
    """New in Envoy 1.40. Over HTTP/2 ext_authz alone lets up to 16 KiB more pass than the service has seen."""
    return {
        "name": BODY_SIZE_LIMIT_FILTER,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.body_size_limit.v3.BodySizeLimit",
            "max_request_bytes": max_request_bytes,
        },
    }
