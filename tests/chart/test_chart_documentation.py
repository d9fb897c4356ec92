"""`values.yaml` is the documentation: complete, used, and of one mind with the schema and the README."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART

VALUES_TEXT = (CHART / "values.yaml").read_text(encoding="utf-8")
VALUES = yaml.safe_load(VALUES_TEXT)
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
TEMPLATES = "\n".join(file.read_text(encoding="utf-8") for file in sorted((CHART / "templates").iterdir()))

# Handed on whole, so that no template names their parts.
WHOLE = {"resources", "affinity", "podLabels"}
# Helm's own, not the chart's.
OF_A_PARENT_CHART = {"global", "enabled"}


def paths(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value and path not in WHOLE:
            yield from paths(value, f"{path}.")
        else:
            yield path


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        definition: dict[str, Any] = SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[1]]
        return definition
    return schema


def schema_paths(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, declared in schema["properties"].items():
        path, child = f"{prefix}{key}", resolved(declared)
        if "properties" in child and path not in WHOLE:
            yield from schema_paths(child, f"{path}.")
        else:
            yield path


@pytest.mark.parametrize("path", list(paths(VALUES)))
def test_every_value_is_used_by_a_template(path: str) -> None:
    assert re.search(rf"(\.Values)?\.{re.escape(path)}\b", TEMPLATES), f"{path} has no effect: remove it"


def test_every_value_that_a_template_uses_exists() -> None:
    used = set(re.findall(r"\.Values\.([A-Za-z.]+)", TEMPLATES))
    known = set(paths(VALUES))
    known |= {path.rpartition(".")[0] for path in known}
    assert used <= known


def test_values_and_schema_know_the_same_keys() -> None:
    assert set(paths(VALUES)) == set(schema_paths(SCHEMA)) - OF_A_PARENT_CHART


@pytest.mark.parametrize("key", sorted(VALUES))
def test_every_value_is_explained(key: str) -> None:
    """By a comment above it, above one of its parts, or by the heading of its group."""
    lines = VALUES_TEXT.splitlines()
    at = lines.index(next(line for line in lines if re.match(rf"{key}:", line)))
    part = next((i for i in range(at + 1, len(lines)) if lines[i] and not lines[i].startswith(" ")), len(lines))
    group = max((i for i in range(at) if lines[i].startswith("# -- ")), default=None)
    assert group is not None
    assert any("#" in line for line in lines[group:part])


def test_readme_names_every_group_of_values() -> None:
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    assert [key for key in VALUES if f"`{key}`" not in readme] == []
