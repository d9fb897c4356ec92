"""Every guard against a published advisory, taken away: the test named after the advisory has to fail.

`advisory_guards.py` lists them by their markers in the source. The ordinary suite keeps list and markers together;
the long form (`python -m pytest -m long tests/conformance/test_guards_removed.py`) copies package and tests, takes
one guard away at a time in the copy, and runs its test there. Two tests of what has to go on working run beside each,
so that a test is not taken for red when nothing works any more.
"""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest

from tests.conformance.advisory_guards import ADVISORIES, CACHES, GUARDS, JWT, Advisory, Guard
from tests.support.source_guards import (
    Becomes,
    FirstOperand,
    Gone,
    Place,
    Removal,
    find_markers,
    unknown_names,
    without,
)

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


PACKAGE: Final = ROOT / "extauthz"
MARKERS: Final = find_markers(PACKAGE)


@BY_GUARD
def test_what_a_guard_lists_is_in_the_source(guard: Guard) -> None:
    assert guard.test.partition("[")[0] in functions_of(guard.file)
    for file, source in sources_without(guard, MARKERS).items():
        assert source != ast.unparse(ast.parse(file.read_text()))
    for marker, removal in guard.removals:
        unknown = unknown_names(MARKERS[marker].file.read_text(), removal)
        assert not unknown, f"{marker}: {unknown} were renamed: put the new names into advisory_guards.py"


def test_every_marker_of_the_source_is_used() -> None:
    assert set(MARKERS) == {marker for guard in GUARDS for marker, _ in guard.removals}


def sources_without(guard: Guard, markers: Mapping[str, Place]) -> dict[Path, str]:
    """The files that a guard is in, without it."""
    by_file: dict[Path, list[tuple[int, Removal]]] = {}
    for marker, removal in guard.removals:
        place = markers[marker]
        by_file.setdefault(place.file, []).append((place.line, removal))
    return {file: without(file.read_text(), removals) for file, removals in by_file.items()}


@pytest.mark.parametrize(
    ("source", "line", "removal", "expected"),
    [
        ("if a:\n    b()", 1, Becomes("False"), "if False:\n    b()"),
        ("if (\n    a\n    or b\n):\n    c()", 3, Gone(), "if a:\n    c()"),
        ("if a or b:\n    c()", 1, FirstOperand(), "if a:\n    c()"),
        ("if a:\n    b()", 2, Gone(), "if a:\n    pass"),
        ("return_ = (\n    a,\n    b.c,\n)", 3, Gone(), "return_ = (a,)"),
        ("f(\n    a,\n    b=c(d),\n)", 3, Gone(), "f(a)"),
        ("f(\n    a,\n    b=c(d),\n)", 3, Becomes("_original_[0]"), "f(a, b=c(d)[0])"),
        ("f(\n    a.b,\n    c,\n)", 2, Gone(), "f(c)"),
        ("a = {\n    'b': c,\n    'd': e,\n}", 3, Gone(), "a = {'b': c}"),
        ("a = {\n    'b': c,\n    'd': e,\n}", 3, Becomes("f"), "a = {'b': c, 'd': f}"),
        ("try:\n    a()\nexcept B:\n    c()", 3, Becomes("D"), "try:\n    a()\nexcept D:\n    c()"),
        ("a += (b, c)", 1, Becomes("_original_[1:]"), "a += (b, c)[1:]"),
    ],
)
def test_a_marked_piece_is_taken_away(source: str, line: int, removal: Removal, expected: str) -> None:
    found = without(source, [(line, removal)])
    assert found.replace("if a or a:", "if a:") == expected


def test_a_marker_is_found_beside_the_piece_or_above_it(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "x = 1  # guard: beside\n# guard: above - a reason\n# more of it\ny = '# guard: none'\n"
    )
    assert {name: place.line for name, place in find_markers(tmp_path).items()} == {"beside": 1, "above": 4}
    (tmp_path / "two.py").write_text("z = 1  # guard: beside\n")
    with pytest.raises(AssertionError, match="another name"):
        find_markers(tmp_path)


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
def without_guard(copy: Path, guard: Guard) -> Iterator[Path]:
    """The copy without this guard."""
    sources = sources_without(guard, find_markers(copy / "extauthz"))
    originals = {file: file.read_text() for file in sources}
    try:
        for file, source in sources.items():
            file.write_text(source)
        yield copy
    finally:
        for file, source in originals.items():
            file.write_text(source)


@pytest.mark.long
def test_with_every_guard_in_place_the_copy_is_green(copy: Path) -> None:
    where = run(copy, "-c", "import extauthz; print(extauthz.__file__)")
    assert Path(where.stdout.strip()).is_relative_to(copy)
    _, failed = outcomes(copy, [*CONTROLS, *dict.fromkeys(guard.node for guard in GUARDS)])
    assert not failed


@pytest.mark.long
@BY_GUARD
def test_without_its_guard_the_test_of_an_advisory_fails(guard: Guard, without_guard: Path) -> None:
    passed, failed = outcomes(without_guard, [*CONTROLS, guard.node])
    assert failed == {guard.test.partition("[")[0]}
    assert passed == {control.rpartition("::")[2] for control in CONTROLS}
