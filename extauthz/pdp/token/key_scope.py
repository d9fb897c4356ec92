"""Whose keys a key set holds. At Casdoor this decides whether `organizations` keeps other tenants out (casdoor.md §4).

    …/.well-known/jwks                  every key of the instance; the admin of any organization can add one
    …/.well-known/<application>/jwks    the application's own key, where it has a certificate of its own

A token is believed for the key that signed it. With the first set an admin of one organization can sign a token that
says `owner` of another, so that `organizations` says only what the signer wrote.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final, assert_never

from extauthz.pdp.policy import Issuer
from extauthz.pdp.token.jwks import KeySet

_CASDOOR: Final = "casdoor"
"""The only profile whose instance lets tenants add signing keys."""
_APPLICATION_SET: Final = re.compile(r"https?://[^?#]*/\.well-known/([^/?#]+)/jwks(?:\?[^#]*)?")

OWN_KEYS_OF_ONE_APPLICATION: Final = 1
"""Casdoor serves one key for an application with a certificate. More of them are the keys of every organization: what
it serves for an application without one (casdoor.md §4)."""


class KeyScope(StrEnum):
    """Who can have put a key into the set that an issuer's tokens are checked with."""

    ISSUER = "issuer"
    """The issuer alone."""
    APPLICATION = "application"
    """The admins of Casdoor itself: the set is one application's own."""
    INSTANCE = "instance"
    """The admin of any organization of the Casdoor instance."""


def application_of(jwks_uri: str) -> str:
    """The Casdoor application whose own key set this is; empty for any other URL."""
    found = _APPLICATION_SET.fullmatch(jwks_uri)
    return "" if found is None else found[1]


def key_scope(profile: str, jwks_uri: str) -> KeyScope:
    """Whose keys are behind `jwks_uri`. Empty (discovery): Casdoor's own document names the set of the instance."""
    if profile != _CASDOOR:
        return KeyScope.ISSUER
    return KeyScope.APPLICATION if application_of(jwks_uri) else KeyScope.INSTANCE


def holds_more_than_own_keys(issuer: Issuer, url: str, key_set: KeySet) -> bool:
    """Whether what the own path of an application served can be signed with by others than its certificate's owner."""
    return (
        not issuer.shared_keys
        and key_scope(issuer.profile, url) is KeyScope.APPLICATION
        and len(key_set.keys) + len(key_set.ignored) > OWN_KEYS_OF_ONE_APPLICATION
    )


def signed_by_any_tenant(issuers: Iterable[Issuer]) -> tuple[Issuer, ...]:
    """The issuers that list organizations while any organization of the instance can sign for them, unaccepted."""
    return tuple(
        issuer
        for issuer in issuers
        if issuer.organizations
        and not issuer.shared_keys
        and key_scope(issuer.profile, issuer.jwks_uri) is KeyScope.INSTANCE
    )


def describe_keys(issuer: Issuer) -> str:
    """Which key set vouches for this issuer's tokens, in words for people."""
    match key_scope(issuer.profile, issuer.jwks_uri):
        case KeyScope.ISSUER:
            return f"the key set of issuer {issuer.name}, {issuer.jwks_uri or 'from discovery'}"
        case KeyScope.APPLICATION:
            return f"the key set of application {application_of(issuer.jwks_uri)}, {issuer.jwks_uri}"
        case KeyScope.INSTANCE:
            accepted = " (accepted: shared_keys)" if issuer.shared_keys else ""
            where = issuer.jwks_uri or "from discovery"
            return f"the key set of every organization of the instance{accepted}, {where}"
        case scope:
            assert_never(scope)
