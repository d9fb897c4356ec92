"""What is said about issuers whose tokens any tenant can sign: once for each, when a policy makes it so."""

import logging

import pytest

from extauthz.pdp.policy import Issuer
from extauthz.runtime.key_warnings import tell_of_shared_keys
from tests.support import tokens

OWN = tokens.issuer(jwks_uri=f"{tokens.ISSUER}/.well-known/app-mcp/jwks")
SHARED = tokens.issuer()
DISCOVERED = tokens.issuer(jwks_uri="")
OTHER = tokens.issuer(name="other", issuer="https://other.example.com")


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ((), (OWN,), []),
        ((), (SHARED,), [SHARED]),
        ((), (SHARED, OTHER), [SHARED, OTHER]),
        ((SHARED,), (SHARED,), []),
        ((SHARED,), (SHARED, OTHER), [OTHER]),
        ((OWN,), (DISCOVERED,), [DISCOVERED]),
        ((DISCOVERED,), (SHARED,), [SHARED]),
        ((SHARED,), (tokens.issuer(shared_keys=True),), []),
        ((tokens.issuer(shared_keys=True),), (SHARED,), [SHARED]),
    ],
)
def test_each_is_told_when_it_becomes_so(
    caplog: pytest.LogCaptureFixture, before: tuple[Issuer, ...], now: tuple[Issuer, ...], told: list[Issuer]
) -> None:
    with caplog.at_level(logging.WARNING):
        tell_of_shared_keys(now, before)
    assert [record.getMessage().split()[1] for record in caplog.records] == [issuer.name for issuer in told]
    for record, issuer in zip(caplog.records, told, strict=True):
        assert f"set jwks_uri to {issuer.issuer}/.well-known/<application>/jwks" in record.getMessage()
        assert (issuer.jwks_uri or "discovery") in record.getMessage()
