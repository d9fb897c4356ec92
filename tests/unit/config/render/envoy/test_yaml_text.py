"""YAML as Envoy's reader (yaml-cpp, YAML 1.2) takes it, and as people read it."""

import pytest
import yaml

from extauthz.config.render.envoy.yaml_text import NOTES, to_yaml
from tests.support.envoy_examples import EXAMPLES, FOLDER


@pytest.mark.parametrize(
    "text", ["y", "N", "1e3", "0x1F", "0o17", "1_0", ".5", "inf", "-.INF", "nan", "12", "no", "null", "~"]
)
def test_text_that_some_reader_takes_for_something_else_is_quoted(text: str) -> None:
    written = to_yaml({"name": text}, head="").splitlines()[-1]
    assert written in (f'{{name: "{text}"}}', f"{{name: '{text}'}}")


@pytest.mark.parametrize("text", ["weather", "3600s", "/mcp", "127.0.0.1", "envoy.filters.http.cors"])
def test_other_text_stays_bare(text: str) -> None:
    assert to_yaml({"name": text}, head="").splitlines()[-1] == f"{{name: {text}}}"


def test_what_is_written_reads_back() -> None:
    tree = {"a": {"b": ["x: y", "# no comment", "'", '"', "%", "é", ""], "c": [{"d": 1, "e": True}]}, "f": {}}
    assert yaml.safe_load(to_yaml(tree, head="made by\nhand")) == tree


def test_the_head_is_a_comment_line_by_line() -> None:
    assert to_yaml({"a": 1}, head="one\ntwo").startswith("# one\n# two\n")


def test_a_value_that_is_used_twice_is_written_twice() -> None:
    shared = {"long": "x" * 100}
    assert "&" not in to_yaml({"a": shared, "b": shared}, head="")


def test_the_first_such_line_gets_its_note() -> None:
    text = to_yaml(
        {"a": {"normalize_path": True, "x": "y" * 80}, "b": {"normalize_path": True, "x": "y" * 80}}, head=""
    )
    assert text.splitlines()[1:3] == [f"  # {NOTES['normalize_path:']}", "  normalize_path: true"]
    assert text.count(NOTES["normalize_path:"]) == 1


@pytest.mark.parametrize("start", NOTES)
def test_every_note_stands_in_some_example(start: str) -> None:
    """A note whose line is no longer rendered is dead."""
    assert any(NOTES[start] in (FOLDER / name / "envoy.yaml").read_text(encoding="utf-8") for name in EXAMPLES)
