"""Coverage-guided fuzzing of what reads bytes from outside: time-boxed, beginning with the corpus."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from extauthz.pdp.decision.decision import Permit
from tests.e2e.client_environments import UnavailableError, digest_of, made_once, run_to_end
from tests.fuzz.make_corpus import CHECKS, CORPUS, MESSAGES
from tests.fuzz.targets import MAX_INPUT_BYTES, TARGETS, checked

ROOT = Path(__file__).parents[2]
# 3.1 has no wheel for Python 3.11, and 3.0 none for 3.14.
ATHERIS = "atheris==3.1.0" if sys.version_info >= (3, 12) else "atheris==3.0.0"
# Enough for what a change breaks openly; the long form is for what is hidden.
FUZZ_FOR_S, LONG_FUZZ_FOR_S = 15, 180
# Starting, reading the corpus and finishing the last input.
ENDS_WITHIN_S = 60
# An input may take as long as a busy machine makes it; longer is a fault of the reader.
INPUT_WITHIN_S = 10
MEMORY_MIB = 2048


def atheris() -> Path:
    """A folder with atheris alone, made once per machine: nothing else of this project's needs it."""

    def make(folder: Path) -> None:
        run_to_end(
            [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--only-binary",
                ":all:",
                "--target",
                str(folder),
                ATHERIS,
            ]
        )

    return made_once(f"atheris-{sys.implementation.cache_tag}-{digest_of(ATHERIS.encode())}", make)


@pytest.mark.parametrize("target", TARGETS)
def test_each_input_of_the_corpus_is_taken(target: str) -> None:
    inputs = sorted((CORPUS / target).iterdir())
    assert inputs
    for each in inputs:
        TARGETS[target](each.read_bytes())


@pytest.mark.parametrize(("target", "inputs"), [("message", MESSAGES), ("check_request", CHECKS)])
def test_the_corpus_has_what_it_is_made_from(target: str, inputs: dict[str, bytes]) -> None:
    assert {name: (CORPUS / target / name).read_bytes() for name in inputs} == inputs


def test_the_corpus_has_what_is_let_through_and_what_is_not() -> None:
    """Else the fuzzer would have to find a permitted request by itself."""
    permitted = {name for name, data in CHECKS.items() if isinstance(checked(data).decision, Permit)}
    assert permitted >= {"allowed", "list", "stream", "end"}
    assert permitted.isdisjoint({"nobody", "scope", "unknown", "preflight"})


@pytest.mark.timeout(FUZZ_FOR_S * 10)
@pytest.mark.parametrize("target", TARGETS)
def test_fuzzing_finds_nothing(target: str, tmp_path: Path) -> None:
    fuzz(target, FUZZ_FOR_S, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(LONG_FUZZ_FOR_S * 3)
@pytest.mark.parametrize("target", TARGETS)
def test_fuzzing_finds_nothing_at_length(target: str, tmp_path: Path) -> None:
    fuzz(target, LONG_FUZZ_FOR_S, tmp_path)


def fuzz(target: str, for_s: int, folder: Path) -> None:
    """Run the fuzzer so many seconds, from the corpus on; its figures are in the output."""
    try:
        package = atheris()
    except UnavailableError as error:
        if os.environ.get("CI"):
            pytest.fail(f"atheris is not there, and in CI it must be: {error}")
        pytest.skip(f"atheris cannot be had here: {error}")
    found = folder / "found"
    found.mkdir()
    options = [f"-max_total_time={for_s}", f"-timeout={INPUT_WITHIN_S}", f"-rss_limit_mb={MEMORY_MIB}"]
    options += [f"-max_len={MAX_INPUT_BYTES}", f"-artifact_prefix={folder}/", "-print_final_stats=1"]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.fuzzing", target, *options, str(found), str(CORPUS / target)],
        cwd=ROOT,
        env=dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(package)])},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=for_s * 2 + ENDS_WITHIN_S,
        check=False,
    )
    end = (ended.stderr + ended.stdout)[-3000:]
    inputs = [f"{each.name}: {each.read_bytes()!r}" for each in folder.glob("*-*") if each.is_file()]
    assert ended.returncode == 0, "\n".join([end, *inputs])
    print(end)
