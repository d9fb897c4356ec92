"""Which URLs of a discovery document are asked, and at which address."""

import asyncio

import pytest

from extauthz.adapters.issuers.address_policy import derived_target, is_public
from extauthz.adapters.issuers.http_client import HttpFault, Target, origin

ISSUER = "https://door.example.com/realm"
PUBLIC = "93.184.216.34"

HOSTS: dict[str, tuple[str, ...]] = {
    "door.example.com": (PUBLIC,),
    "keys.example.net": (PUBLIC, "2606:2800:220:1:248:1893:25c8:1946"),
    "rebind.example.net": (PUBLIC, "169.254.169.254"),
    "inside.example.net": ("10.0.0.5",),
    "door.internal": ("10.1.2.3",),
    "none.example.net": (),
}


async def resolver(host: str, port: int) -> tuple[str, ...]:
    if host in HOSTS:
        return HOSTS[host]
    if is_public(host) or host[:1].isdigit() or ":" in host:
        return (host,)
    raise OSError("no such host")


def target(url: str, issuer_url: str = ISSUER) -> Target:
    return asyncio.run(derived_target(url, issuer_url, "jwks_uri", resolver))


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# Ordinary.


@pytest.mark.parametrize(
    "url", ["https://door.example.com/jwks", "https://DOOR.example.com:443/jwks", "https://door.example.com/jwks?a=1"]
)
def test_the_issuers_own_origin_is_asked_as_it_is(url: str) -> None:
    assert target(url) == Target(url=url)


def test_another_public_host_is_asked_at_the_address_that_was_judged() -> None:
    url = "https://keys.example.net/jwks"
    assert target(url) == Target(url=url, address=PUBLIC)


def test_an_issuer_in_a_private_network_may_name_its_neighbours() -> None:
    assert target("https://inside.example.net/jwks", "https://door.internal") == Target(
        url="https://inside.example.net/jwks"
    )


def test_an_issuer_on_loopback_may_name_itself_over_http() -> None:
    assert target("http://127.0.0.1:8000/jwks", "http://127.0.0.1:8000") == Target(url="http://127.0.0.1:8000/jwks")


# Hostile.


@pytest.mark.parametrize(
    "url",
    [
        "https://inside.example.net/jwks",
        "https://rebind.example.net/jwks",
        "https://169.254.169.254/latest/meta-data",
        "https://127.0.0.1/jwks",
        "https://[::1]/jwks",
        "https://[::ffff:10.0.0.1]/jwks",
        "https://[64:ff9b::a00:1]/jwks",
        "https://0.0.0.0/jwks",
        "https://100.64.0.1/jwks",
    ],
)
def test_a_private_address_is_refused_when_the_issuer_is_public(url: str) -> None:
    with pytest.raises(HttpFault, match=r"private address .* set it in the policy file"):
        target(url)


@pytest.mark.parametrize(
    "url",
    ["http://keys.example.net/jwks", "http://door.example.com/jwks", "http://127.0.0.1/jwks"],
)
def test_plain_http_is_refused_elsewhere_than_at_the_issuers_own_origin(url: str) -> None:
    with pytest.raises(HttpFault, match="not https"):
        target(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "jwks",
        "/jwks",
        "//keys.example.net/jwks",
        "file:///etc/passwd",
        "gopher://keys.example.net/",
        "https://user:secret@keys.example.net/jwks",
        "https://door.example.com@keys.example.net/jwks",
        "https://keys.example.net/jwks#fragment",
        "https://keys.example.net/a b",
        "https://keys.example.net/\r\nX: y",
        "https://keys.example.net/\r\nX:y",
        "https://keys.example.net/\tjwks",
        "https://keys.example.net/\x7f",
        "https://keys.example.net:99999/jwks",
        "https://keys.example.net:port/jwks",
        "https:///jwks",
        "https://[::1/jwks",
        "https://kéys.example.net/jwks",
        "https://keys.example.net/" + "x" * 3000,
    ],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(HttpFault, match="no plain http"):
        target(url)


@pytest.mark.parametrize("url", ["https://unknown.example.net/jwks", "https://none.example.net/jwks"])
def test_a_host_without_address_is_refused(url: str) -> None:
    with pytest.raises(HttpFault, match="check the name and the DNS"):
        target(url)


def test_behind_a_proxy_names_are_the_proxys_to_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert target("https://unknown.example.net/jwks") == Target(url="https://unknown.example.net/jwks")
    for url in ("https://10.0.0.5/jwks", "https://localhost/jwks", "https://x.localhost/jwks", "https://[::1]/jwks"):
        with pytest.raises(HttpFault, match="private address"):
            target(url)


def test_a_host_exempt_from_the_proxy_is_judged_by_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example.net")
    with pytest.raises(HttpFault, match="private address"):
        target("https://inside.example.net/jwks")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("2002:0a00:0001::", False),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b::93.184.216.34", True),
        ("keys.example.net", False),
        ("", False),
    ],
)
def test_public_addresses_are_told_from_all_others(address: str, *, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://A.example:443/x", "https://a.example/y"),
        ("http://a.example:80", "http://a.example/"),
        ("https://[::1]:8443/", "https://[::1]:8443/jwks"),
    ],
)
def test_origins_are_equal_without_case_and_default_port(one: str, other: str) -> None:
    assert origin(one) == origin(other) != ""


def test_origins_differ_by_scheme_host_and_port() -> None:
    urls = [
        "https://a.example",
        "http://a.example",
        "https://b.example",
        "https://a.example:8443",
        "https://a.example:80",
    ]
    assert len({origin(url) for url in urls}) == len(urls)
