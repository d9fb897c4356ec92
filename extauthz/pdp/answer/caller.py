"""A verified token at one resource, with all that is said of it upstream: made once, used by every check of it."""

import hashlib
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from extauthz.pdp.policy import Resource
from extauthz.pdp.principal import Principal, VerifiedToken
from extauthz.pdp.revocation.revocation import Key, keys_of

# Every printable ASCII character but `%`, which must be escaped for the coding to be reversible, and the space,
# which is escaped only at the ends, where HTTP would drop it.
_VERBATIM: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, and how upstream and proxy are told."""

    token: VerifiedToken
    headers: Headers = field(repr=False)
    """The verified identity for the upstream (lower-case names), without the decision id."""
    header_names: frozenset[str]
    """Names of `headers` and of the decision header: what must not be removed."""
    decision_header: str
    subject_hash: str
    """A short stable stand-in for (issuer, subject) in metadata and logs of the proxy."""
    revocation_keys: tuple[Key, ...] = field(repr=False)
    """Under which its token may have been revoked."""

    @classmethod
    def of(cls, token: VerifiedToken, resource: Resource) -> "Caller":
        """The caller that a token makes at a resource."""
        prefix = resource.upstream_headers.prefix
        headers = _identity_headers(prefix, token.principal)
        decision_header = prefix + "decision"
        return cls(
            token=token,
            headers=headers,
            header_names=frozenset((*(name for name, _ in headers), decision_header)),
            decision_header=decision_header,
            subject_hash=_subject_hash(token.principal),
            revocation_keys=keys_of(token),
        )

    @property
    def principal(self) -> Principal:
        """Whom the token speaks for."""
        return self.token.principal


def header_value(text: str) -> str:
    """A text as a header value: UTF-8 percent-encoded where it is not plain ASCII. Different texts stay different."""
    if text.isascii() and text.isprintable() and "%" not in text and text == text.strip(" "):
        return text
    inner = text.strip(" ")
    lead = "%20" * (len(text) - len(text.lstrip(" "))) if inner else "%20" * len(text)
    trail = "%20" * (len(text) - len(text.rstrip(" "))) if inner else ""
    return lead + quote(inner, safe=_VERBATIM + " ", errors="surrogatepass") + trail


def _identity_headers(prefix: str, principal: Principal) -> Headers:
    values = (
        ("subject", principal.subject),
        ("issuer", principal.issuer),
        ("organization", principal.organization),
        ("client-id", principal.client_id),
        ("scopes", " ".join(sorted(principal.scopes))),
    )
    return tuple((prefix + name, header_value(value)) for name, value in values if value)


def _subject_hash(principal: Principal) -> str:
    framed = f"{len(principal.issuer)}:{principal.issuer}{principal.subject}"
    return hashlib.sha256(framed.encode("utf-8", "surrogatepass")).hexdigest()[:16]
