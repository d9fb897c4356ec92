"""How a Redis URL is read; what the store does is in tests/contract, over a real server."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from extauthz.adapters.redis.store import RedisStore, connect


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6380/3",
        "redis://user:p%40ss@localhost:6379/0?protocol=3",
        "rediss://redis.example.com:6380",
        "unix:///run/redis.sock?db=2",
        "redis://[::1]:6379",
    ],
)
def test_a_good_url_makes_a_store_without_connecting(url: str) -> None:
    assert isinstance(connect(url, clock=time.monotonic), RedisStore)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://localhost", "must begin with redis://"),
        ("localhost:6379", "must begin with redis://"),
        ("", "must begin with redis://"),
        ("redis://localhost:port", "cannot be read"),
        ("redis://localhost/sessions", "cannot be read"),
        ("redis://user:TOP#SECRET@localhost:6379", "cannot be read"),
        ("redis://localhost?protocol=x", "cannot be read"),
        ("redis://localhost?socket_timeout=60", "'socket_timeout'"),
        ("redis://localhost?retry_on_timeout=true&max_connections=9999", "'max_connections', 'retry_on_timeout'"),
        ("rediss://localhost?ssl_cert_reqs=none", "'ssl_cert_reqs'"),
        ("rediss://localhost?ssl_ca_certs=/nowhere/ca.pem", "a file in ssl_ca_certs"),
    ],
)
def test_a_bad_url_is_refused_with_a_message_that_helps_and_shows_no_secret(url: str, says: str) -> None:
    with pytest.raises(ValueError, match="Redis URL") as caught:
        connect(url, clock=time.monotonic)
    assert says in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_importing_the_module_imports_no_client() -> None:
    """redis and httpx take 0.3 s each: a service that does not use them must not pay."""
    names = ("redis.store", "issuers.key_sets", "issuers.introspection")
    modules = ", ".join(f"extauthz.adapters.{name}" for name in names)
    code = f"import sys, {modules}; sys.exit(1 if {{'redis', 'httpx'}} & set(sys.modules) else 0)"
    root = Path(__file__).parents[4]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False, timeout=60).returncode == 0
