"""`extauthz demo` as a child of a test, and what it has left behind afterwards."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

WITHIN_S = 90.0
UP = "It stays up on"


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "extauthz", "demo", *options]


def processes_of(folder: Path) -> dict[int, str]:
    """Processes started below this one's temporary folder: all that the demo starts have it in their environment."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            zombie = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if f"TMPDIR={folder}\0".encode() in environment and not zombie:
            found[int(entry.name)] = line
    return found


def gone(folder: Path) -> dict[int, str]:
    """What is still running after a moment of grace; empty as it should be."""
    deadline = time.monotonic() + 15
    while (left := processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


@contextmanager
def started_demo(folder: Path, *options: str) -> Iterator[tuple["subprocess.Popen[bytes]", Callable[[], str]]]:
    """The demo with its own temporary folder, its output in a file; killed if the test did not end it."""
    output = folder.parent / "output.txt"
    folder.mkdir()
    with output.open("wb") as sink:
        process = subprocess.Popen(
            command(*options), stdout=sink, stderr=subprocess.STDOUT, env=dict(os.environ) | {"TMPDIR": str(folder)}
        )
    try:
        yield process, lambda: output.read_text(encoding="utf-8", errors="replace")
    finally:
        process.kill()
        process.wait()


def wait_for(process: "subprocess.Popen[bytes]", output: Callable[[], str], text: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while text not in output():
        assert process.poll() is None, output()
        assert time.monotonic() < deadline, output()
        time.sleep(0.02)
