"""The JSON Schema that editors and charts use says what the loader does."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import pytest
import yaml
from jsonschema import Draft202012Validator

from extauthz.config.policy_file.policy_schema import Algorithm, IssuerShape, PolicyShape, policy_json_schema
from extauthz.pdp.pattern import Patterns
from extauthz.pdp.policy import Issuer
from extauthz.pdp.token.profile import PROFILES
from extauthz.pdp.token.signature import ALGORITHMS
from tests.unit.config.policy_file.test_policy_faults import FAULTS

DATA: Final = Path(__file__).parents[3] / "data" / "policies"
VALIDATOR: Final = Draft202012Validator(policy_json_schema())
# Faults that only the loader finds: of YAML itself, of meaning, and of lengths of time.
LOADER_ONLY: Final = Patterns.of(
    [
        *("yaml-*", "duration-unit", "leeway-too-long", "cache-*", "issuer-*", "issuers-same-iss", "jwks-*", "uri-*"),
        *("upstream-*", "origin-*", "unknown-issuer", "unknown-scope-*", "machine-*", "scope-*", "deny-*", "rule-*"),
        *("when-misspelt", "when-syntax", "when-types", "when-not-boolean", "when-block", "when-folded"),
        *("resources-overlap*", "secret-file-missing", "secret-variable-missing", "introspection-http", "host-*"),
        *("prefix-of-mcp", "tool-with-space", "uris-*"),
    ]
)
FOUND_BY_BOTH: Final = frozenset(
    {"issuer-missing", "yaml-list", "yaml-empty", "yaml-float", "yaml-tag", "yaml-key-list"}
)


def load(path: Path) -> Any:
    return yaml.load(path.read_text(), Loader=yaml.CSafeLoader)


def schemas(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from schemas(value, f"{path}/{key}")
    elif isinstance(node, list):
        for value in node:
            yield from schemas(value, path)


def test_it_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(policy_json_schema())


@pytest.mark.parametrize("file", sorted((DATA / "good").glob("*.yaml")), ids=lambda file: file.stem)
def test_good_files_are_valid(file: Path) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(load(file))] == []


@pytest.mark.parametrize("name", [name for name in FAULTS if not LOADER_ONLY.matches(name) or name in FOUND_BY_BOTH])
def test_bad_files_are_not(name: str) -> None:
    try:
        data = load(DATA / "bad" / f"{name}.yaml")
    except yaml.YAMLError:
        return  # an editor says so without a schema
    assert not VALIDATOR.is_valid(data)


def test_every_mapping_is_closed() -> None:
    for path, schema in schemas(policy_json_schema()):
        if schema.get("type") == "object":
            assert schema["additionalProperties"] is False or "propertyNames" in schema, path


def test_every_key_is_described() -> None:
    for path, schema in schemas(policy_json_schema()):
        for name, entry in schema.get("properties", {}).items() if isinstance(schema.get("properties"), dict) else ():
            assert entry.get("description"), f"{path}/{name}"


def test_patterns_are_ones_that_other_languages_read() -> None:
    """Go's regular expressions have no look-around and no \\u escapes."""
    for path, schema in schemas(policy_json_schema()):
        pattern = schema.get("pattern", "")
        if isinstance(pattern, str) and pattern:
            re.compile(pattern)
            assert "(?" not in pattern, path
            assert "\\u" not in pattern, path


def test_nothing_may_be_null() -> None:
    assert '"null"' not in str(policy_json_schema()).replace("'", '"')


def test_defaults_are_valid() -> None:
    for path, schema in schemas(policy_json_schema()):
        if "default" in schema and "properties" not in schema:
            assert Draft202012Validator(schema).is_valid(schema["default"]), path


def test_algorithms_and_profiles_are_those_that_tokens_are_checked_with() -> None:
    assert set(get_args(Algorithm.__value__ if hasattr(Algorithm, "__value__") else Algorithm)) == set(ALGORITHMS)
    assert set(get_args(IssuerShape.model_fields["profile"].annotation)) == set(PROFILES)


def test_defaults_are_those_of_the_policy() -> None:
    shape = IssuerShape(issuer="https://door.example.com")
    issuer = Issuer(name="x", issuer="https://door.example.com", jwks_uri="")
    assert tuple(shape.algorithms) == issuer.algorithms
    assert shape.leeway == issuer.leeway_s
    assert shape.profile == issuer.profile


def test_the_model_is_strict_and_closed_everywhere() -> None:
    assert PolicyShape.model_config["extra"] == "forbid"
    assert PolicyShape.model_config["strict"] is True
