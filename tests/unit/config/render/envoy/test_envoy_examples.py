"""The files of `envoy/`: made by the command, never by hand."""

from pathlib import Path

import pytest

from extauthz.config.render.envoy.yaml_text import NOTES
from tests.support.envoy_examples import EXAMPLES, FOLDER, render_example

README = (FOLDER / "README.md").read_text(encoding="utf-8")
REFERENCE = (FOLDER.parent / "docs" / "reference" / "envoy.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_what_the_command_makes_of_its_policy(name: str, tmp_path: Path) -> None:
    """Meant to change? `.venv/bin/python -m tests.support.envoy_examples`, and read the difference."""
    assert render_example(name, tmp_path / "envoy.yaml") == 0
    fresh = (tmp_path / "envoy.yaml").read_text(encoding="utf-8")
    assert (FOLDER / name / "envoy.yaml").read_text(encoding="utf-8") == fresh


def test_every_folder_is_an_example() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_readme_names_the_arguments_of_each_example(name: str) -> None:
    (line,) = [line for line in README.splitlines() if line.startswith(f"| [`{name}`]")]
    assert f"`{' '.join(EXAMPLES[name])}`" in line


@pytest.mark.parametrize("start", NOTES)
def test_the_reference_explains_every_setting_that_has_a_note(start: str) -> None:
    setting = start.removeprefix("name: ").rpartition(".")[2] if start.startswith("name: ") else start.partition(":")[0]
    assert f"`{setting}" in REFERENCE
