"""Addresses to listen on: why one cannot be had, found out before a server is made."""

import errno
import socket
import stat
from pathlib import Path
from typing import Final

from extauthz.service.endpoint import Endpoint, EndpointFault, TcpEndpoint, UnixEndpoint, endpoint_of

# Seconds that a socket file's owner, if it has one, gets to accept a connection: it is on this machine.
_PROBE_TIMEOUT_S: Final = 1.0


class ListenFault(Exception):
    """The address cannot be listened on; the message says why and how to mend it."""


def parse_listen(text: str) -> Endpoint:
    """Read an address. Raises `ListenFault`."""
    endpoint = endpoint_of(text)
    if isinstance(endpoint, EndpointFault):
        raise ListenFault(str(endpoint))
    return endpoint


def claim(address: Endpoint) -> None:
    """Find out whether the address can be had; remove a socket file whose owner is gone. Raises `ListenFault`."""
    match address:
        case TcpEndpoint():
            _claim_tcp(address)
        case UnixEndpoint():
            _claim_unix(address)


def _claim_tcp(address: TcpEndpoint) -> None:
    """Bind each address that the name stands for, and let go of it again.

    A name may stand for addresses that this machine does not have (`localhost` and `::1`): one that can be had is
    enough, one that somebody else has is too many.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ListenFault(f"{address}: the host name cannot be resolved: write an address of this machine") from error
    absent: OSError | None = None
    had = False
    for family, kind, protocol, _, where in found:
        try:
            with socket.socket(family, kind, protocol) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind(where)
            had = True
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise _fault(address, error) from error
            absent = error
    if not had and absent is not None:
        raise _fault(address, absent) from absent


def _claim_unix(address: UnixEndpoint) -> None:
    path = Path(address.path)
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise ListenFault(f"{address}: there is no directory {path.parent}: make it") from None
        return
    except OSError as error:
        raise _fault(address, error) from error
    if not stat.S_ISSOCK(mode):
        raise ListenFault(
            f"{address}: there is a file of that name that is no socket: remove it, or choose another name"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_TIMEOUT_S)
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            pass
        except OSError as error:
            raise _fault(address, error) from error
        else:
            raise _fault(address, OSError(errno.EADDRINUSE, ""))
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _fault(address, error) from error


def _fault(address: Endpoint, error: OSError) -> ListenFault:
    match error.errno:
        case errno.EADDRINUSE:
            why = "another program listens there: stop it, or choose another address"
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
            why = "this machine has no such address: use one that it has, or 0.0.0.0 for all"
        case errno.EACCES | errno.EPERM:
            why = "not permitted: choose a port above 1023, or a directory that this user may write"
        case _:
            why = error.strerror or str(error)
    return ListenFault(f"cannot listen on {address}: {why}")
