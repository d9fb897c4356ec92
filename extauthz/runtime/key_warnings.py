"""What is said, once, about issuers whose tokens any organization of a Casdoor instance can sign."""

import logging
from collections.abc import Iterable

from extauthz.pdp.policy import Issuer
from extauthz.pdp.quoting import quoted
from extauthz.pdp.token.key_scope import signed_by_any_tenant

_log = logging.getLogger("extauthz.policy")


def tell_of_shared_keys(issuers: Iterable[Issuer], before: Iterable[Issuer] = ()) -> None:
    """One line for each issuer of a policy that comes into force; none for those that were so in the one before."""
    told = {(issuer.issuer, issuer.jwks_uri) for issuer in signed_by_any_tenant(before)}
    for issuer in signed_by_any_tenant(issuers):
        if (issuer.issuer, issuer.jwks_uri) not in told:
            _log.warning(
                "issuer %s takes its keys from %s, which is not one application's own key set: an admin of any "
                "organization of that Casdoor can sign for it; set jwks_uri to "
                "%s/.well-known/<application>/jwks, or accept it with shared_keys: true",
                issuer.name,
                quoted(issuer.jwks_uri) if issuer.jwks_uri else "discovery",
                issuer.issuer.rstrip("/"),
            )
