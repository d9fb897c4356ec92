"""Header blocks without end, against a server in a process of its own whose memory is measured."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.bench.h2_load import HEADERS, frame, literal
from tests.support.h2_client import CONTINUATION, H2Client, headers_of
from tests.support.transport import CHECK_PATH, TIMEOUT_S, call, channel

MAX_GROWTH_MB: Final = 100
MEGABYTE: Final = 1 << 20
CONNECTIONS: Final = 4
SENT_MB: Final = 40
"""By each connection: without a bound, each would keep all of it, several times over."""

SERVER: Final = """
import sys
from extauthz.adapters.grpc.server import GrpcServer
from extauthz.adapters.grpc.threads import CheckThreads
server = GrpcServer(lambda m, _: b"answer", listen="127.0.0.1:0", refusal=b"r", threads=CheckThreads())
server.start()
print(server.address.port, flush=True)
sys.stdin.read()
server.stop(finish_s=1)
"""


@contextmanager
def server_process() -> Iterator[tuple[int, int]]:
    """Process id and port."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.pid, int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(TIMEOUT_S)
        process.stdout.close()


def peak_mb(pid: int) -> int:
    """The most memory that a process has had resident."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def block(kind: str) -> bytes:
    """Header fields that fill a frame or two."""
    match kind:
        case "many fields":
            return b"".join(literal(f"x-{number}", "v" * 100) for number in range(140))
        case "empty fields":
            return literal("a", "") * 3_000
        case "indexed fields":
            return b"\x40" + literal("a", "b")[1:] + b"\xbe" * 16_000  # RFC 7541 §6.1: one byte each
        case "binary fields":
            return b"".join(literal(f"x-{number}-bin", "AAAA" * 25) for number in range(140))
        case _:
            raise AssertionError(kind)


def talk(port: int, kind: str, failed: list[BaseException]) -> None:
    """HEADERS, then CONTINUATION without END_HEADERS, until all is sent or the server has had enough."""
    data = frame(CONTINUATION, 0, 1, block(kind)[:16_384])
    try:
        with H2Client(port) as client:
            client.send(frame(HEADERS, 0, 1, headers_of(CHECK_PATH)))
            for _ in range(SENT_MB * MEGABYTE // len(data)):
                client.send(data)
    except OSError:
        return  # closed by the server
    except BaseException as error:  # noqa: BLE001 - told by the test
        failed.append(error)


@pytest.mark.parametrize("kind", ["many fields", "empty fields", "indexed fields", "binary fields"])
def test_header_blocks_without_end_take_a_bounded_amount_of_memory(kind: str) -> None:
    with server_process() as (pid, port), channel(f"127.0.0.1:{port}") as opened:
        assert call(opened) == b"answer"
        before, failed = peak_mb(pid), list[BaseException]()
        threads = [threading.Thread(target=talk, args=(port, kind, failed)) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert call(opened) == b"answer"
        assert failed == []
        assert peak_mb(pid) - before < MAX_GROWTH_MB


def test_a_client_that_does_not_acknowledge_the_settings_is_disconnected() -> None:
    """Until it does, gRPC holds it to 16 MiB of metadata instead of ours."""
    with server_process() as (_, port), H2Client(port, acknowledge=False) as client:
        client.read_until(lambda it: it.gone)
        assert client.gone
