"""Every guard against a published advisory, taken away: the test named after the advisory has to fail.

`advisory_guards.py` lists them. The ordinary suite keeps the list true to the source; the long form
(`python -m pytest -m long tests/conformance/test_guards_removed.py`) copies package and tests, takes one guard away
at a time in the copy, and runs its test there. Two tests of what has to go on working run beside each, so that a test
is not taken for red when nothing works any more.
"""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest

from tests.conformance.advisory_guards import ADVISORIES, CACHES, GUARDS, JWT, Advisory, Guard

ROOT: Final = Path(__file__).parents[2]
CONTROLS: Final = (
    f"{JWT}::test_the_token_that_the_attacks_start_from_is_good",
    f"{CACHES}::test_the_checks_that_the_attacks_start_from_are_allowed",
)
WITHIN_S: Final = 100.0

BY_GUARD = pytest.mark.parametrize(
    "guard", GUARDS, ids=[f"{number}-{guard.test}" for number, guard in enumerate(GUARDS)]
)


def functions_of(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@BY_GUARD
def test_what_a_guard_lists_is_in_the_source(guard: Guard) -> None:
    assert guard.test.partition("[")[0] in functions_of(guard.file)
    for change in guard.changes:
        source = (ROOT / change.file).read_text()
        assert source.count(change.text) == 1, f"{change.file} changed: put its new text into advisory_guards.py"
        ast.parse(source.replace(change.text, change.without))


@pytest.mark.parametrize("advisory", ADVISORIES, ids=[advisory.ident for advisory in ADVISORIES])
def test_every_advisory_has_a_guarded_test_named_after_it(advisory: Advisory) -> None:
    assert any(advisory.name in guard.test for guard in GUARDS)


def test_every_guard_is_against_an_advisory_of_the_list() -> None:
    names = {advisory.ident: advisory.name for advisory in ADVISORIES}
    for guard in GUARDS:
        assert names[guard.advisory] in guard.test


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Package, tests and their settings, to be changed at will."""
    folder = tmp_path_factory.mktemp("copy")
    for part in ("extauthz", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run(copy: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    # Compiled files are told apart by size and second only, which is too little for a source that is changed and back.
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTEST_XDIST_WORKER", None)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def outcomes(copy: Path, nodes: Sequence[str]) -> tuple[set[str], set[str]]:
    """The names of functions of which no case failed, and of those of which one did."""
    report = copy / "report.xml"
    report.unlink(missing_ok=True)
    ran = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *nodes)
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    every: set[str] = set()
    failed: set[str] = set()
    for case in ET.parse(report).iter("testcase"):
        name = str(case.get("name")).partition("[")[0]
        every.add(name)
        assert case.find("error") is None, f"{name} could not be run:\n{ran.stdout}"
        if case.find("failure") is not None:
            failed.add(name)
    return every - failed, failed


@pytest.fixture
def without(copy: Path, guard: Guard) -> Iterator[Path]:
    """The copy without this guard."""
    originals = {change.file: (copy / change.file).read_text() for change in guard.changes}
    try:
        for change in guard.changes:
            source = (copy / change.file).read_text()
            (copy / change.file).write_text(source.replace(change.text, change.without))
        yield copy
    finally:
        for file, source in originals.items():
            (copy / file).write_text(source)


@pytest.mark.long
def test_with_every_guard_in_place_the_copy_is_green(copy: Path) -> None:
    where = run(copy, "-c", "import extauthz; print(extauthz.__file__)")
    assert Path(where.stdout.strip()).is_relative_to(copy)
    _, failed = outcomes(copy, [*CONTROLS, *dict.fromkeys(guard.node for guard in GUARDS)])
    assert not failed


@pytest.mark.long
@BY_GUARD
def test_without_its_guard_the_test_of_an_advisory_fails(guard: Guard, without: Path) -> None:
    passed, failed = outcomes(without, [*CONTROLS, guard.node])
    assert failed == {guard.test.partition("[")[0]}
    assert passed == {control.rpartition("::")[2] for control in CONTROLS}
