"""An issuer's own description of itself (OpenID Connect Discovery 1.0 §4, RFC 8414 §3)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from extauthz.adapters.issuers.address_policy import Resolve, derived_target, resolve
from extauthz.adapters.issuers.http_client import (
    CertificateFault,
    HttpAnswer,
    HttpFault,
    Target,
    Trust,
    exchange,
    open_client,
    origin,
)
from extauthz.pdp.policy import Issuer
from extauthz.pdp.strict_json import JsonFault, JsonValue, read_json
from extauthz.service.cache.single_flight import SingleFlight

DISCOVERY_TOTAL_S: Final = 2.0
"""For one document; there are at most two, and a key set after them, within the deadline of a fetch (5 s)."""
MAX_METADATA_BYTES: Final = 256 * 1024
"""Casdoor's has 4 KB; those that list every scope stay below 100 KB."""
MAX_METADATA_DEPTH: Final = 16
METADATA_TTL_S: Final = 300.0
"""How long a document counts; URLs in it change with the issuer's releases."""
MAX_QUOTED_CHARS: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What we use of the document; empty where it says nothing."""

    jwks_uri: str
    introspection_endpoint: str


class Discovery:
    """Reads and remembers metadata. One event loop. `clock` gives monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float], ca_file: str = "", resolver: Resolve = resolve) -> None:
        self.trust = Trust(ca_file)
        self._clock = clock
        self._resolver = resolver
        self._known: dict[str, tuple[Metadata, float]] = {}
        self._flights: SingleFlight[str, Metadata] = SingleFlight()

    async def jwks_target(self, issuer: Issuer) -> Target:
        """Where the issuer's key set is. Raises HttpFault."""
        metadata = await self._metadata(issuer)
        return await self._derived(metadata.jwks_uri, issuer, "jwks_uri")

    async def introspection_target(self, issuer: Issuer) -> Target:
        """Where the issuer introspects. Raises HttpFault.

        A client secret goes there (with Casdoor an administrator's), so nothing but the issuer's own origin will do.
        """
        metadata = await self._metadata(issuer)
        target = await self._derived(metadata.introspection_endpoint, issuer, "introspection_endpoint")
        if origin(target.url) != origin(issuer.issuer):
            raise HttpFault(
                f"the discovery document of {issuer.name} puts introspection on another origin, where no client secret "
                "is sent unasked: set `introspection.endpoint` in the policy file"
            )
        return target

    async def close(self) -> None:
        """Stop what is under way."""
        await self._flights.close()

    def forget(self, issuer: Issuer) -> None:
        """What the document said did not work: read it again next time."""
        self._known.pop(issuer.issuer, None)

    async def _derived(self, url: str, issuer: Issuer, member: str) -> Target:
        if not url:
            self.forget(issuer)
            raise HttpFault(f"the discovery document of {issuer.name} has no `{member}`: set it in the policy file")
        return await derived_target(url, issuer.issuer, member, self._resolver)

    async def _metadata(self, issuer: Issuer) -> Metadata:
        known = self._known.get(issuer.issuer)
        if known is not None and self._clock() < known[1]:
            return known[0]
        return await self._flights.run(issuer.issuer, lambda: self._read(issuer))

    async def _read(self, issuer: Issuer) -> Metadata:
        tls = await self.trust.context()
        first_fault: HttpFault | None = None
        for url in metadata_urls(issuer.issuer):
            try:
                async with open_client(url, tls) as client:
                    answer = await exchange(
                        client, Target(url=url), total_s=DISCOVERY_TOTAL_S, max_bytes=MAX_METADATA_BYTES
                    )
                document = _document(url, answer)
            except CertificateFault:
                self.trust.reread()
                raise
            except HttpFault as fault:
                first_fault = first_fault or fault
                continue
            metadata = _metadata(url, document, issuer)
            self._known[issuer.issuer] = (metadata, self._clock() + METADATA_TTL_S)
            return metadata
        raise first_fault or HttpFault(f"issuer {issuer.name} is no URL: set `jwks_uri` in the policy file")


def metadata_urls(issuer_url: str) -> tuple[str, ...]:
    """Where the document may be: below the issuer (OpenID), else before its path (RFC 8414 §3.1)."""
    parts = urlsplit(issuer_url)
    home = f"{parts.scheme}://{parts.netloc}"
    path = parts.path.rstrip("/")
    return (
        f"{home}{path}/.well-known/openid-configuration",
        f"{home}/.well-known/oauth-authorization-server{path}",
    )


def _document(url: str, answer: HttpAnswer) -> dict[str, JsonValue]:
    if answer.status != 200:
        raise HttpFault(f"{url}: status {answer.status}: check the issuer URL, or set `jwks_uri` in the policy file")
    document = read_json(answer.body, max_depth=MAX_METADATA_DEPTH)
    if isinstance(document, JsonFault) or not isinstance(document, dict) or "issuer" not in document:
        raise HttpFault(f"{url}: no discovery document: check the issuer URL, or set `jwks_uri` in the policy file")
    return document


def _metadata(url: str, document: dict[str, JsonValue], issuer: Issuer) -> Metadata:
    """RFC 8414 §3.3: a document that names another issuer is not to be used; no other place is tried then."""
    if document["issuer"] != issuer.issuer:
        named = f"{document['issuer']!a}"[:MAX_QUOTED_CHARS]
        raise HttpFault(
            f"{url}: the document is of issuer {named}, the policy says '{issuer.issuer}': they must be equal byte "
            "for byte (scheme, port, trailing slash)"
        )
    jwks_uri = document.get("jwks_uri")
    introspection = document.get("introspection_endpoint")
    return Metadata(
        jwks_uri=jwks_uri if isinstance(jwks_uri, str) else "",
        introspection_endpoint=introspection if isinstance(introspection, str) else "",
    )
