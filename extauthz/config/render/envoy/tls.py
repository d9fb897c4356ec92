"""TLS as Envoy's transport sockets, towards clients and towards servers."""

from collections.abc import Sequence

from envoy_data_plane.envoy.config.core.v3 import DataSource, TransportSocket
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    DownstreamTlsContext,
    SubjectAltNameMatcher,
    SubjectAltNameMatcherSanType,
    TlsCertificate,
    TlsParameters,
    TlsParametersTlsProtocol,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any as AnyMessage

from extauthz.config.render.envoy.edge import KeyPair, is_ip_address

_TLS_SOCKET = "envoy.transport_sockets.tls"
_FROM_1_2 = TlsParameters(tls_minimum_protocol_version=TlsParametersTlsProtocol.TLSv1_2)


def server_tls(certificate: KeyPair) -> TransportSocket:
    """What the listener shows to clients: HTTP/2 where the client can, TLS 1.2 at least."""
    context = DownstreamTlsContext(
        common_tls_context=CommonTlsContext(
            tls_params=_FROM_1_2, tls_certificates=[_certificate(certificate)], alpn_protocols=["h2", "http/1.1"]
        )
    )
    return TransportSocket(name=_TLS_SOCKET, typed_config=AnyMessage.pack(context))


def client_tls(ca: str, names: Sequence[str], certificate: KeyPair | None = None, *, alpn: str = "") -> TransportSocket:
    """What Envoy wants to see of a server: a certificate of `ca` for one of `names` (host names or IP addresses).

    Without a name list Envoy would accept any certificate of that authority, whoever it is for.
    """
    host_names = [name for name in names if not is_ip_address(name)]
    context = UpstreamTlsContext(
        sni=host_names[0] if host_names else "",
        common_tls_context=CommonTlsContext(
            tls_params=_FROM_1_2,
            tls_certificates=[] if certificate is None else [_certificate(certificate)],
            validation_context=CertificateValidationContext(
                trusted_ca=DataSource(filename=ca), match_typed_subject_alt_names=[_subject(name) for name in names]
            ),
            alpn_protocols=[alpn] if alpn else [],
        ),
    )
    return TransportSocket(name=_TLS_SOCKET, typed_config=AnyMessage.pack(context))


def _certificate(certificate: KeyPair) -> TlsCertificate:
    return TlsCertificate(
        certificate_chain=DataSource(filename=certificate.chain), private_key=DataSource(filename=certificate.key)
    )


def _subject(name: str) -> SubjectAltNameMatcher:
    kind = SubjectAltNameMatcherSanType.IP_ADDRESS if is_ip_address(name) else SubjectAltNameMatcherSanType.DNS
    return SubjectAltNameMatcher(san_type=kind, matcher=StringMatcher(exact=name))
