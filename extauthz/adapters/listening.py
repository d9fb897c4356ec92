"""Addresses to listen on: what they look like, and why one cannot be had, found out before a server is made.

listen = host ":" port / "[" IPv6 "]:" port / "unix:" path          port 0 = any free one
"""

import errno
import os
import re
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

# Bytes of `sun_path` on Linux, its closing NUL included (unix(7)).
MAX_SOCKET_PATH_BYTES: Final = 107
# Seconds that a socket file's owner, if it has one, gets to accept a connection: it is on this machine.
_PROBE_TIMEOUT_S: Final = 1.0

_TCP: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})")


class ListenFault(Exception):
    """The address cannot be listened on; the message says why and how to mend it."""


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host (name or literal, without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """`host:port`, an IPv6 literal in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix domain socket."""

    path: str

    def __str__(self) -> str:
        """`unix:path`."""
        return f"unix:{self.path}"


ListenAddress: TypeAlias = TcpAddress | UnixAddress


def parse_listen(text: str) -> ListenAddress:
    """Read an address. Raises `ListenFault`."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path or "\0" in path:
            raise ListenFault(f"{text!r} names no socket: write unix:/run/extauthz/extauthz.sock")
        if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
            raise ListenFault(
                f"the socket path {path!r} is longer than {MAX_SOCKET_PATH_BYTES} bytes: choose a shorter one"
            )
        return UnixAddress(path)
    match = _TCP.fullmatch(text)
    if match is None or int(match["port"]) > 65_535:
        raise ListenFault(f"{text!r} is not an address: write host:port, [IPv6]:port or unix:/path")
    return TcpAddress(match["six"] or match["host"], int(match["port"]))


def claim(address: ListenAddress) -> None:
    """Find out whether the address can be had; remove a socket file whose owner is gone. Raises `ListenFault`."""
    match address:
        case TcpAddress():
            _claim_tcp(address)
        case UnixAddress():
            _claim_unix(address)


def _claim_tcp(address: TcpAddress) -> None:
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


def _claim_unix(address: UnixAddress) -> None:
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


def _fault(address: ListenAddress, error: OSError) -> ListenFault:
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
