"""Names of clients: DNS names and URIs of which a client's certificate must have one (RFC 5280 §4.2.1.6)."""

import re
from typing import Final

from extauthz.config.policy_file.fault import Problem
from extauthz.pdp.quoting import quoted

MAX_CLIENT_NAMES: Final = 64
"""Proxies have a handful of identities; a longer list is a list of something else."""

_DNS_NAME: Final = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_][a-z0-9_-]{0,62})*")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}:[!-~]{1,2015}")  # 2,048 characters, as SPIFFE has it


def client_names_of(text: str) -> frozenset[str] | Problem:
    """Read `envoy.edge.svc, spiffe://acme/ns/edge/sa/envoy`. DNS names come back in lower case."""
    entries = [entry.strip() for entry in text.split(",")]
    if len(entries) > MAX_CLIENT_NAMES:
        return Problem(f"{len(entries)} names; at most {MAX_CLIENT_NAMES} are allowed", "list the proxies' own names")
    names = set()
    for entry in entries:
        name = entry if ":" in entry else entry.lower()
        if not (_URI if ":" in entry else _DNS_NAME).fullmatch(name):
            return Problem(
                f"{quoted(entry)} is not a DNS name or a URI",
                "write whole names without wildcards, as envoy.edge.svc or spiffe://acme.example/ns/edge/sa/envoy",
            )
        names.add(name)
    return frozenset(names)
