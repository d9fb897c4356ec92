"""The server's certificate and the authority for clients', read from files and read again when they change."""

import logging
import os
import ssl
import threading
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import grpc

from extauthz.files import FileFault, in_memory, read_regular_file

# Attempts to read three files that belong together while somebody is replacing them.
MAX_READS: Final = 5
MAX_PEM_BYTES: Final = 1_048_576
"""Of each file: a bundle of all public authorities has 0.2 MiB, a Secret of Kubernetes 1 MiB at most."""

_log = logging.getLogger("extauthz.grpc")

_Stamp: TypeAlias = tuple[tuple[int, int, int], ...]
"""Inode, size and time of change of each file. Kubernetes replaces mounted files by switching a symbolic link."""


class _Files(NamedTuple):
    """What was read."""

    configuration: Any
    authorities: bytes


class TlsFault(Exception):
    """Certificate files that cannot be used; the message says why and how to mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """PEM files. With `client_ca_file` every client must present a certificate that it vouches for (mTLS)."""

    cert_file: str
    """The certificate and its intermediates, leaf first."""
    key_file: str
    client_ca_file: str = ""
    client_names: frozenset[str] = frozenset()
    """DNS names (lower case) and URIs of which a client's certificate must have one; empty: any will do."""


class RotatingCredentials:
    """gRPC server credentials that follow their files. A broken replacement leaves the last good ones in use."""

    def __init__(self, tls: ServerTls) -> None:
        """Raises `TlsFault` when the files are no good."""
        self.tls: Final = tls
        self._lock = threading.Lock()
        self._unused: Any = None
        """A configuration that gRPC has not been told yet."""
        self._stamp, files = _read(tls)
        self._authorities = files.authorities
        self.credentials: Any = grpc.dynamic_ssl_server_credentials(
            files.configuration, self._changed, require_client_authentication=bool(tls.client_ca_file)
        )

    def authorities(self) -> bytes:
        """The authorities of clients as their file has them now, in PEM form; unusable files change nothing."""
        self._look()
        return self._authorities

    def _changed(self) -> Any:
        """Asked by gRPC before each handshake: the new configuration, or None when nothing has changed."""
        self._look()
        with self._lock:
            configuration, self._unused = self._unused, None
            return configuration

    def _look(self) -> None:
        """Read the files again if they have changed."""
        with self._lock:
            try:
                stamp = _stamp(self.tls)
                if stamp == self._stamp:
                    return
                self._stamp = stamp
                self._stamp, files = _read(self.tls)
            except (TlsFault, OSError) as error:
                _log.error("the TLS files have changed, but cannot be used; the last good ones stay in use: %s", error)
                return
            self._authorities = files.authorities
            self._unused = files.configuration
            _log.info("the TLS files have changed; new connections use them")


def _files(tls: ServerTls) -> tuple[str, ...]:
    return tuple(file for file in (tls.cert_file, tls.key_file, tls.client_ca_file) if file)


def _stamp(tls: ServerTls) -> _Stamp:
    stats = [os.stat(file) for file in _files(tls)]  # noqa: PTH116 - before each handshake; pathlib costs more
    return tuple((found.st_ino, found.st_size, found.st_ctime_ns) for found in stats)


def _read(tls: ServerTls) -> tuple[_Stamp, _Files]:
    """All files as they stood at one moment, checked to belong together."""
    fault: Exception | None = None
    for _ in range(MAX_READS):
        try:
            before = _stamp(tls)
            key, chain = _content(tls.key_file), _content(tls.cert_file)
            authority = _content(tls.client_ca_file) if tls.client_ca_file else None
            _ensure_usable(tls, key, chain, authority)
            if _stamp(tls) == before:
                configuration = grpc.ssl_server_certificate_configuration([(key, chain)], authority)
                return before, _Files(configuration, authority or b"")
        except OSError as error:
            raise TlsFault(
                f"{error.filename or tls.cert_file}: {error.strerror or error}: name readable PEM files"
            ) from error
        except TlsFault as error:
            fault = error
    raise TlsFault(str(fault or "the TLS files kept changing while they were read: try again"))


def _content(file: str) -> bytes:
    content = read_regular_file(file, MAX_PEM_BYTES)
    if isinstance(content, FileFault):
        raise TlsFault(f"{file}: {content.why}: name readable PEM files")
    return content


def _ensure_usable(tls: ServerTls, key: bytes, chain: bytes, authority: bytes | None) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # From memory: a file that was replaced meanwhile by a FIFO would block. The password: without one OpenSSL would
        # ask the terminal for it.
        with in_memory(chain) as cert_file, in_memory(key) as key_file:
            context.load_cert_chain(cert_file, key_file, password=lambda: b"")
    except ssl.SSLError as error:
        raise TlsFault(
            f"{tls.cert_file} and {tls.key_file} are not a certificate and its unencrypted private key in PEM form"
            f" ({error.reason or 'unreadable'}): write the leaf certificate first, and the key that belongs to it"
        ) from error
    if authority is None:
        return
    try:
        with in_memory(authority) as ca_file:
            context.load_verify_locations(ca_file)
    except ssl.SSLError as error:
        raise TlsFault(
            f"{tls.client_ca_file} holds no certificate in PEM form ({error.reason or 'unreadable'}): name the"
            " authority that signs the proxy's client certificate"
        ) from error
