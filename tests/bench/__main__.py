"""`make bench`: what one check costs. Prints a table; figures are of this machine, and of this run.

    python -m tests.bench [--quick] [--json]
    python -m tests.bench chaos                 what a bad day of Redis costs: see `chaos`
    python -m tests.bench caches                what a check costs by where its token is answered from: see `caches`
    python -m tests.bench pauses                how long a look at all objects takes: see `pauses`
    python -m tests.bench large                 what small checks notice of large ones: see `large`
    python -m tests.bench revocation            how soon a revocation counts elsewhere, and its cost: see `revocation`

Three things, in one run: the plain function (no transport), the process (start, memory), and checks per second over
grpcio on one core beside a server that answers the same bytes every time. Server and load are on a core each; rounds
alternate, so that a machine whose speed drifts spoils all rows alike.
"""

import argparse
import compileall
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import extauthz
from extauthz.demo.processes import LOOPBACK, Program, free_port, serves_grpc
from extauthz.service.asking import Finished, advance
from extauthz.service.call import Call
from extauthz.service.check.active_policy import ActivePolicy
from extauthz.service.check.procedure import check
from tests.bench import caches, chaos, large, pauses, revocation
from tests.bench.h2_load import Load, load
from tests.bench.machine import machine
from tests.bench.observing import observer
from tests.bench.typical_request import typical
from tests.support import tokens
from tests.support.http_issuer import HttpIssuer
from tests.support.served import policy_text
from tests.support.world import World, mint

SERVER_CORE, LOAD_CORE = 1, 0
SHAPES = ((1, 1), (4, 4), (16, 8))
TRACE = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")]


@dataclass(frozen=True)
class Row:
    """One figure."""

    name: str
    value: str


def plain_function(batches: int, per_batch: int) -> dict[str, float]:
    """Median microseconds of a warm allow: from `CheckRequest` bytes to `CheckResponse` bytes, told to observers."""
    world = World()
    data = typical(mint())
    call = Call(int(world.now * 1e9))
    active = ActivePolicy.of(world.policy)
    watching, close = observer(world.policy)

    def once() -> None:
        reached = advance(check(data, call, active, world.shared_state))
        if isinstance(reached, Finished):
            watching.checked(reached.value.details(call, time.time_ns()))

    def bare() -> None:
        advance(check(data, call, active, world.shared_state))

    figures = {"with telemetry": once, "decision alone": bare}
    samples: dict[str, list[float]] = {name: [] for name in figures}
    for _ in range(batches):
        for name, function in figures.items():
            samples[name].append(timed(function, per_batch))
    close()
    return {name: statistics.median(values) for name, values in samples.items()}


def timed(function: Callable[[], None], times: int) -> float:
    """Microseconds per call."""
    begin = time.perf_counter()
    for _ in range(times):
        function()
    return (time.perf_counter() - begin) / times * 1e6


def pinned(core: int) -> list[str]:
    """What puts a program on a core, where the machine can do that."""
    return ["taskset", "-c", str(core)] if shutil.which("taskset") and (os.cpu_count() or 1) > 1 else []


def serve_command(folder: Path, issuer: str, port: int) -> list[str]:
    """`extauthz serve`, on its core."""
    policy = folder / "extauthz.yaml"
    policy.write_text(policy_text(issuer))
    return [
        *pinned(SERVER_CORE),
        *(sys.executable, "-m", "extauthz", "serve", "--drain-wait=0", f"--policy={policy}"),
        *(f"--listen={LOOPBACK}:{port}", f"--admin-listen={LOOPBACK}:{free_port()}"),
    ]


def started(folder: Path, issuer: str, times: int) -> dict[str, float]:
    """Seconds from exec to SERVING, and resident MiB at that moment: medians. Compiled beforehand, as installed."""
    compileall.compile_dir(Path(extauthz.__file__).parent, quiet=1)
    ready, resident = [], []
    for number in range(times):
        port = free_port()
        program = Program(
            "extauthz",
            serve_command(folder, issuer, port),
            log=folder / f"start-{number}.log",
            ready=serves_grpc(f"{LOOPBACK}:{port}"),
        )
        begin = time.perf_counter()
        with program:
            ready.append(time.perf_counter() - begin)
            resident.append(resident_mib(program.pid))
    return {"ready": statistics.median(ready), "resident": statistics.median(resident)}


def resident_mib(pid: int) -> float:
    """VmRSS."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def throughput(folder: Path, issuer: str, rounds: int, seconds: float) -> dict[str, dict[str, list[Load]]]:
    """Loads per server and shape, rounds alternating."""
    ours, noop = free_port(), free_port()
    data = typical(tokens.mint({"scope": "weather:read"}, now=time.time()))
    servers = {
        "no-op server": (
            noop,
            [*pinned(SERVER_CORE), sys.executable, "-m", "tests.bench.noop_server", f"{LOOPBACK}:{noop}"],
        ),
        "extauthz": (ours, serve_command(folder, issuer, ours)),
    }
    results: dict[str, dict[str, list[Load]]] = {name: {} for name in servers}
    programs = [
        Program(name, command, log=folder / f"{name.replace(' ', '-')}.log", ready=serves_grpc(f"{LOOPBACK}:{port}"))
        for name, (port, command) in servers.items()
    ]
    try:
        for program in programs:
            program.__enter__()
        if pinned(LOAD_CORE):
            os.sched_setaffinity(0, {LOAD_CORE})
        for port, _ in servers.values():
            load(port, data, seconds=0.5, connections=1, streams=1, metadata=TRACE)
        for _ in range(rounds):
            for connections, streams in SHAPES:
                for name, (port, _) in servers.items():
                    one = load(port, data, seconds=seconds, connections=connections, streams=streams, metadata=TRACE)
                    results[name].setdefault(f"{connections} x {streams}", []).append(one)
    finally:
        for program in programs:
            program.stop()
    return results


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, figures accordingly")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    scale = 1 if options.quick else 4
    report: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory() as scratch, HttpIssuer() as issuer:
        issuer.answer("/jwks", body=tokens.key_set_document())
        folder = Path(scratch)
        report["plain function, warm allow (us, median)"] = plain_function(10 * scale, 500)
        report["process at start"] = started(folder, issuer.url, 2 * scale - 1)
        loads = throughput(folder, issuer.url, 1 if options.quick else 3, 1.0 if options.quick else 2.5)
        report["checks per second over grpcio, server on one core (p50 / p99 ms)"] = {
            name: {
                shape: {
                    "per_second": statistics.median(one.per_second for one in several),
                    "p50_ms": statistics.median(one.percentile_ms(0.5) for one in several),
                    "p99_ms": statistics.median(one.percentile_ms(0.99) for one in several),
                }
                for shape, several in shapes.items()
            }
            for name, shapes in loads.items()
        }
    print(json.dumps(report, indent=2) if options.json else table(report))


def table(report: dict[str, Any]) -> str:
    """For people."""
    lines = []
    for title, value in report.items():
        if not isinstance(value, dict):
            lines.append(f"{title}: {value}")
            continue
        lines += ["", title]
        for name, figure in value.items():
            if not isinstance(figure, dict):
                lines.append(f"  {name:<16} {figure:8.2f}")
                continue
            for shape, one in figure.items():
                lines.append(
                    f"  {name:<16} {shape:<8} {one['per_second']:8.0f}/s   ({one['p50_ms']:.2f} / {one['p99_ms']:.1f})"
                )
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["chaos"]:
        chaos.main(sys.argv[2:])
    elif sys.argv[1:2] == ["caches"]:
        caches.main(sys.argv[2:])
    elif sys.argv[1:2] == ["pauses"]:
        pauses.main(sys.argv[2:])
    elif sys.argv[1:2] == ["large"]:
        large.main(sys.argv[2:])
    elif sys.argv[1:2] == ["revocation"]:
        revocation.main(sys.argv[2:])
    else:
        main(sys.argv[1:])
