"""`make bench ARGS=revocation`: how soon a revocation counts elsewhere, and what a list of them costs.

    python -m tests.bench.revocation [--quick] [--json]

Spreading: two `extauthz serve` processes and a Valkey on loopback. One is told to revoke, over its admin port; the
other is asked without a pause until it refuses. Milliseconds, from before the order is sent.

The list: as many subjects as a process holds, or a tenth with `--quick`. Microseconds of a check of somebody else;
seconds until the list is in Redis, and until another process has it from there.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
import timeit
import tracemalloc
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import grpc
import httpx

from extauthz.demo.processes import LOOPBACK
from extauthz.pdp.policy import WhenStale
from extauthz.pdp.principal import VerifiedToken
from extauthz.pdp.revocation.revocation import keys_of
from extauthz.service.revocation.revocation_sharing import WHOLE_EVERY_S
from extauthz.service.revocation.revocations import MAX_REVOCATIONS, Revocations
from tests.bench.machine import machine
from tests.support.checks import check_request, seen
from tests.support.http_issuer import HttpIssuer
from tests.support.redis_server import RedisServer
from tests.support.revocation_fleet import fleet
from tests.support.revocations import revocation
from tests.support.served import METHOD, Served, policy_text
from tests.support.tokens import NOW, key_set_document, mint
from tests.support.world import World

ADMIN_TOKEN: Final = "admin-token-of-the-bench-0123456"
TIMED: Final = 50_000


def spreading(folder: Path, times: int) -> dict[str, float]:
    """Milliseconds until the other process refuses."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder))
        issuer = stack.enter_context(HttpIssuer())
        issuer.answer("/jwks", body=key_set_document())
        environment = {
            "EXTAUTHZ_REDIS_URL": redis.url,
            "EXTAUTHZ_CACHE_SECRET": "c" * 64,
            "EXTAUTHZ_ADMIN_TOKEN": ADMIN_TOKEN,
        }
        told, other = (
            stack.enter_context(Served(folder, policy_text(issuer.url), environment=environment, name=name))
            for name in ("told", "other")
        )
        admin = stack.enter_context(httpx.Client(headers={"authorization": f"Bearer {ADMIN_TOKEN}"}))
        channel = stack.enter_context(grpc.insecure_channel(f"{LOOPBACK}:{other.port}"))
        call = channel.unary_unary(METHOD)
        until = []
        for number in range(times):
            claims = {"scope": "weather:read", "sub": f"user-{number}"}
            check = check_request(token=mint(claims, now=time.time() - 10))
            assert seen(call(check)).allowed
            began = time.perf_counter()
            order = {"by": "subject", "value": f"user-{number}"}
            admin.post(f"http://{LOOPBACK}:{told.admin_port}/revocations", json=order).raise_for_status()
            while seen(call(check)).allowed:
                pass
            until.append((time.perf_counter() - began) * 1e3)
    return {"least": min(until), "median": statistics.median(until), "most": max(until)}


def checking(count: int) -> dict[str, float]:
    """Microseconds that the list adds to a check of somebody else, and its megabytes."""
    principal = World().check(check_request(token=mint({"scope": "weather:read"}))).principal
    assert principal is not None
    keys = keys_of(
        VerifiedToken(principal=principal, issued_at=NOW, expires_at=NOW + 1, token_id="1", digests=(b"d" * 32,))
    )
    tracemalloc.start()
    long = Revocations()
    long.add([revocation(value=f"a0170273-317f-4cd1-bbd2-{number:012}") for number in range(count)], NOW)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    empty = Revocations()

    def look() -> bool:
        return NOW >= empty.look_from

    def search() -> None:
        long.refuse(keys, NOW, WhenStale.ALLOW, NOW)

    return {
        "empty list, us": min(timeit.repeat(look, number=TIMED, repeat=5)) / TIMED * 1e6,
        "long list, us": min(timeit.repeat(search, number=TIMED, repeat=5)) / TIMED * 1e6,
        "long list, MB": size / 1e6,
    }


def sharing(url: str, count: int) -> dict[str, float]:
    """Seconds until a list is in Redis, until another process has it, and of a whole look at it."""

    async def main() -> dict[str, float]:
        async with fleet(url) as (one, two):
            items = [revocation(value=f"user-{number}") for number in range(count)]
            times = [time.perf_counter()]
            assert await one.revoke(*items)
            times.append(time.perf_counter())
            assert await two.round() == ""
            times.append(time.perf_counter())
            assert len(two.known) == count
            two.clock.now += WHOLE_EVERY_S
            assert await two.round() == ""
            times.append(time.perf_counter())
            written, learnt, looked = (after - before for before, after in itertools.pairwise(times))
            return {"written, s": written, "learnt, s": learnt, "whole look, s": looked}

    return asyncio.run(main())


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=revocation")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, figures accordingly")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    share = 10 if options.quick else 1
    count = MAX_REVOCATIONS // share
    with tempfile.TemporaryDirectory() as scratch:
        report: dict[str, Any] = {"machine": machine(), "items": count}
        report["spreading, ms"] = spreading(Path(scratch), 100 // share)
        report["checking"] = checking(count)
        place = Path(scratch) / "r"
        place.mkdir()
        with RedisServer(place) as redis:
            report["sharing"] = sharing(redis.url, count)
    print(json.dumps(report, indent=2) if options.json else table(report))


def table(report: dict[str, Any]) -> str:
    """For people."""
    lines = [f"machine: {report['machine']}", f"items: {report['items']:,}"]
    for name, figures in report.items():
        if isinstance(figures, dict):
            lines += ["", name, *(f"  {each:<16}{value:>10.3f}" for each, value in figures.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
