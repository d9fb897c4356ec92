"""Which clients may call, by what their certificates say: names on a list, and an authority that is still trusted.

gRPC verifies a certificate once, when a connection opens, against the authorities of that moment. A connection stays
open for as long as its client likes, so each call asks again. What is asked is cheap: a certificate whose connection
was first seen under the authorities in force needs no signature check, any other needs one, once.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from extauthz.adapters.grpc.calls import Refused

LOOK_EVERY_S: Final = 1.0
"""How long a withdrawn authority may go unnoticed on a connection that is open."""
MAX_CONNECTIONS: Final = 16_384
"""Connections that are remembered, about 200 bytes each. The one that was opened first is forgotten first."""

MAX_WITHDRAWN: Final = 64
"""Withdrawn authorities that are remembered, for connections that were opened and have never called."""

Properties: TypeAlias = Mapping[bytes, Sequence[bytes]]
"""A call's authentication context: what gRPC found in the client's certificate."""

_CERTIFICATE: Final = b"x509_pem_cert"
# URIs and DNS names of the certificate's subjectAltName (RFC 5280 §4.2.1.6).
_URIS: Final = b"peer_uri"
_DNS_NAMES: Final = b"peer_dns"

_UNAUTHENTICATED: Final = grpc.StatusCode.UNAUTHENTICATED
_NOT_LISTED: Final = Refused(
    grpc.StatusCode.PERMISSION_DENIED,
    "no DNS name or URI of the client's certificate is on the list of clients: add one to EXTAUTHZ_TLS_CLIENT_SAN",
)
_WITHDRAWN: Final = Refused(
    _UNAUTHENTICATED,
    "the authority of the client's certificate is not trusted any more: connect with a certificate of one that is",
)
_NO_CERTIFICATE: Final = Refused(_UNAUTHENTICATED, "the client showed no certificate: use mTLS")

_log = logging.getLogger("extauthz.grpc")


class TrustedClients:
    """Judges each call. `authorities` gives the PEM bundle in force; it is asked every `LOOK_EVERY_S`."""

    def __init__(
        self, authorities: Callable[[], bytes], names: frozenset[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`names`: DNS names in lower case, and URIs; empty: any certificate of an authority."""
        self._authorities = authorities
        self._names = names
        self._clock = clock
        self._lock = threading.Lock()
        self._pem = authorities()
        self._trusted = tuple(x509.load_pem_x509_certificates(self._pem))
        self._withdrawn: tuple[x509.Certificate, ...] = ()
        self._generation = 0
        """Counts withdrawals of authorities. Bundles that only grow leave every connection as it is."""
        self._look_at = clock() + LOOK_EVERY_S
        self._seen: dict[bytes, int] = {}
        """Connections, each with the generation under which its certificate was last found good."""

    def admit(self, properties: Properties, connection: bytes) -> Refused | None:
        """None, or why this client may not call. Thread-safe."""
        certificate = properties.get(_CERTIFICATE)
        if not certificate:
            return _NO_CERTIFICATE
        if not self._named(properties):
            return _NOT_LISTED
        with self._lock:
            if self._clock() >= self._look_at:
                self._look()
            if self._seen.get(connection) == self._generation:
                return None
            if not self._vouched_for(certificate[0], known=connection in self._seen):
                return _WITHDRAWN
            if len(self._seen) >= MAX_CONNECTIONS and connection not in self._seen:
                del self._seen[next(iter(self._seen))]
            self._seen[connection] = self._generation
            return None

    def _named(self, properties: Properties) -> bool:
        """Whether the certificate has one of the names."""
        if not self._names:
            return True
        dns_names = (name.decode("latin-1").lower() for name in properties.get(_DNS_NAMES, ()))
        uris = (uri.decode("latin-1") for uri in properties.get(_URIS, ()))
        return not self._names.isdisjoint(dns_names) or not self._names.isdisjoint(uris)

    def _look(self) -> None:
        """Take up another bundle of authorities."""
        self._look_at = self._clock() + LOOK_EVERY_S
        pem = self._authorities()
        if pem == self._pem:
            return
        self._pem = pem
        try:
            trusted = tuple(x509.load_pem_x509_certificates(pem))
        except ValueError as error:
            _log.error("the authorities of clients have changed, but cannot be read; the last ones stay: %s", error)
            return
        gone = tuple(authority for authority in self._trusted if authority not in trusted)
        self._trusted = trusted
        self._withdrawn = (*(one for one in self._withdrawn if one not in trusted), *gone)[-MAX_WITHDRAWN:]
        if gone:
            self._generation += 1
            _log.warning("authorities of clients withdrawn: %d; calls on their open connections are refused", len(gone))

    def _vouched_for(self, pem: bytes, *, known: bool) -> bool:
        """Whether the authorities in force vouch for a certificate.

        One that an intermediate signed shows only its own certificate here. On a new connection gRPC has just verified
        the whole chain; on one from before a withdrawal nobody can tell, unless the bundle has the intermediate.
        """
        if not self._generation:
            return True
        try:
            leaf = x509.load_pem_x509_certificate(pem)
        except ValueError:
            return False
        if any(_issued(leaf, authority) for authority in self._trusted):
            return True
        return not known and not any(_issued(leaf, authority) for authority in self._withdrawn)


def _issued(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True
