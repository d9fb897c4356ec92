"""Demo issuers for tests: one shared, one's own, and a connection to the shared one."""

from collections.abc import Iterator

import httpx
import pytest

from extauthz.demo.issuer import DemoIssuer, demo_realm


@pytest.fixture(scope="session")
def shared_issuer() -> Iterator[DemoIssuer]:
    """For tests that leave its keys and its answers alone."""
    with DemoIssuer(demo_realm("ES256")) as issuer:
        yield issuer


@pytest.fixture
def own_issuer() -> Iterator[DemoIssuer]:
    """For tests that change keys, make it fail, or stop it."""
    with DemoIssuer(demo_realm("ES256")) as issuer:
        yield issuer


@pytest.fixture
def http(shared_issuer: DemoIssuer) -> Iterator[httpx.Client]:
    """A connection to the shared issuer."""
    with httpx.Client(base_url=shared_issuer.url, trust_env=False) as client:
        yield client
