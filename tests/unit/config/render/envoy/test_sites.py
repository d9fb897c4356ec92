"""How the policy's URLs become Envoy's hosts, paths and upstreams."""

import pytest

from extauthz.config.render.envoy.sites import Layout, LayoutFaults, Upstream, lay_out
from extauthz.pdp.policy import Resource
from extauthz.service.endpoint import TcpEndpoint
from tests.support.policies import policy, resource

UPSTREAM = "http://weather:8000/mcp"


def laid_out(*resources: Resource) -> Layout:
    layout = lay_out(policy(*resources))
    assert isinstance(layout, Layout), layout
    return layout


def faults(*resources: Resource) -> tuple[str, ...]:
    layout = lay_out(policy(*resources))
    assert isinstance(layout, LayoutFaults), layout
    return layout.messages


@pytest.mark.parametrize(
    ("uri", "hosts", "domains"),
    [
        ("https://mcp.example.com/mcp", (), ("mcp.example.com", "mcp.example.com:443")),
        ("http://localhost/mcp", (), ("localhost", "localhost:80")),
        ("http://127.0.0.1:8080/mcp", (), ("127.0.0.1:8080",)),
        ("https://[::1]/mcp", (), ("[::1]", "[::1]:443")),
        ("https://[::1]:8443/mcp", (), ("[::1]:8443",)),
        (
            "https://mcp.example.com/mcp",
            ("Weather.Internal:8080",),
            ("mcp.example.com", "mcp.example.com:443", "weather.internal:8080"),
        ),
        (
            "https://mcp.example.com/mcp",
            ("weather.internal:443", "mcp.example.com"),
            ("mcp.example.com", "mcp.example.com:443", "weather.internal", "weather.internal:443"),
        ),
    ],
)
def test_every_spelling_of_an_authority_is_a_domain_and_no_other(
    uri: str, hosts: tuple[str, ...], domains: tuple[str, ...]
) -> None:
    layout = laid_out(resource(uri=uri, hosts=hosts, upstream=UPSTREAM))
    assert layout.sites[0].domains == domains
    assert [host.domains for host in layout.hosts] == [domains]


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        (
            "http://weather:8000/mcp",
            Upstream(endpoint=TcpEndpoint("weather", 8000), tls=False, authority="weather:8000", path="/mcp"),
        ),
        ("http://weather", Upstream(endpoint=TcpEndpoint("weather", 80), tls=False, authority="weather", path="")),
        (
            "https://mcp.example.net/",
            Upstream(endpoint=TcpEndpoint("mcp.example.net", 443), tls=True, authority="mcp.example.net", path="/"),
        ),
        (
            "http://[::1]:8000/a/b",
            Upstream(endpoint=TcpEndpoint("::1", 8000), tls=False, authority="[::1]:8000", path="/a/b"),
        ),
    ],
)
def test_an_upstream_is_taken_apart(text: str, upstream: Upstream) -> None:
    assert laid_out(resource(upstream=text)).sites[0].upstream == upstream


@pytest.mark.parametrize(
    "text",
    [
        "ftp://weather/mcp",
        "weather:8000",
        "http:///mcp",
        "http://weather:eight/mcp",
        "http://weather:99999/mcp",
        "http://user@weather/mcp",
        "http://weather/mcp?a=b",
        "http://weather/mcp#a",
    ],
)
def test_what_is_no_upstream_is_a_fault(text: str) -> None:
    (fault,) = faults(resource(upstream=text))
    assert fault.startswith("resource 'weather': `upstream`")
    assert text in fault


def test_a_missing_upstream_is_a_fault_that_says_what_to_write() -> None:
    assert faults(resource()) == (
        "resource 'weather' has no `upstream`: write the URL of its MCP server, as in http://weather:8000/mcp",
    )


def test_all_faults_come_at_once() -> None:
    assert len(faults(resource(), resource(name="calc", uri="https://calc.example.com", upstream="calc"))) == 2


def test_a_policy_without_resources_cannot_be_rendered() -> None:
    assert faults() == ("the policy has no resources: add one under `resources`",)


def test_two_resources_at_one_address_are_a_fault() -> None:
    one = resource(upstream=UPSTREAM, hosts=("mcp.internal",))
    other = resource(name="calc", uri="https://mcp.internal/weather/mcp", upstream=UPSTREAM)
    (fault,) = faults(one, other)
    assert fault.startswith("resources 'weather' and 'calc' are both at mcp.internal/weather/mcp: ")


def test_resources_that_share_all_authorities_share_a_host_longest_path_first() -> None:
    short = resource(name="short", uri="https://mcp.example.com/a", upstream=UPSTREAM)
    long = resource(name="long", uri="https://mcp.example.com/a/b", upstream=UPSTREAM)
    whole = resource(name="whole", uri="https://mcp.example.com", upstream=UPSTREAM)
    (host,) = laid_out(whole, short, long).hosts
    assert [site.resource.name for site in host.sites] == ["long", "short", "whole"]
    assert [site.path for site in host.sites] == ["/a/b", "/a", ""]


def test_an_authority_of_one_resource_only_is_a_host_of_its_own() -> None:
    both = resource(name="a", uri="https://mcp.example.com/a", hosts=("a.internal:1",), upstream=UPSTREAM)
    other = resource(name="b", uri="https://mcp.example.com/b", upstream=UPSTREAM)
    hosts = {host.domains[0]: [site.resource.name for site in host.sites] for host in laid_out(both, other).hosts}
    assert hosts == {"mcp.example.com": ["a", "b"], "a.internal:1": ["a"]}
