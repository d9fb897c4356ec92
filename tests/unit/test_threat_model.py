"""The threat model names guards and tests that exist."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "explanation" / "threat-model.md").read_text(encoding="utf-8")
ROWS: Final = re.findall(r"^\| ([STRIDE]) \| (.+?) \| `([^`]+)` \| `([^`]+)` \|$", PAGE, re.MULTILINE)


def test_every_row_is_read() -> None:
    written = [line for line in PAGE.splitlines() if re.match(r"\| [STRIDE] \|", line)]
    assert len(ROWS) == len(written) >= 30


def test_every_kind_of_threat_has_a_row() -> None:
    assert {kind for kind, *_ in ROWS} == set("STRIDE")


@pytest.mark.parametrize("guard", sorted({guard for _, _, guard, _ in ROWS}))
def test_the_guard_exists(guard: str) -> None:
    assert (ROOT / guard).is_file()


@pytest.mark.parametrize("named", sorted({test for *_, test in ROWS}))
def test_the_test_exists(named: str) -> None:
    file, _, name = named.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in functions
