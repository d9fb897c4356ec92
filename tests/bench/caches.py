"""`make bench ARGS=caches`: what a check costs by where its token is answered from.

    python -m tests.bench.caches [--quick] [--json]

For each kind of signature, and for introspection on top of one: the first check of a token that nobody knows (verified,
and introspected where that is on), with and without asking a shared store in vain; the first check of a token that
another process has put into the store; and a check that this process's memory answers. Valkey and the introspecting
issuer are processes of their own on loopback: the least that a network can cost.

Two figures each: microseconds until the answer (the lower quartile: what it takes when no neighbour is in the way), and
microseconds of this process's CPU per check, everything included (the loop that waits, and what is written for others
after the answer).
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from extauthz.adapters.blocking_shell import BlockingShell
from extauthz.adapters.io_loop import IoLoop
from extauthz.adapters.issuers.discovery import Discovery
from extauthz.adapters.issuers.introspection import IntrospectionHttp
from extauthz.adapters.issuers.key_sets import IssuerHttp
from extauthz.adapters.redis.store import RedisStore, connect
from extauthz.demo.processes import LOOPBACK, Program, accepts_tcp, free_port
from extauthz.pdp.policy import CacheTerms, Introspection, Policy, Sharing
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.call import Call
from extauthz.service.check.active_policy import ActivePolicy
from extauthz.service.check.resolver import NeedResolver
from extauthz.service.keys.key_service import KeyService
from tests.bench.machine import machine
from tests.bench.observing import observer
from tests.bench.typical_request import typical
from tests.support import tokens
from tests.support.checks import seen
from tests.support.policies import policy
from tests.support.redis_server import RedisServer
from tests.support.world import CASDOOR, World, mint, weather

SECRET: Final = b"0123456789abcdef0123456789abcdef"
SETTLE_S: Final = 0.3
"""For what is written after the last answer."""
WARM_UP: Final = 20
GENEROUS_S: Final = 2.0
"""Deadline of the store here: a slow answer is measured, not given up."""
KINDS: Final = {
    "RS256, RSA-2048": ("RS256", False),
    "RS512, RSA-4096": ("RS512", False),
    "ES256, P-256": ("ES256", False),
    "RS256 and introspection": ("RS256", True),
}


class Process:
    """One process's way of answering: memories of its own, the real shell, loop, store and issuer's client."""

    def __init__(self, terms: Policy, loop: IoLoop, store: RedisStore | None) -> None:
        signer = None if store is None else Signer([SECRET])
        self.world = World(policy=terms, now=time.time(), signer=signer)
        self.reading_us = reading_us()
        """What this benchmark itself spends on reading an answer."""
        watching, self.close = observer(terms)
        fetcher = IssuerHttp(clock=time.monotonic)
        keys = KeyService(
            ring=self.world.shared_state.ring,
            fetcher=fetcher,
            store=None,
            signer=None,
            observer=watching,
            clock=time.time,
            random=lambda: 0.0,
        )
        self.need_resolver = NeedResolver(
            keys=keys,
            store=store,
            signer=signer,
            introspector=IntrospectionHttp(discovery=Discovery(clock=time.monotonic), clock=time.monotonic),
            observer=watching,
            clock=time.time,
        )
        self.shell = BlockingShell(
            active=ActivePolicy.of(terms),
            shared_state=self.world.shared_state,
            need_resolver=self.need_resolver,
            loop=loop,
            observer=watching,
            clock_ns=time.time_ns,
            slots=_Seat(),
        )

    def measure(self, requests: Sequence[bytes], cache: str) -> dict[str, float]:
        """Microseconds until the answer, and of CPU until everything is done, writes included."""
        took = []
        cpu = time.process_time()
        for data in requests:
            begin = time.perf_counter()
            response = self.shell.answer(data, Call(time.time_ns()))
            took.append((time.perf_counter() - begin) * 1e6)
            answer = seen(response)
            assert (answer.allowed, answer.metadata["cache"]) == (True, cache), answer
        time.sleep(SETTLE_S)
        return {
            "answer": statistics.quantiles(took, n=4)[0],
            "cpu": (time.process_time() - cpu) / len(requests) * 1e6 - self.reading_us,
        }


class _Seat:
    """Room for the one check that is under way."""

    def take_slot(self) -> bool:
        return True

    def leave_slot(self) -> None: ...


def reading_us() -> float:
    """CPU microseconds that reading one answer takes."""
    world = World()
    response = world.check(typical(mint())).response
    cpu = time.process_time()
    for _ in range(200):
        seen(response)
    return (time.process_time() - cpu) / 200 * 1e6


def requests_of(algorithm: str, count: int) -> list[bytes]:
    """Checks with a new token each."""
    now = time.time()
    made = []
    for number in range(count):
        claims = {"scope": "weather:read", "jti": f"{algorithm}-{number}"}
        made.append(typical(tokens.mint(claims, alg=algorithm, now=now)))
    return made


def policies(introspect: str) -> tuple[Policy, Policy]:
    """One that shares no decision, one that shares all; with introspection where an endpoint is given."""
    introspection = Introspection(client_id="gw", client_secret="secret", endpoint=introspect)
    issuer = replace(CASDOOR, introspection=introspection if introspect else None)
    alone, shared = (
        policy(weather(issuers=(issuer,)), cache=CacheTerms(shared=each)) for each in (Sharing.NEVER, Sharing.ALWAYS)
    )
    return alone, shared


def rows(algorithm: str, introspect: str, redis: RedisServer, loop: IoLoop, count: int) -> dict[str, dict[str, float]]:
    """The figures of one kind of token."""
    alone_policy, shared_policy = policies(introspect)
    requests = requests_of(algorithm, count + WARM_UP)
    warm_up, measured = requests[:WARM_UP], requests[WARM_UP:]
    redis.command("FLUSHALL")
    stores = [connect(redis.url, clock=time.monotonic, deadline_s=GENEROUS_S) for _ in range(2)]
    alone, first, second = (
        Process(alone_policy, loop, None),
        Process(shared_policy, loop, stores[0]),
        Process(shared_policy, loop, stores[1]),
    )
    figures = {}
    for name, process, cache in (
        ("nobody knows it", alone, "none"),
        ("nobody, store asked", first, "none"),
        ("the store (L2)", second, "redis"),
        ("memory (L1)", alone, "memory"),
    ):
        process.measure(warm_up, cache)
        figures[name] = process.measure(measured, cache)
    for process in (alone, first, second):
        process.close()
    for store in stores:
        loop.submit(store.close()).result(GENEROUS_S)
    return figures


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=caches")
    parser.add_argument("--quick", action="store_true", help="a tenth of the checks, figures accordingly")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    count = 50 if options.quick else 500
    report: dict[str, Any] = {"machine": machine()}
    loop = IoLoop()
    loop.start()
    port = free_port()
    with tempfile.TemporaryDirectory() as scratch, RedisServer(Path(scratch)) as redis:
        command = [sys.executable, "-m", "tests.bench.introspecting", str(port)]
        log = Path(scratch) / "introspecting.log"
        with Program("introspecting", command, log=log, ready=accepts_tcp(port)):
            for kind, (algorithm, introspects) in KINDS.items():
                endpoint = f"http://{LOOPBACK}:{port}/introspect" if introspects else ""
                report[kind] = rows(algorithm, endpoint, redis, loop, count)
    loop.stop()
    print(json.dumps(report, indent=2) if options.json else table(report))


def _cell(figures: dict[str, float]) -> str:
    return f"{figures['answer']:.0f} ({figures['cpu']:.0f})"


def table(report: dict[str, Any]) -> str:
    """For people."""
    lines = [f"machine: {report['machine']}", "", f"{'answered by, us (of CPU)':<26}"]
    kinds = [kind for kind in report if kind != "machine"]
    lines[-1] += "".join(f"{kind:>26}" for kind in kinds)
    for name in report[kinds[0]]:
        cells = (report[kind][name] for kind in kinds)
        lines.append(f"{name:<26}" + "".join(f"{_cell(cell):>26}" for cell in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
