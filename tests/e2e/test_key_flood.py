"""Tokens with invented key ids at two real processes with one Redis: neither issuer nor good callers suffer.

The long form measures, and prints what it measured:

    python -m pytest -m long -s tests/e2e/test_key_flood.py
    chrt -r 1 python -m pytest …          on a machine that has other things to do

Both processes are on one core; Redis, issuer and load on another. Every call has its appointed time
(`tests.bench.open_loop`). Good callers come at a steady, modest rate. Short phases follow each other, each kind many
times in one run and in both orders: quiet; with tokens under invented keys, 10,000 of them in all; with as many good
tokens; with as many that are forged under a key that exists. What phases of one kind that follow each other differ by
is the noise that a difference between kinds, round by round, has to be held against.
"""

import base64
import json
import os
import re
import secrets
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import grpc
import pytest

from extauthz.demo.processes import LOOPBACK
from tests.bench.open_loop import Connection, Due, Outcome, keep_appointments
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

SERVER_CORE, LOAD_CORE = 1, 0
FLOOD = 2_500
"""Calls of one phase: 500 a second, spread evenly. Two processes on one core can carry about four times as many."""
PHASE_S = 5.0
GOOD_PER_S = 100
ROUNDS = 8
SETTLE_S = 1.0
"""After making tokens: Linux holds real-time programs (`chrt`) back for up to that when they have worked hard."""
SHARE_ALL = "cache: {shared: always}\n"
"""What the tests' policy has and the default is not."""


@pytest.fixture
def issuer() -> Iterator[HttpIssuer]:
    with HttpIssuer() as running:
        running.answer("/jwks", body=tokens.key_set_document())
        yield running


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def good_token() -> str:
    return tokens.mint({"scope": "weather:read", "jti": secrets.token_hex(8)}, now=time.time())


def invented(good: str) -> str:
    """The good token under a key id that nobody has."""
    header = json.dumps({"alg": "RS256", "kid": f"invented-{secrets.token_hex(8)}", "typ": "JWT"}).encode()
    return ".".join((encoded(header), *good.split(".")[1:]))


def forged(good: str) -> str:
    """Claims of somebody's own under a key id that exists, with a signature of noise."""
    header, _, signature = good.split(".")
    claims = tokens.claims({"scope": "weather:write", "jti": secrets.token_hex(8)}, now=time.time())
    return ".".join(
        (header, encoded(json.dumps(claims).encode()), encoded(secrets.token_bytes(len(signature) * 3 // 4)))
    )


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started meanwhile runs on this core, where there are several."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {core} if core < (os.cpu_count() or 1) > 1 else before)
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def fleet(tmp_path: Path, redis: RedisServer, policy: str) -> Iterator[tuple[Served, Served]]:
    """Two processes on a core of their own that share a Redis."""
    shared = {"EXTAUTHZ_REDIS_URL": redis.url, **SECRET}
    with on_core(SERVER_CORE):
        one = Served(tmp_path, policy, environment=shared, name="one")
        two = Served(tmp_path, policy, environment=shared, name="two")
        one.program.start()
        two.program.start()
    try:
        one.program.wait_until_ready()
        two.program.wait_until_ready()
        yield one, two
    finally:
        one.program.stop()
        two.program.stop()


def test_a_flood_of_invented_keys_costs_one_fetch_and_no_good_caller(tmp_path: Path, issuer: HttpIssuer) -> None:
    good = good_token()
    request = check_request(token=good)
    with (
        RedisServer(tmp_path) as redis,
        fleet(tmp_path, redis, policy_text(issuer.url)) as (one, two),
        grpc.insecure_channel(f"{LOOPBACK}:{one.port}") as first,
        grpc.insecure_channel(f"{LOOPBACK}:{two.port}") as second,
    ):
        asks = [channel.unary_unary(METHOD) for channel in (first, second)]
        for ask in asks:
            assert seen(ask(request, timeout=WITHIN_S)).allowed
        before, began, asked = issuer.count("/jwks"), time.monotonic(), commands(redis)
        for _ in range(20):
            calls = [asks[n % 2].future(check_request(token=invented(good)), timeout=WITHIN_S) for n in range(AT_ONCE)]
            assert all(seen(ask(request, timeout=WITHIN_S)).allowed for ask in asks)
            assert {seen(call.result()).status for call in calls} <= {401, 503}
        windows = 1 + int((time.monotonic() - began) / WINDOW_S)
        assert issuer.count("/jwks") - before <= windows
        # The store is asked for a newer key set, and for what goes on without tokens; nothing about any token.
        assert commands(redis) - asked < 20 * AT_ONCE // 2


def commands(redis: RedisServer) -> int:
    """How many commands Redis has been given since it started."""
    found = re.search(r"total_commands_processed:(\d+)", redis.command("INFO", "stats").decode())
    assert found is not None
    return int(found[1])


def cpu_s(pid: int) -> float:
    """What a process has used of its core so far (proc(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Phase:
    """One phase as the good callers had it, and what it cost the two processes and Redis."""

    kind: str
    median_ms: float
    p99_ms: float
    late_p99_ms: float
    cpu_s: float
    looked_up: int


REQUESTS: dict[str, Callable[[str], list[bytes]]] = {
    "quiet": lambda _: [],
    "invented kids": lambda good: [check_request(token=invented(good)) for _ in range(FLOOD)],
    "good tokens": lambda good: [check_request(token=good)] * FLOOD,
    "forged tokens": lambda good: [check_request(token=forged(good)) for _ in range(FLOOD)],
}
REASONS = {"invented kids": "token_key_unknown", "good tokens": "allowed", "forged tokens": "token_signature"}


def appointments(callers: bytes, flood: Sequence[bytes]) -> list[Due]:
    """Good callers evenly over the phase, and the flood evenly between them, each to both servers in turn."""
    number = int(GOOD_PER_S * PHASE_S)
    calls = [Due((n + 0.5) / GOOD_PER_S, n % 2, callers, "caller") for n in range(number)]
    calls += [Due(n * PHASE_S / len(flood), n % 2, request, "flood") for n, request in enumerate(flood)]
    return sorted(calls, key=lambda call: call.at_s)


def judged(outcome: Outcome) -> Counter[str]:
    return Counter(seen(answer).reason for answer in outcome.answers)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_what_floods_of_ten_thousand_and_more_do_to_good_callers(tmp_path: Path, issuer: HttpIssuer) -> None:
    kinds = list(REQUESTS)
    phases: defaultdict[str, list[Phase]] = defaultdict(list)
    usual = policy_text(issuer.url).replace(SHARE_ALL, "")
    with on_core(LOAD_CORE), RedisServer(tmp_path) as redis, fleet(tmp_path, redis, usual) as both:
        connections = [Connection(served.port) for served in both]
        before, began = 0, 0.0
        for number in range(ROUNDS + 1):
            for kind in kinds if number % 2 else reversed(kinds):
                # The first round is for warming up: interpreter, connections, memories.
                good = good_token()
                callers, flood = check_request(token=good), REQUESTS[kind](good)
                time.sleep(SETTLE_S)
                keep_appointments(connections, [Due(0.0, server, callers, "first") for server in (0, 1)])
                asked, used = commands(redis), sum(cpu_s(served.program.pid) for served in both)
                if number == 1 and kind == kinds[0]:
                    before, began = issuer.count("/jwks"), time.monotonic()
                outcomes = keep_appointments(connections, appointments(callers, flood))
                used = sum(cpu_s(served.program.pid) for served in both) - used
                caller = outcomes["caller"]
                assert judged(caller) == {"allowed": int(GOOD_PER_S * PHASE_S)}
                if flood:
                    assert judged(outcomes["flood"]) == {REASONS[kind]: FLOOD}
                if number:
                    looked_up = commands(redis) - asked
                    late = Outcome(caller.late_s).percentile_ms(0.99)
                    phases[kind].append(
                        Phase(kind, caller.percentile_ms(0.5), caller.percentile_ms(0.99), late, used, looked_up)
                    )
        took_s = time.monotonic() - began
        fetches, windows = issuer.count("/jwks") - before, 1 + int(took_s / WINDOW_S)
        for connection in connections:
            connection.sock.close()
    print(report(phases))
    print(f"fetches of the fleet in {took_s:.0f} s: {fetches}, of {windows} allowed")
    assert fetches <= windows


def report(phases: dict[str, list[Phase]]) -> str:
    """The figures of each kind, and what differs by more than noise."""
    lines = [
        "",
        f"good callers {GOOD_PER_S}/s; floods {FLOOD / PHASE_S:g}/s, {FLOOD * ROUNDS} calls of each kind",
        "medians of phases  median ms  p99 ms  noise   late  CPU us/call  Redis/call",
    ]
    quiet_s = statistics.median(phase.cpu_s for phase in phases["quiet"])
    without_flood = statistics.median(phase.looked_up for phase in phases["quiet"])
    noises = {kind: neighbours_differ_by([phase.p99_ms for phase in each]) for kind, each in phases.items()}
    for kind, each in phases.items():
        median, p99 = (
            statistics.median(values) for values in zip(*((x.median_ms, x.p99_ms) for x in each), strict=True)
        )
        late = statistics.median(phase.late_p99_ms for phase in each)
        costs = (statistics.median(phase.cpu_s for phase in each) - quiet_s) / FLOOD * 1e6
        redis = (statistics.median(phase.looked_up for phase in each) - without_flood) / FLOOD
        lines.append(f"{kind:18} {median:9.2f} {p99:7.2f} {noises[kind]:6.2f} {late:6.2f} {costs:12.0f} {redis:11.2f}")
    for kind in ("invented kids", "forged tokens"):
        for other in ("good tokens", "quiet"):
            changes = [one.p99_ms - its.p99_ms for one, its in zip(phases[kind], phases[other], strict=True)]
            change, noise = statistics.median(changes), max(noises[kind], noises[other])
            verdict = "within the noise" if abs(change) <= noise else "more than the noise"
            by_round = " ".join(f"{one:+.2f}" for one in changes)
            lines.append(f"p99 with {kind} against {other}: {change:+.2f} ms, {verdict} of {noise:.2f} ms ({by_round})")
    return "\n".join(lines)


def neighbours_differ_by(values: Sequence[float]) -> float:
    """The median difference between phases of one kind that follow each other."""
    return statistics.median(abs(one - other) for one, other in pairwise(values))
