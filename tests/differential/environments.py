"""What the recording servers run in: environments made once per machine, in the user's cache directory.

Node and the Python SDK 1.x come as for the end-to-end clients; Go programs are built into the cache, under a name
made from their sources. Once they are there, the tests need no network.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tests.e2e.client_environments import UnavailableError, digest_of, made_once, node, npm, python_v1, run_to_end

SERVERS = Path(__file__).parent / "servers"
FIXTURE = SERVERS / "fixture.json"
LEAST_GO = (1, 21)
"""From here on, `go` fetches the toolchain that a go.mod asks for."""

Command = list[str]


def python_v1_server() -> Command:
    """The Python SDK 1.x."""
    return [str(python_v1()), str(SERVERS / "python" / "v1.py")]


def python_v2_server() -> Command:
    """The Python SDK 2.x, from the environment of the tests."""
    return [sys.executable, str(SERVERS / "python" / "v2.py")]


def typescript_v1_server() -> Command:
    """The TypeScript SDK 1.x."""
    return [str(node()), str(_typescript() / "v1.mjs")]


def typescript_v2_server() -> Command:
    """The TypeScript SDK 2.x."""
    return [str(node()), str(_typescript() / "v2.mjs")]


def go_server() -> Command:
    """The Go SDK, current."""
    return [str(_go("go.mod", "go.sum") / "server")]


def go_v1_3_server() -> Command:
    """The Go SDK 1.3.0, which folds the case of member names (CVE-2026-27896)."""
    return [str(_go("v1_3.mod", "v1_3.sum") / "server")]


def go_encoder() -> Command:
    """A program that writes what Go's encoders make of names."""
    found = _go_compiler()
    source = SERVERS / "go" / "encode"

    def make(folder: Path) -> None:
        folder.mkdir()
        run_to_end([found, "build", "-o", str(folder / "encode"), "main.go"], source, {"GOFLAGS": "-buildvcs=false"})

    return [str(made_once(f"go-encoder-{_digest_of(source, ('main.go',))}", make) / "encode")]


def go_arguments() -> Command:
    """What `encoding/json` makes of arguments: no server, and nothing but the standard library."""
    found, source = _go_compiler(), SERVERS / "go" / "arguments"

    def make(folder: Path) -> None:
        folder.mkdir()
        run_to_end([found, "build", "-o", str(folder / "read"), "main.go"], source, {"GOFLAGS": "-buildvcs=false"})

    return [str(made_once(f"go-arguments-{_digest_of(source, ('main.go',))}", make) / "read")]


COMMANDS: dict[str, Callable[[], Command]] = {
    "Python 2.x": python_v2_server,
    "Python 1.30.0": python_v1_server,
    "TypeScript 2.4.0": typescript_v2_server,
    "TypeScript 1.32.2": typescript_v1_server,
    "Go 1.8.0": go_server,
    "Go 1.3.0": go_v1_3_server,
}
"""The servers by SDK. Each command takes `--port`, `--record` and `--fixture`; raises UnavailableError."""


def _typescript() -> Path:
    runtime = node()
    source = SERVERS / "typescript"
    files = ("package.json", "package-lock.json", "record.mjs", "v1.mjs", "v2.mjs")

    def make(folder: Path) -> None:
        folder.mkdir()
        for file in files:
            shutil.copy(source / file, folder / file)
        path = os.pathsep.join([str(runtime.parent), os.environ.get("PATH", "")])
        run_to_end([*npm(runtime), "ci", "--no-audit", "--no-fund"], folder, {"PATH": path})

    return made_once(f"typescript-servers-{_digest_of(source, files)}", make)


def _go(module: str, sums: str) -> Path:
    found = _go_compiler()
    source = SERVERS / "go"
    name = Path(module).stem

    def make(folder: Path) -> None:
        folder.mkdir()
        command = [found, "build", "-mod=readonly", f"-modfile={module}", "-o", str(folder / "server"), "."]
        run_to_end(command, source, {"GOFLAGS": "-buildvcs=false"})

    return made_once(f"go-server-{name}-{_digest_of(source, ('main.go', module, sums))}", make)


def _go_compiler() -> str:
    found = shutil.which("go")
    if found is None:
        raise UnavailableError(f"there is no go: install Go >= {LEAST_GO[0]}.{LEAST_GO[1]}")
    return found


def _digest_of(folder: Path, files: tuple[str, ...]) -> str:
    return digest_of(b"".join((folder / file).read_bytes() for file in files))
