"""The protected resource metadata document (RFC 9728 §2; MCP 2026-07-28, Authorization Server Location).

Envoy serves these bytes as a direct response at `Resource.metadata_path`; nobody asks the service for them. A browser
or SDK client builds its whole authorization on this document, so it says only what the policy file says.
"""

import json
from typing import Any, Final

from extauthz.pdp.policy import Resource

REFRESH_SCOPE: Final = "offline_access"
"""Never published: it is between client and authorization server (MCP 2026-07-28, Refresh Tokens)."""


def metadata_document(resource: Resource) -> dict[str, Any]:
    """The members of the document, of those that RFC 9728 §2 defines.

    `scopes_supported` are the baseline scopes, not all scopes: a client whose challenge named no scope asks for
    everything listed here, so MCP wants the minimal set for basic use, and a step-up challenge names the rest when a
    call needs it. A member without values is left out (RFC 9728 §3.2).

    Raises ValueError for a resource without issuers: MCP demands at least one authorization server, and the policy
    loader does not make such a resource.
    """
    servers = tuple(dict.fromkeys(issuer.issuer for issuer in resource.issuers))
    if not servers:
        raise ValueError(f"resource {resource.name!r} has no issuer: give it at least one under `issuers`")
    scopes = tuple(dict.fromkeys(scope for scope in resource.baseline if scope != REFRESH_SCOPE))
    document: dict[str, Any] = {
        "resource": resource.uri,
        "authorization_servers": list(servers),  # guard: issuer-named
        "bearer_methods_supported": ["header"],
        "resource_name": resource.name,
    }
    if scopes:
        document["scopes_supported"] = list(scopes)
    return document


def metadata_bytes(resource: Resource) -> bytes:
    """The document as it is served: compact, members sorted, pure ASCII, the same bytes for the same policy."""
    return json.dumps(metadata_document(resource), sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
