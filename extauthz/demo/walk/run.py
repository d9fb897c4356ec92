"""The demo from start to end: start the system, walk through, stay up or stop."""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from extauthz.demo.processes import ProgramError
from extauthz.demo.system import System
from extauthz.demo.walk.expect import OtherwiseError
from extauthz.demo.walk.hints import show_hints
from extauthz.demo.walk.narrator import Narrator
from extauthz.demo.walk.stage import TIMEOUT_S, Stage
from extauthz.demo.walk.steps import STEPS, WRITE, Step

EXIT_OK: Final = 0
EXIT_OTHERWISE: Final = 1
TOKEN_FILE: Final = "token"  # noqa: S105 - a file name


def run(*, port: int, once: bool, narrator: Narrator | None = None) -> int:
    """Run the demo with Envoy on `port` (0: a free one). Returns the exit status.

    KeyboardInterrupt passes through, with everything stopped.
    """
    narrator = narrator or Narrator()
    narrator.title(
        "extauthz demo",
        "Everything runs on this machine's loopback, and ends with this command. Nothing here is for production.",
    )
    try:
        with _folder() as folder:
            system = System(folder, port=port, told=narrator.ready)
            with narrator.starting("Starting"):
                system.start()
            try:
                return _shown(system, narrator, once=once)
            finally:
                system.stop()
    except ProgramError as error:
        narrator.error(str(error))
        return EXIT_OTHERWISE


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="extauthz-demo-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def walk(system: System, narrator: Narrator) -> tuple[Stage, tuple[Step, ...]]:
    """Go through all steps, whatever becomes of each. Returns what they obtained, and those that went otherwise."""
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as http:
        stage = Stage(system=system, narrator=narrator, http=http)
        failed = tuple(step for number, step in enumerate(STEPS, 1) if not _went_well(stage, number, step))
    narrator.line()
    if failed:
        titles = "; ".join(step.title for step in failed)
        narrator.line(f"{len(failed)} of {len(STEPS)} steps went otherwise: {titles}", "red bold")
        narrator.line("The end of the service's log:")
        narrator.line(system.extauthz.tail(), "dim")
    else:
        narrator.line(f"All {len(STEPS)} steps went as they should.", "green bold")
    return stage, failed


def _shown(system: System, narrator: Narrator, *, once: bool) -> int:
    narrator.section(f"The policy, {system.policy_file}")
    narrator.policy(system.policy_file.read_text(encoding="utf-8"))
    stage, failed = walk(system, narrator)
    if once:
        return EXIT_OTHERWISE if failed else EXIT_OK
    token_file = system.folder / TOKEN_FILE
    token_file.touch(mode=0o600)
    token_file.write_text(stage.tokens.get(WRITE, ""), encoding="ascii")
    show_hints(narrator, system, token_file)
    _stay_up(system)
    return EXIT_OK


def _went_well(stage: Stage, number: int, step: Step) -> bool:
    stage.narrator.step(number, step.title)
    stage.narrator.why(step.why)
    try:
        step.run(stage)
    except OtherwiseError as error:
        stage.narrator.otherwise(error.expected, error.seen)
        return False
    except (httpx.HTTPError, LookupError, TypeError, ValueError) as error:
        stage.narrator.otherwise("an answer of the usual form", f"{type(error).__name__}: {error}")
        return False
    stage.narrator.as_expected()
    return True


def _stay_up(system: System) -> None:
    """Until Ctrl-C, or until one of the programs ends by itself."""
    wait = threading.Event()
    programs = [system.envoy, system.extauthz, system.mcp_server, *([system.valkey] if system.valkey else [])]
    while not wait.wait(1.0):
        for program in programs:
            if not program.alive():
                raise ProgramError(f"{program.name} has ended by itself; the end of its output:\n{program.tail()}")
