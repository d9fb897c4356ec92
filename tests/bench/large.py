"""What small checks notice of large ones: latencies in quiet, and with one large check every 50 ms.

python -m tests.bench large [--seconds N]

Small checks come at appointed times (`open_loop`), large ones from a process of their own, without waiting for answers.
Phases alternate, so that a machine whose speed drifts spoils all rows alike.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import grpc

from extauthz.demo.processes import LOOPBACK, Program, free_port, serves_grpc
from tests.bench.machine import machine
from tests.bench.open_loop import CHECK, Connection, Due, Outcome, keep_appointments
from tests.bench.typical_request import typical
from tests.support import tokens
from tests.support.checks import check_request, message, seen
from tests.support.http_issuer import HttpIssuer
from tests.support.served import policy_text

PER_SECOND: Final = 200
LARGE_EVERY_S: Final = 0.05
LARGE_BYTES: Final = 1_600_000
ROUNDS: Final = 3


def plain() -> bytes:
    """One argument that is a long text."""
    return message(params={"name": "get_forecast", "arguments": {"text": "x" * LARGE_BYTES}})


def late_duplicate() -> bytes:
    """Many objects, and a member that comes twice at the very end: what takes longest to read."""
    objects = b",".join(b'"member %d":{"a":1}' % number for number in range(30_000))
    padding = b"x" * (LARGE_BYTES - len(objects))
    arguments = b"{" + objects + b',"text":"' + padding + b'","member 1":1}'
    return message(params={"name": "get_forecast", "arguments": {}}).replace(
        b'"arguments": {}', b'"arguments":' + arguments
    )


KINDS: Final[dict[str, tuple[Callable[[], bytes], str]]] = {
    "one long text": (plain, "allowed"),
    "late duplicate": (late_duplicate, "key_ambiguous"),
}
"""Each with how it is answered."""


def send_large(port: int, kind: str) -> None:
    """In a process of its own, until it is killed."""
    data = check_request(KINDS[kind][0](), token=tokens.mint({"scope": "weather:read"}, now=time.time()))
    with grpc.insecure_channel(f"{LOOPBACK}:{port}", options=[("grpc.max_send_message_length", -1)]) as channel:
        stub = channel.unary_unary(CHECK)
        answer = seen(stub(data, timeout=10, wait_for_ready=True))
        print(answer.reason, flush=True)
        while True:
            stub.future(data, timeout=1)
            time.sleep(LARGE_EVERY_S)


def phase(port: int, seconds: float) -> Outcome:
    """Small checks for so long."""
    data = typical(tokens.mint({"scope": "weather:read"}, now=time.time()))
    calls = [Due(number / PER_SECOND, 0, data, "small") for number in range(int(seconds * PER_SECOND))]
    return keep_appointments([Connection(port)], calls)["small"]


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench large")
    parser.add_argument("--seconds", type=float, default=5.0)
    seconds = parser.parse_args(arguments).seconds
    print(f"machine: {machine()}; {PER_SECOND} small checks a second, a large one every {LARGE_EVERY_S * 1000:g} ms")
    with tempfile.TemporaryDirectory() as text, HttpIssuer() as issuer:
        issuer.answer("/jwks", body=tokens.key_set_document())
        folder, port = Path(text), free_port()
        (folder / "extauthz.yaml").write_text(policy_text(issuer.url))
        program = Program(
            "extauthz",
            [
                *(sys.executable, "-m", "extauthz", "serve", "--drain-wait=0"),
                *(f"--policy={folder / 'extauthz.yaml'}", f"--listen={LOOPBACK}:{port}"),
                f"--admin-listen={LOOPBACK}:{free_port()}",
            ],
            log=folder / "log",
            ready=serves_grpc(f"{LOOPBACK}:{port}"),
        )
        with program:
            phase(port, 1.0)
            found: dict[str, Outcome] = {name: Outcome() for name in ("quiet", *KINDS)}
            for _ in range(ROUNDS):
                for name, outcome in found.items():
                    outcome.latencies_s.extend(_phase_with(port, seconds, name).latencies_s)
    quiet = found["quiet"].percentile_ms(0.99)
    for name, outcome in found.items():
        median, p99 = outcome.percentile_ms(0.5), outcome.percentile_ms(0.99)
        print(f"{name:<16} median {median:6.2f} ms   p99 {p99:6.2f} ms   {p99 / quiet:4.1f} x quiet")


def _phase_with(port: int, seconds: float, kind: str) -> Outcome:
    if kind not in KINDS:
        return phase(port, seconds)
    code = f"from tests.bench.large import send_large; send_large({port}, {kind!r})"
    sender = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert sender.stdout is not None
        reason = sender.stdout.readline().decode().strip()
        assert reason == KINDS[kind][1], reason
        return phase(port, seconds)
    finally:
        sender.kill()
        sender.wait()
        if sender.stdout is not None:
            sender.stdout.close()
