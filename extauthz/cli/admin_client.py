"""Asking the admin port of a running service, over TCP or a Unix socket. Nothing but the standard library."""

import http.client
import os
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final

import click

from extauthz.adapters.listening import ListenFault, parse_listen
from extauthz.service.endpoint import TcpEndpoint, UnixEndpoint

DEFAULT_ADMIN: Final = "127.0.0.1:9002"
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""Of one answer: a list of 50,000 revocations with long names."""

# Addresses that mean "all of this machine", and how to reach it by each.
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound here


class AdminConnection(http.client.HTTPConnection):
    """HTTP over either kind of address; with `tls`, for a proxy before the port."""

    def __init__(self, address: TcpEndpoint | UnixEndpoint, *, timeout_s: float, tls: bool = False) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._address = address
        self._timeout_s = timeout_s
        self._tls = tls

    def connect(self) -> None:
        """Connect."""
        match self._address:
            case UnixEndpoint(path=path):
                self.sock: Any = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self.sock.settimeout(self._timeout_s)
                self.sock.connect(path)
            case TcpEndpoint(host=host, port=port):
                self.sock = socket.create_connection((_ANY.get(host, host), port), self._timeout_s)
                if self._tls:
                    self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=host)


def admin_address(text: str) -> tuple[TcpEndpoint | UnixEndpoint, bool]:
    """`host:port`, `http://host:port`, `https://host:port` or `unix:/path`, and whether it is TLS."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        scheme, rest = "http", text
    tls = scheme.lower() == "https"
    rest = rest.removesuffix("/")
    try:
        if not rest.startswith("unix:") and ":" not in rest.rpartition("]")[2]:
            rest += ":443" if tls else ":80"
        return parse_listen(rest), tls
    except ListenFault as fault:
        raise click.UsageError(str(fault)) from fault


def ask(
    where: str,
    method: str,
    path: str,
    *,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> tuple[int, bytes]:
    """Status and body of the answer. Raises `click.ClickException` when there is none."""
    address, tls = admin_address(where)
    connection = AdminConnection(address, timeout_s=timeout_s, tls=tls)
    # The port on loopback answers by a name of this machine alone; elsewhere by any.
    host = f"{address}" if isinstance(address, TcpEndpoint) and address.host not in _ANY else "localhost"
    try:
        connection.request(method, path, body=body, headers={"Host": host, **(headers or {})})
        response = connection.getresponse()
        return response.status, response.read(MAX_ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise click.ClickException(
            f"no answer from {address} ({_why(error)}): start the service, or say where its admin port is"
        ) from error
    finally:
        connection.close()


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS"
    return (os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "") or type(error).__name__
