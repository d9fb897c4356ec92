"""How long until the first byte of an answer, with the service and without: `python -m tests.bench.streaming`.

A rendered Envoy that asks a real `extauthz serve`, and the same Envoy without the filter, in front of one server that
streams events. Requests go to the two in turn, over kept connections; medians of so many each. What is behind the
first byte no longer meets the service: that events pass one by one is seen in `tests/e2e/test_rendered_envoy.py`.
"""

import argparse
import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from extauthz.config.policy_file.policy_file import load_policy
from extauthz.config.render.envoy.edge import Edge
from extauthz.demo.processes import LOOPBACK, free_port
from extauthz.pdp.policy import Policy
from tests.bench.machine import machine
from tests.support import tokens
from tests.support.http_issuer import HttpIssuer
from tests.support.mcp_requests import call, modern, post
from tests.support.rendered_edge import RecordingUpstream, envoy, loopback, render
from tests.support.served import Served, policy_text

TIMES: Final = 400
WARM_UP: Final = 20
HOST: Final = "mcp.example.com"
PATH: Final = "/weather/mcp"
EXT_AUTHZ: Final = "envoy.filters.http.ext_authz"

_LEGACY = post(call())
_MODERN = modern(call())
_STREAM = {"accept": "text/event-stream", "mcp-session-id": "s-1", "mcp-protocol-version": "2025-11-25"}
REQUESTS: Final[dict[str, tuple[str, Mapping[str, str], bytes]]] = {
    "POST, answered with events": ("POST", _LEGACY.headers, _LEGACY.body),
    "POST, decided on headers": ("POST", _MODERN.headers, _MODERN.body),
    "GET, a stream of events": ("GET", _STREAM, b""),
    "DELETE, the end of a session": ("DELETE", {"mcp-session-id": "s-1"}, b""),
}


@contextmanager
def edges(folder: Path) -> Iterator[tuple[int, int]]:
    """The ports of an Envoy that asks the service, and of one that does not."""
    with ExitStack() as running:
        upstream = running.enter_context(RecordingUpstream())
        upstream.go_on.set()
        issuer = running.enter_context(HttpIssuer())
        issuer.answer("/jwks", body=tokens.key_set_document())
        text = policy_text(issuer.url).replace(
            "    baseline:", f"    upstream: {upstream.url('/events')}\n    header_only: true\n    baseline:"
        )
        served = running.enter_context(Served(folder, text))
        policy = load_policy(served.policy, with_secrets=False)
        assert isinstance(policy, Policy), policy
        ports = []
        for name in ("with", "without"):
            port, admin = free_port(), free_port()
            edge = Edge(listen=loopback(port), admin=loopback(admin), authz=(loopback(served.port),))
            own = folder / name
            own.mkdir()
            bootstrap = render(policy, edge)
            running.enter_context(envoy(bootstrap if name == "with" else unasking(bootstrap), own, admin))
            ports.append(port)
        yield ports[0], ports[1]


def unasking(bootstrap: str) -> str:
    """The same Envoy without ext_authz."""
    tree = yaml.safe_load(bootstrap)
    (chain,) = tree["static_resources"]["listeners"][0]["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    manager["http_filters"] = [one for one in manager["http_filters"] if one["name"] != EXT_AUTHZ]
    for host in manager["route_config"]["virtual_hosts"]:
        for route in host["routes"]:
            route.get("typed_per_filter_config", {}).pop(EXT_AUTHZ, None)
    return yaml.safe_dump(tree)


def first_byte_ms(connection: http.client.HTTPConnection, kind: str, token: str) -> float:
    """From the first byte of a request to the first of the answer's body; the answer is read to its end."""
    method, headers, body = REQUESTS[kind]
    begin = time.perf_counter()
    connection.request(method, PATH, body or None, {**headers, "host": HOST, "authorization": f"Bearer {token}"})
    response = connection.getresponse()
    first = response.read(1)
    taken = time.perf_counter() - begin
    assert (response.status, first) == (200, b"d"), (kind, response.status, first)
    response.read()
    return taken * 1e3


def measure(times: int) -> dict[str, dict[str, dict[str, float]]]:
    """Median and 90th percentile in milliseconds, by kind of request, with the service and without."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch, edges(Path(scratch)) as ports:
        token = tokens.mint({"scope": "weather:read"}, now=time.time())
        connections = {
            name: http.client.HTTPConnection(LOOPBACK, port, timeout=10)
            for name, port in zip(("with", "without"), ports, strict=True)
        }
        for kind in REQUESTS:
            samples: dict[str, list[float]] = {name: [] for name in connections}
            for number in range(times + WARM_UP):
                for name, connection in connections.items():
                    taken = first_byte_ms(connection, kind, token)
                    if number >= WARM_UP:
                        samples[name].append(taken)
            found[kind] = {
                name: {"median_ms": statistics.median(each), "p90_ms": statistics.quantiles(each, n=10)[8]}
                for name, each in samples.items()
            }
        for connection in connections.values():
            connection.close()
    return found


def table(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """For people."""
    lines = [f"{'first byte after (ms, median / 90 %)':<38} {'with':>15} {'without':>15} {'difference':>11}"]
    for kind, by_name in found.items():
        cells = [f"{one['median_ms']:.2f} / {one['p90_ms']:.2f}" for one in (by_name["with"], by_name["without"])]
        difference = by_name["with"]["median_ms"] - by_name["without"]["median_ms"]
        lines.append(f"{kind:<38} {cells[0]:>15} {cells[1]:>15} {difference:>11.2f}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.streaming", description=__doc__)
    parser.add_argument("--times", type=int, default=TIMES, help="requests of each kind to each Envoy")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    found: Any = measure(options.times)
    print(json.dumps({"machine": machine(), **found}, indent=2) if options.json else f"{machine()}\n{table(found)}")


if __name__ == "__main__":
    main()
