"""Tokens with invented key ids at two real processes with one Redis: neither issuer nor good callers suffer."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from extauthz.demo.processes import LOOPBACK
from tests.support import tokens
from tests.support.checks import check_request, seen
from tests.support.http_issuer import HttpIssuer
from tests.support.redis_server import RedisServer
from tests.support.served import METHOD, Served, policy_text

pytestmark = pytest.mark.e2e

SECRET = {"EXTAUTHZ_CACHE_SECRET": "0123456789abcdef0123456789abcdef"}
WINDOW_S = 30
"""Within it, tokens can cause one fetch for the whole fleet."""
AT_ONCE = 32
WITHIN_S = 20.0


@pytest.fixture
def issuer() -> Iterator[HttpIssuer]:
    with HttpIssuer() as running:
        running.answer("/jwks", body=tokens.key_set_document())
        yield running


def invented(number: int, good: str) -> str:
    """The good token under a key id that nobody has."""
    header = json.dumps({"alg": "RS256", "kid": f"invented-{number}", "typ": "JWT"}).encode()
    return ".".join((base64.urlsafe_b64encode(header).rstrip(b"=").decode(), *good.split(".")[1:]))


def flood(tmp_path: Path, issuer: HttpIssuer, total: int, *, bad: bool = True) -> list[float]:
    """Send the flood to both processes, and a good token among every few. Returns what the good ones took (s).

    Without `bad` the flood is of good tokens: what the same load does to a caller when nobody means harm.
    """
    good = tokens.mint({"scope": "weather:read"}, now=time.time())
    request = check_request(token=good)
    took: list[float] = []
    with RedisServer(tmp_path) as redis:
        shared = {"EXTAUTHZ_REDIS_URL": redis.url, **SECRET}
        policy = policy_text(issuer.url)
        with (
            Served(tmp_path, policy, environment=shared, name="one") as one,
            Served(tmp_path, policy, environment=shared, name="two") as two,
            grpc.insecure_channel(f"{LOOPBACK}:{one.port}") as first,
            grpc.insecure_channel(f"{LOOPBACK}:{two.port}") as second,
        ):
            asks = [channel.unary_unary(METHOD) for channel in (first, second)]
            for ask in asks:
                assert seen(ask(request, timeout=WITHIN_S)).allowed
            before, began = issuer.count("/jwks"), time.monotonic()
            for start in range(0, total, AT_ONCE):
                numbers = range(start, min(start + AT_ONCE, total))
                calls = [
                    asks[number % 2].future(
                        check_request(token=invented(number, good) if bad else good), timeout=WITHIN_S
                    )
                    for number in numbers
                ]
                for ask in asks:
                    sent = time.perf_counter()
                    assert seen(ask(request, timeout=WITHIN_S)).allowed
                    took.append(time.perf_counter() - sent)
                assert {seen(call.result()).status for call in calls} <= ({401, 503} if bad else {0})
            windows = 1 + int((time.monotonic() - began) / WINDOW_S)
            assert issuer.count("/jwks") - before <= windows
    return took


def test_a_flood_of_invented_keys_costs_one_fetch_and_no_good_caller(tmp_path: Path, issuer: HttpIssuer) -> None:
    flood(tmp_path, issuer, 600)


@pytest.mark.long
def test_a_flood_of_ten_thousand(tmp_path: Path, issuer: HttpIssuer) -> None:
    for bad in (False, True):
        folder = tmp_path / str(bad)
        folder.mkdir()
        took = sorted(flood(folder, issuer, 10_000, bad=bad))
        figures = f"median {took[len(took) // 2] * 1000:.2f} ms, p99 {took[len(took) * 99 // 100] * 1000:.2f} ms"
        print(f"good callers among 10,000 {'invented keys' if bad else 'good tokens'}: {figures}")
