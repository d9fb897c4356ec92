"""Good policy files become the policy that they say, and no text whatever raises."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.config.policy_file.fault import PolicyFaults
from extauthz.config.policy_file.policy_build import SecretSource
from extauthz.config.policy_file.policy_file import MAX_FILE_BYTES, load_policy, parse_policy, review_bytes, review_file
from extauthz.config.policy_file.policy_schema import MAX_RULES
from extauthz.pdp.mcp.header_only import SETTLED_METHODS
from extauthz.pdp.operation import TargetKind
from extauthz.pdp.policy import (
    CacheTerms,
    ChallengeScopes,
    DenialForm,
    Effect,
    Introspection,
    Issuer,
    Policy,
    Resource,
    Sharing,
    UpstreamHeaders,
    WhenStale,
)

GOOD: Final = Path(__file__).parents[3] / "data" / "policies" / "good"
ENV: Final = {"EXTAUTHZ_TEST_SECRET": "hunter2-hunter2"}
EVERYTHING: Final = json.dumps(yaml.safe_load((GOOD / "everything.yaml").read_text()))
BASE: Final = (GOOD / "two-resources.yaml").read_text()


def good(name: str, env: Mapping[str, str] = ENV) -> Policy:
    policy = load_policy(GOOD / f"{name}.yaml", env=env)
    assert isinstance(policy, Policy), str(policy)
    return policy


def parsed(text: str) -> Policy:
    policy = parse_policy(text)
    assert isinstance(policy, Policy), str(policy)
    return policy


@pytest.mark.parametrize("file", sorted(GOOD.glob("*.yaml")), ids=lambda file: file.stem)
def test_good_files_load(file: Path) -> None:
    policy = load_policy(file, env=ENV)
    assert isinstance(policy, Policy), str(policy)
    assert policy.source == str(file)


# --- what the file says is what the policy says ------------------------------------------------------------------


def test_the_example_of_the_documentation() -> None:
    policy = good("example")
    assert policy.issuers["casdoor"] == Issuer(
        name="casdoor",
        issuer="https://door.example.com",
        jwks_uri="https://door.example.com/.well-known/mcp-gateway/jwks",
        profile="casdoor",
        organizations=frozenset({"acme"}),
        clients=frozenset({"claude-desktop", "ops-bot"}),
        machine_clients=frozenset({"ops-bot"}),
        algorithms=("RS256", "ES256"),
        introspection=Introspection(client_id="gw", client_secret="not-a-real-secret"),
        line=3,
    )
    weather = policy.resources["weather"]
    assert weather.uri == "https://mcp.example.com/weather/mcp"
    assert weather.metadata_url == "https://mcp.example.com/.well-known/oauth-protected-resource/weather/mcp"
    assert weather.issuers == (policy.issuers["casdoor"],)
    assert weather.hosts == ("weather.internal:8080",)
    assert weather.closure["weather:write"] == {"weather:write", "weather:read"}
    assert weather.line == 13
    get, set_alert, read, purge = weather.rules
    assert [rule.index for rule in weather.rules] == [0, 1, 2, 3]
    assert [rule.line for rule in weather.rules] == [24, 25, 26, 27]
    assert get.targets[TargetKind.TOOL].matches("get_forecast")
    assert set_alert.when is not None
    assert set_alert.when.text == "principal.organization == 'acme' && args.city != 'Atlantis'"
    assert read.methods.matches("resources/subscribe")
    assert read.targets[TargetKind.RESOURCE].matches("weather://oslo")
    assert purge.effect is Effect.DENY
    assert purge.scopes == ()


def test_the_example_gives_no_advice() -> None:
    assert review_file(GOOD / "example.yaml").advice == ()


def test_every_key_arrives_in_the_policy() -> None:
    policy = good("everything")
    assert policy.cache == CacheTerms(max_ttl_s=30, jwks_ttl_s=600, jwks_max_stale_s=172_800, shared=Sharing.ALWAYS)
    assert policy.when_stale is WhenStale.DENY
    door, weather = policy.issuers["door"], policy.resources["weather"]
    assert door.leeway_s == 45
    assert door.algorithms == ("ES256", "PS256")
    assert door.organizations == {"acme", "0123"}
    assert door.introspection == Introspection(
        client_id="gw", client_secret="hunter2-hunter2", endpoint="https://door.example.com/introspect"
    )
    assert policy.issuers["cloak"].profile == "keycloak"
    assert weather.issuers == (door, policy.issuers["cloak"])
    assert weather.hosts == ("weather.internal:8080", "[::1]:8080")
    assert weather.audiences == {"desktop-client-id"}
    assert weather.upstream == "http://weather:8000/mcp/"
    assert weather.scopes["read"].description == "Lire: prévisions"
    assert weather.closure["admin"] == {"admin", "write", "read"}
    assert weather.challenge_scopes is ChallengeScopes.REQUIRED_AND_GRANTED
    assert weather.denial is DenialForm.JSONRPC
    assert weather.upstream_headers == UpstreamHeaders(prefix="x-who-", forward_token=True)
    assert weather.origins == {"https://app.example.com", "http://localhost:3000", "vscode-webview://panel"}
    assert not weather.session_binding
    assert weather.responses
    assert weather.header_only == SETTLED_METHODS
    assert weather.rules[1].scopes == ("write", "read")
    assert weather.rules[4].targets[TargetKind.TASK].matches("anything")
    assert weather.rules[5].methods.matches("no/such/method")


def test_a_file_of_the_least_keys_has_the_documented_defaults() -> None:
    policy = good("minimal")
    door = policy.issuers["door"]
    assert door == Issuer(name="door", issuer="https://door.example.com", jwks_uri="", line=3)
    assert policy.resources["weather"] == Resource(
        name="weather",
        uri="https://mcp.example.com/weather",
        issuers=(door,),
        scopes={},
        baseline=(),
        rules=(),
        closure={},
        line=6,
    )
    assert policy.cache == CacheTerms()
    assert policy.when_stale is WhenStale.ALLOW


def test_a_rule_without_scopes_needs_the_baseline() -> None:
    assert good("two-resources").resources["weather"].rules[0].scopes == ("weather",)


def test_a_deny_rule_with_a_condition_leaves_something_to_allow() -> None:
    text = BASE.replace(
        "tools: [forecast]}", "tools: [forecast]}\n      - {methods: ['*'], effect: deny, when: args.a == 1}"
    )
    assert len(parsed(text).resources["weather"].rules) == 2


def test_aliases_are_what_they_stand_for() -> None:
    policy = good("aliases")
    weather, climate = policy.resources["weather"], policy.resources["climate"]
    assert (weather.issuers, weather.scopes) == (climate.issuers, climate.scopes)
    assert [rule.methods for rule in weather.rules] == [rule.methods for rule in climate.rules]


@pytest.mark.parametrize(
    ("issuer_key", "resource_key", "top_key", "ok"),
    [(False, False, False, False), (True, False, False, False), (True, True, False, True), (False, False, True, True)],
)
def test_plain_http_is_accepted_for_what_the_unsafe_key_stands_at(
    issuer_key: bool, resource_key: bool, top_key: bool, ok: bool
) -> None:
    flag = {"unsafe_allow_http": True}
    text = yaml.safe_dump(
        {
            "version": 1,
            "issuers": {"door": {"issuer": "http://door.internal", **(flag if issuer_key else {})}},
            "resources": {
                "weather": {"uri": "http://weather.internal/mcp", "issuers": ["door"], **(flag if resource_key else {})}
            },
            **(flag if top_key else {}),
        }
    )
    assert isinstance(parse_policy(text), Policy) is ok


# --- secrets -----------------------------------------------------------------------------------------------------


def test_a_secret_file_is_relative_to_the_policy(tmp_path: Path) -> None:
    (tmp_path / "example.yaml").write_text((GOOD / "example.yaml").read_text())
    (tmp_path / "example-secret").write_text("another\r\n")
    policy = load_policy(tmp_path / "example.yaml")
    assert isinstance(policy, Policy)
    introspection = policy.issuers["casdoor"].introspection
    assert introspection is not None
    assert introspection.client_secret == "another"


def test_without_secrets_nothing_is_read() -> None:
    policy = load_policy(GOOD / "everything.yaml", env={}, with_secrets=False)
    assert isinstance(policy, Policy)
    introspection = policy.issuers["door"].introspection
    assert introspection is not None
    assert introspection.client_secret == ""


def test_a_secret_has_no_repr() -> None:
    assert "hunter2" not in repr(good("everything"))


def test_a_missing_variable_is_a_fault() -> None:
    found = load_policy(GOOD / "everything.yaml", env={})
    assert isinstance(found, PolicyFaults)
    assert "EXTAUTHZ_TEST_SECRET" in str(found)


# --- revision ----------------------------------------------------------------------------------------------------


def test_comments_layout_and_order_of_keys_leave_the_revision() -> None:
    data = yaml.safe_load(BASE)
    written = [BASE, "# a comment\n\n" + BASE, yaml.safe_dump(data), yaml.safe_dump(data, default_flow_style=True)]
    data["resources"] = dict(reversed(data["resources"].items()))
    written.append(json.dumps(data))
    assert len({parsed(text).revision for text in written}) == 1


def test_the_order_of_names_leaves_the_revision_and_that_of_scopes_does_not() -> None:
    """A name is in a list or not; scopes stand in challenges in the order of the file."""
    names, turned = "tools: [forecast, purge]", "tools: [purge, forecast]"
    assert names in BASE
    assert parsed(BASE).revision == parsed(BASE.replace(names, turned)).revision
    two = BASE.replace(names, f"{names}, scopes: [admin, other]").replace(
        "scopes: {admin:", "scopes: {other: {}, admin:"
    )
    assert parsed(two).revision != parsed(two.replace("[admin, other]", "[other, admin]")).revision


def test_a_default_written_out_leaves_the_revision() -> None:
    assert parsed(BASE).revision == parsed(BASE + "cache: {max_ttl: 1m}\nrevocation: {when_stale: allow}\n").revision


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[acme]", "[acme, bcme]"),
        ("[forecast]", "[forecast, other]"),
        ("baseline: [admin]", "baseline: []"),
        ("https://mcp.example.com/weather/admin", "https://mcp.example.com/admin"),
        ("tools: [forecast]}", "tools: [forecast], when: principal.machine}"),
        ("version: 1", "version: 1\ncache: {max_ttl: 59s}"),
        ("issuers: [door]", "issuers: [door]\n    session_binding: false"),
    ],
)
def test_whatever_decides_changes_the_revision(old: str, new: str) -> None:
    assert old in BASE
    assert parsed(BASE).revision != parsed(BASE.replace(old, new, 1)).revision


def test_the_place_of_a_secret_leaves_the_revision(tmp_path: Path) -> None:
    text = (GOOD / "example.yaml").read_text()
    secrets = SecretSource(env={"OTHER": "x"}, folder=GOOD)
    moved = parse_policy(text.replace("client_secret_file: example-secret", "client_secret_env: OTHER"), "x", secrets)
    assert isinstance(moved, Policy)
    assert moved.revision == good("example").revision


def test_the_revision_is_sixteen_hex_digits() -> None:
    revision = good("minimal").revision
    assert len(revision) == 16
    int(revision, 16)


# --- files that cannot be read -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["no/such/file.yaml", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_a_fault(path: str) -> None:
    found = load_policy(path)
    assert isinstance(found, PolicyFaults)
    assert "cannot be read" in str(found)


def test_bytes_that_are_not_utf8_are_a_fault_with_their_place() -> None:
    found = review_bytes("version: 1\nissuers: é".encode("latin-1"), "x.yaml").policy
    assert isinstance(found, PolicyFaults)
    assert str(found).startswith("x.yaml:2:10: the policy is not UTF-8 text")


def test_a_byte_order_mark_is_no_part_of_the_policy() -> None:
    assert isinstance(review_bytes(b"\xef\xbb\xbf" + BASE.encode(), "x.yaml").policy, Policy)


def test_windows_line_ends_are_fine() -> None:
    policy = review_bytes(BASE.replace("\n", "\r\n").encode(), "x.yaml").policy
    assert isinstance(policy, Policy)
    assert policy.resources["weather"].line == parsed(BASE).resources["weather"].line


def test_a_file_that_is_too_large_is_a_fault() -> None:
    for found in (review_bytes(b"#" * (MAX_FILE_BYTES + 1), "x").policy, parse_policy("#" * (MAX_FILE_BYTES + 1))):
        assert isinstance(found, PolicyFaults)
        assert "larger than" in str(found)


# --- hostile -----------------------------------------------------------------------------------------------------

WORDS: Final = st.sampled_from(
    [
        *("version: 1", "issuers:", "resources:", "  a:", "    uri: https://h/x", "rules:", "      - {methods: [x]}"),
        *("? ", ": ", "- ", "&a ", "*a", "<<: *a", "!!set", "|\n", ">-\n", "\t", "%YAML 1.1\n", "---\n", "...\n"),
        *("'", '"', "[", "]", "{", "}", ",", "#", "\n", " ", "  ", "\0", "\ud800", "\ufeff", "\x85", "~", "null"),
        *("tools/call", "when: args.", "scopes: [a]", "0x1", "1e9", "yes", "\u202e", "é", "9" * 30),
    ]
)


@settings(max_examples=400)
@given(st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=40).map("".join)))
def test_no_text_raises(text: str) -> None:
    found = parse_policy(text)
    assert isinstance(found, Policy) or found.faults


@settings(max_examples=300)
@given(st.data())
def test_no_damaged_policy_raises_and_what_is_accepted_is_a_policy(data: st.DataObject) -> None:
    text = (GOOD / "everything.yaml").read_text()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        end = at + data.draw(st.integers(0, 12))
        text = text[:at] + data.draw(st.one_of(WORDS, st.text(max_size=4))) + text[end:]
    found = parse_policy(text, "x", SecretSource(env=ENV, folder=GOOD))
    assert isinstance(found, Policy) or found.faults


LEAVES: Final = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(["*", "a", "https://h"])
)
KEYS: Final = st.sampled_from(
    [
        *("version", "issuers", "resources", "cache", "revocation", "issuer", "uri", "scopes", "rules", "methods"),
        *("tools", "when", "includes", "introspection", "client_id", "leeway", "algorithms", "baseline", "x", ""),
        *("challenge", "upstream_headers", "effect", "origins", "hosts", "clients"),
    ]
)
TREES: Final = st.recursive(
    LEAVES,
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(KEYS, below, max_size=4)),
    max_leaves=20,
)


@settings(max_examples=400)
@given(TREES, st.sampled_from(["top", "issuer", "resource", "rule"]))
def test_no_tree_raises_wherever_it_stands(tree: Any, where: str) -> None:
    data: Any = json.loads(EVERYTHING)
    match where:
        case "top":
            data = {**data, **tree} if isinstance(tree, dict) else tree
        case "issuer":
            data["issuers"]["door"] = {**data["issuers"]["door"], **tree} if isinstance(tree, dict) else tree
        case "resource":
            weather = data["resources"]["weather"]
            data["resources"]["weather"] = {**weather, **tree} if isinstance(tree, dict) else tree
        case _:
            data["resources"]["weather"]["rules"][1] = tree
    found = parse_policy(json.dumps(data))
    assert isinstance(found, Policy) or found.faults


def test_rules_are_bounded() -> None:
    rules = "".join(f"      - {{methods: [tools/call], tools: [t{n}]}}\n" for n in range(MAX_RULES + 1))
    head, _, _ = BASE.partition("      - {")
    found = parse_policy(head + rules)
    assert isinstance(found, PolicyFaults)
    assert f"has more than {MAX_RULES} items" in str(found)


def test_a_badly_named_mapping_is_judged_as_well() -> None:
    found = parse_policy(
        BASE.replace("door: {issuer", '"the door": {profile: 5, issuer').replace("[door]", "[the door]")
    )
    assert isinstance(found, PolicyFaults)
    assert [fault.path for fault in found.faults] == ['issuers["the door"]', 'issuers["the door"].profile']


@pytest.mark.parametrize("name", ["algorithms", "rules", "scopes", "issuer", "client_secret"])
def test_names_may_be_those_of_keys(name: str) -> None:
    text = BASE.replace("door", name).replace("weather-admin:", f"{name}:")
    assert isinstance(parse_policy(text), Policy)
    found = parse_policy(text.replace("https://mcp.example.com/weather/admin", "/relative"))
    assert isinstance(found, PolicyFaults)
    assert [fault.path for fault in found.faults] == [f"resources.{name}.uri"]


def test_a_file_at_the_bounds_is_read_in_time() -> None:
    rules: list[dict[str, Any]] = [
        {"methods": ["tools/call"], "tools": [f"tool_{n}_{k}_*" for k in range(10)]} for n in range(1000)
    ]
    rules[500] = {"methods": ["tools/call"], "tools": ["purge_*"], "effect": "deny"}
    data = {
        "version": 1,
        "issuers": {"door": {"issuer": "https://door.example.com"}},
        "resources": {"weather": {"uri": "https://h/mcp", "issuers": ["door"], "rules": rules}},
    }
    assert len(parsed(json.dumps(data)).resources["weather"].rules) == 1000
