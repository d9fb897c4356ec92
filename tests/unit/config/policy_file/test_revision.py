"""The revision covers everything that a check reads, key by key, and nothing else.

The keys are enumerated from the schema, so that a new one without a case here fails.
"""

import copy
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pydantic import BaseModel

from extauthz.adapters.cel.condition import CelCondition
from extauthz.config.policy_file.policy_build import SecretSource
from extauthz.config.policy_file.policy_file import parse_policy
from extauthz.config.policy_file.policy_schema import PolicyShape
from extauthz.config.policy_file.revision import NOT_READ, revision_of
from extauthz.pdp.policy import Policy

BASE: Final = yaml.safe_load((Path(__file__).parents[3] / "data" / "policies" / "good" / "everything.yaml").read_text())
SECRETS: Final = SecretSource(env={"EXTAUTHZ_TEST_SECRET": "one", "OTHER": "two"}, folder=Path("/nonexistent"))

DOOR, WEATHER, RULE = "issuers.door", "resources.weather", "resources.weather.rules.1"

DECIDES: Final[dict[str, tuple[str, Any]]] = {
    "issuers": ("issuers.spare", {"issuer": "https://spare.example.com", "profile": "rfc9068"}),
    "issuers.*.issuer": (f"{DOOR}.issuer", "https://other.example.com"),
    "issuers.*.jwks_uri": (f"{DOOR}.jwks_uri", "https://door.example.com/.well-known/other/jwks"),
    "issuers.*.profile": (f"{DOOR}.profile", "rfc9068"),
    "issuers.*.organizations": (f"{DOOR}.organizations", ["acme", "rival"]),
    "issuers.*.clients": (f"{DOOR}.clients", ["desktop", "ops-bot", "other"]),
    "issuers.*.machine_clients": (f"{DOOR}.machine_clients", ["desktop"]),
    "issuers.*.algorithms": (f"{DOOR}.algorithms", ["ES256"]),
    "issuers.*.leeway": (f"{DOOR}.leeway", "44s"),
    "issuers.*.introspection": (f"{DOOR}.introspection", None),
    "issuers.*.introspection.client_id": (f"{DOOR}.introspection.client_id", "other"),
    "issuers.*.introspection.endpoint": (f"{DOOR}.introspection.endpoint", "https://door.example.com/other"),
    "resources": (
        "resources.other",
        {"uri": "https://mcp.example.com/other", "issuers": ["cloak"], "baseline": [], "scopes": {}},
    ),
    "resources.*.uri": (f"{WEATHER}.uri", "https://mcp.example.com/other"),
    "resources.*.issuers": (f"{WEATHER}.issuers", ["door"]),
    "resources.*.hosts": (f"{WEATHER}.hosts", ["weather.internal:8080"]),
    "resources.*.audiences": (f"{WEATHER}.audiences", ["another-client-id"]),
    # Which server is meant by everything that was allowed, and whose session a session id is.
    "resources.*.upstream": (f"{WEATHER}.upstream", "http://other:8000/mcp/"),
    "resources.*.scopes": (f"{WEATHER}.scopes.spare", {}),
    "resources.*.scopes.*.includes": (f"{WEATHER}.scopes.admin.includes", ["read"]),
    "resources.*.baseline": (f"{WEATHER}.baseline", ["write"]),
    "resources.*.rules": (f"{WEATHER}.rules", BASE["resources"]["weather"]["rules"][:-1]),
    "resources.*.rules[].methods": (f"{RULE}.methods", ["tools/*"]),
    "resources.*.rules[].tools": (f"{RULE}.tools", ["set_*", "put_*"]),
    "resources.*.rules[].prompts": (f"{WEATHER}.rules.2.prompts", ["p*"]),
    "resources.*.rules[].uris": (f"{WEATHER}.rules.3.uris", ["weather://rome/*"]),
    "resources.*.rules[].tasks": (f"{WEATHER}.rules.4.tasks", ["t*"]),
    "resources.*.rules[].scopes": (f"{RULE}.scopes", ["write"]),
    "resources.*.rules[].effect": (f"{WEATHER}.rules.6.effect", "allow"),
    "resources.*.rules[].when": (f"{WEATHER}.rules.0.when", "principal.organization == 'rival'"),
    "resources.*.challenge": (f"{WEATHER}.challenge", {}),
    "resources.*.challenge.scopes": (f"{WEATHER}.challenge.scopes", "required"),
    "resources.*.denial": (f"{WEATHER}.denial", "http"),
    "resources.*.upstream_headers": (f"{WEATHER}.upstream_headers", {}),
    "resources.*.upstream_headers.prefix": (f"{WEATHER}.upstream_headers.prefix", "x-you-"),
    "resources.*.upstream_headers.forward_token": (f"{WEATHER}.upstream_headers.forward_token", False),
    "resources.*.origins": (f"{WEATHER}.origins", ["https://app.example.com"]),
    "resources.*.session_binding": (f"{WEATHER}.session_binding", True),
    "resources.*.last_event_id": (f"{WEATHER}.last_event_id", "strip"),
    "resources.*.responses": (f"{WEATHER}.responses", "deny"),
    "resources.*.header_only": (f"{WEATHER}.header_only", False),
    "cache": ("cache", {}),
    # What was remembered for longer than the new ceiling must not be found any more.
    "cache.max_ttl": ("cache.max_ttl", "29s"),
    "cache.jwks_max_stale": ("cache.jwks_max_stale", "47h"),
    "revocation": ("revocation", {}),
    "revocation.when_stale": ("revocation.when_stale", "allow"),
}
"""By key of the schema: where to change it, to what, so that some check could be answered otherwise."""

LEAVES: Final[dict[str, tuple[str, Any]]] = {
    "issuers.*.shared_keys": (f"{DOOR}.shared_keys", True),
    "issuers.*.introspection.client_secret_env": (f"{DOOR}.introspection.client_secret_env", "OTHER"),
    "issuers.*.unsafe_allow_http": (f"{DOOR}.unsafe_allow_http", False),
    "resources.*.scopes.*.description": (f"{WEATHER}.scopes.read.description", "other words"),
    "resources.*.unsafe_allow_http": (f"{WEATHER}.unsafe_allow_http", False),
    "cache.jwks_ttl": ("cache.jwks_ttl", "11m"),
    "cache.shared": ("cache.shared", "never"),
    "unsafe_allow_http": ("unsafe_allow_http", False),
}
"""By key of the schema: a change that no check can notice."""

ONE_VALUE: Final = {
    "version": "always 1",
    "issuers.*.introspection.client_secret_file": "another source of the same secret (test_policy_file)",
}
"""Keys that cannot be changed here, and why."""


def _keys(shape: type[BaseModel], at: str = "") -> Iterator[str]:
    for name, field in shape.model_fields.items():
        path = f"{at}{name}"
        yield path
        yield from _below(field.annotation, path)


def _below(annotation: Any, path: str) -> Iterator[str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from _keys(annotation, f"{path}.")
        return
    steps = {dict: ".*", list: "[]"}
    step = steps.get(typing.get_origin(annotation), "")
    for argument in typing.get_args(annotation):
        yield from _below(argument, path + step)


KEYS: Final = tuple(_keys(PolicyShape))


def policy_of(data: Any) -> Policy:
    found = parse_policy(yaml.safe_dump(data), "x.yaml", SECRETS)
    assert isinstance(found, Policy), str(found)
    return found


def changed(at: str, value: Any) -> Any:
    data = copy.deepcopy(BASE)
    *above, last = at.split(".")
    place: Any = data
    for step in above:
        place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
    if value is None:
        del place[last]
    else:
        place[last] = value
    return data


def test_every_key_of_the_schema_has_a_case() -> None:
    assert {"issuers.*.leeway", "resources.*.rules[].when", "issuers.*.introspection.endpoint"} <= set(KEYS)
    cases = [*DECIDES, *LEAVES, *ONE_VALUE]
    assert sorted(cases) == sorted(set(KEYS))


@pytest.mark.parametrize("key", DECIDES)
def test_a_key_that_decides_changes_the_revision(key: str) -> None:
    assert policy_of(changed(*DECIDES[key])).revision != policy_of(BASE).revision


@pytest.mark.parametrize("key", LEAVES)
def test_a_key_that_decides_nothing_leaves_the_revision(key: str) -> None:
    data = changed(*LEAVES[key])
    # The other issuer has a plain http URL, which somebody has to permit.
    data["issuers"]["cloak"]["unsafe_allow_http"] = True
    assert policy_of(data).revision == policy_of(BASE).revision


def _values(value: Any) -> Iterator[Any]:
    """Every dataclass inside a compiled policy, itself included."""
    if isinstance(value, CelCondition):
        return
    if is_dataclass(value) and not isinstance(value, type):
        yield value
        for field in fields(value):
            yield from _values(getattr(value, field.name))
    elif isinstance(value, dict):
        for member in value.values():
            yield from _values(member)
    elif isinstance(value, tuple):
        for member in value:
            yield from _values(member)


def test_what_is_left_out_exists_and_has_a_reason() -> None:
    there = {(type(one), field.name) for one in _values(policy_of(BASE)) for field in fields(one)}
    assert set(NOT_READ) <= there
    assert all(NOT_READ.values())


def test_the_revision_does_not_depend_on_itself_or_on_the_name_of_the_file() -> None:
    policy = policy_of(BASE)
    assert revision_of(replace(policy, revision="", source="elsewhere.yaml")) == policy.revision


@pytest.mark.parametrize("value", [1.5, b"x", object(), [1], Path()])
def test_a_value_that_has_no_form_there_is_an_error(value: Any) -> None:
    """So that what is added to the policy cannot be left out unseen."""
    with pytest.raises(TypeError, match="say here how it goes into the revision"):
        revision_of(replace(policy_of(BASE), when_stale=value))
