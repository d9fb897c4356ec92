"""Who can reach the port where checks come in, as far as settings say."""

from ipaddress import IPv6Address, ip_address

from extauthz.service.endpoint import Endpoint, TcpEndpoint


def open_to_network(listen: Endpoint, *, clients_authenticated: bool) -> bool:
    """Whether anybody on a network may call: neither loopback, nor a Unix socket, nor mTLS."""
    return isinstance(listen, TcpEndpoint) and not _is_loopback(listen.host) and not clients_authenticated


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
