"""One bad policy file per rule: each has exactly one fault, told at its place, with a way to mend it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from extauthz.config.policy_file.fault import Fault, PolicyFaults
from extauthz.config.policy_file.policy_file import load_policy

BAD: Final = Path(__file__).parents[3] / "data" / "policies" / "bad"

# File, then line, column and message of its fault.
FAULTS: Final[Mapping[str, tuple[int, int, str]]] = {
    # YAML
    "yaml-alias-bomb": (6, 4, "more than 50000 values, aliases counted in full"),
    "yaml-alias-inside-itself": (10, 27, 'the alias "*self" is used inside the value that it names'),
    "yaml-alias-unknown": (10, 14, 'the alias "*nobody" is not defined above'),
    "yaml-bracket": (11, 11, "not YAML: did not find expected ',' or ']' while parsing a flow"),
    "yaml-colon": (13, 26, "not YAML: mapping values are not allowed in this context"),
    "yaml-date": (12, 27, '"2026-07-28" without quotes is a number or date to some readers'),
    "yaml-deep": (2, 41, "more than 32 levels"),
    "yaml-duplicate-key": (15, 5, 'the key "baseline" stands twice, first in line 14'),
    "yaml-duplicate-resource": (9, 3, 'the key "weather" stands twice, first in line 8'),
    "yaml-empty": (1, 1, "the file is empty"),
    "yaml-float": (7, 13, '"1.5" without quotes is a number or date to some readers'),
    "yaml-hidden-character": (16, 41, "the text has the invisible character U+202E"),
    "yaml-key-list": (7, 1, "a key that is not text"),
    "yaml-key-number": (4, 3, 'the key "8080" is not text'),
    "yaml-list": (2, 1, "the file is a list, not a mapping"),
    "yaml-merge-key": (6, 5, "merge keys are not supported"),
    "yaml-number-octal": (6, 27, '"0123" without quotes is a number or date to some readers'),
    "yaml-second-document": (17, 1, "a second document begins here"),
    "yaml-tab": (9, 1, "not YAML: found character that cannot start any token while"),
    "yaml-tag": (6, 20, 'the tag "tag:yaml.org,2002:set" is not supported'),
    "yaml-word-no": (6, 27, '"no" without quotes is a boolean to some readers and text to'),
    # shape
    "version-missing": (2, 1, 'the file has no key "version"'),
    "version-true": (2, 10, "version is true, not a whole number"),
    "version-unknown": (2, 10, "version: 2 is not a known version of the policy file"),
    "issuers-missing": (2, 1, 'the file has no key "issuers"'),
    "resources-empty": (7, 12, "resources is empty"),
    "issuer-missing": (4, 3, 'issuers.door has no key "issuer"'),
    "resource-without-uri": (8, 3, 'resources.weather has no key "uri"'),
    "unknown-key-far": (14, 5, 'unknown key "rate_limit" in resources.weather'),
    "unknown-key-issuer": (6, 5, 'unknown key "organisations" in issuers.door'),
    "unknown-key-rule": (16, 33, 'unknown key "tool" in resources.weather.rules[0]'),
    "unknown-key-revocation": (7, 14, 'unknown key "when_stal" in revocation'),
    "unknown-key-scope": (13, 15, 'unknown key "include" in resources.weather.scopes.write'),
    "unknown-key": (7, 1, 'unknown key "cahce"'),
    "client-secret-inline": (7, 36, 'unknown key "client_secret" in issuers.door.introspection'),
    "blank-introspection": (7, 19, "issuers.door.introspection: the key has no value"),
    "blank-scope": (12, 12, "resources.weather.scopes.read is nothing, not a mapping"),
    "blank-tools": (16, 40, "resources.weather.rules[0].tools is nothing, not a list"),
    "empty-clients": (7, 14, "issuers.door.clients is empty"),
    "empty-issuers": (10, 14, "resources.weather.issuers is empty"),
    "empty-methods": (16, 19, "resources.weather.rules[0].methods is empty"),
    "empty-organizations": (6, 20, "issuers.door.organizations is empty"),
    "empty-rule-scopes": (16, 57, "resources.weather.rules[0].scopes is empty"),
    "empty-tool-name": (16, 48, "resources.weather.rules[0].tools[1]: an empty text"),
    "empty-tools": (16, 40, "resources.weather.rules[0].tools is empty"),
    "empty-when": (16, 71, "resources.weather.rules[0].when is empty"),
    "type-boolean-for-number": (7, 13, "issuers.door.leeway is true, not a whole number"),
    "type-list-for-mapping": (12, 13, "resources.weather.scopes.read is a list, not a mapping"),
    "type-number-for-text": (6, 21, "issuers.door.organizations[0] is the number 12345, not text"),
    "type-text-for-boolean": (14, 22, 'resources.weather.session_binding is the text "yes", not true'),
    "type-text-for-list": (6, 20, 'issuers.door.organizations is the text "acme", not a list'),
    "type-text-for-mapping": (7, 20, "issuers.door.introspection is a text, not a mapping"),
    "profile-unknown": (7, 14, 'issuers.door.profile cannot be "casdor"'),
    "algorithm-none": (7, 18, 'issuers.door.algorithms[0] cannot be "none"'),
    "algorithm-symmetric": (7, 25, 'issuers.door.algorithms[1] cannot be "HS256"'),
    "effect-unknown": (16, 73, 'resources.weather.rules[0].effect cannot be "forbid"'),
    "denial-unknown": (14, 13, 'resources.weather.denial cannot be "json-rpc"'),
    "challenge-unknown": (14, 25, 'resources.weather.challenge.scopes cannot be "all"'),
    "responses-boolean": (14, 16, "resources.weather.responses cannot be true"),
    "leeway-too-long": (7, 13, "issuers.door.leeway: 120 s is out of bounds"),
    "duration-negative": (7, 18, "cache.max_ttl: -1 s is out of bounds"),
    "duration-unit": (7, 18, 'cache.max_ttl: "1d" is not a duration'),
    "shared-unknown": (7, 17, 'cache.shared cannot be "sometimes"'),
    "cache-stale-shorter": (7, 39, "jwks_max_stale is shorter than jwks_ttl: keys would be dropped"),
    "cache-too-long": (7, 18, "cache.max_ttl: 7200 s is out of bounds"),
    "when-stale-unknown": (7, 26, 'revocation.when_stale cannot be "maybe"'),
    "name-of-issuer": (4, 3, 'issuers["the door"]: "the door" cannot be a name'),
    "name-of-resource": (8, 3, 'resources.weather/mcp: "weather/mcp" cannot be a name'),
    "name-of-scope": (13, 7, 'resources.weather.scopes["read all"]: "read all" is not a scope'),
    "audience-any": (14, 17, 'resources.weather.audiences[0]: the audience "*" has a wildcard'),
    "client-wildcard": (7, 15, 'issuers.door.clients[0]: "ops-*" has a `*`'),
    "host-wildcard": (14, 13, 'resources.weather.hosts[0]: "*.internal" has a wildcard'),
    "host-with-scheme": (14, 13, 'resources.weather.hosts[0]: "http://weather.internal" is more'),
    "method-with-space": (16, 20, 'resources.weather.rules[0].methods[0]: the method "tools/call'),
    "tool-with-space": (16, 41, 'resources.weather.rules[0].tools[0]: "get_* " has white space'),
    "prefix-of-mcp": (14, 32, 'resources.weather.upstream_headers.prefix: the prefix "mcp-"'),
    "prefix-upper-case": (14, 32, 'resources.weather.upstream_headers.prefix: "X-Auth-" is not a'),
    "prefix-without-dash": (14, 32, 'resources.weather.upstream_headers.prefix: "xauth" is not a'),
    "when-too-long": (16, 71, "resources.weather.rules[0].when is longer than 2000 characters"),
    # addresses
    "issuer-fragment": (5, 13, '"https://door.example.com/#a" has a fragment'),
    "issuer-http": (5, 13, '"http://door.example.com" is plain http to another machine'),
    "issuer-not-url": (5, 13, '"door.example.com" is not an absolute URL'),
    "issuers-same-iss": (13, 21, "side and door have the same `iss`, so that tokens cannot be"),
    "jwks-empty": (7, 15, '"" is not an absolute URL'),
    "jwks-http": (7, 15, '"http://door.example.com/jwks" is plain http to another machine'),
    "uri-characters": (9, 10, '"https://mcp.example.com/the weather" has characters that a URL'),
    "uri-dot-segments": (9, 10, "no request can match the path of"),
    "uri-encoded": (9, 10, "no request can match the path of"),
    "uri-fragment": (9, 10, '"https://mcp.example.com/weather#a" has a fragment'),
    "uri-http": (9, 10, '"http://mcp.example.com/weather" is plain http to another'),
    "uri-metadata": (9, 10, "/.well-known/oauth-protected-resource is where metadata is"),
    "uri-query": (9, 10, '"https://mcp.example.com/weather?a=b" has a query'),
    "uri-relative": (9, 10, '"/weather" is not an absolute URL'),
    "uri-upper-case": (9, 10, '"https://MCP.example.com:443/weather/" is not in canonical form'),
    "uri-user": (9, 10, "the URL has a user name or password in it"),
    "upstream-not-url": (14, 15, 'resources.weather.upstream: "weather:8000" is not an absolute'),
    "origin-any": (14, 15, 'the origin "*" would let any page call the server'),
    "origin-http": (14, 15, 'pages of "http://app.example.com" can be changed on their way'),
    "origin-null": (14, 15, 'the origin "null" would let any page call the server'),
    "origin-path": (14, 15, 'browsers never send "https://app.example.com/" as the origin'),
    # names that refer to others
    "unknown-issuer": (10, 15, 'unknown issuer "dor"'),
    "unknown-scope-baseline": (14, 16, 'unknown scope "raed"'),
    "unknown-scope-includes": (13, 26, 'unknown scope "admin:everything"'),
    "unknown-scope-rule": (16, 58, 'unknown scope "raed"'),
    "machine-client-not-client": (8, 23, '"ops-bot" is not among `clients`, so none of its tokens count'),
    "scope-cycle": (12, 14, "scopes include each other: read -> write -> read"),
    "scope-includes-itself": (13, 15, "scopes include each other: write -> write"),
    # rules
    "deny-with-scopes": (17, 63, "a deny rule with scopes: it denies whatever the scopes"),
    "rule-denied-in-parts": (17, 9, "the rule can never allow anything: all of it is denied in line"),
    "rule-denied": (16, 9, "the rule can never allow anything: all of it is denied in line"),
    "uris-dot-segment": (17, 44, '"docs://a/../secret" matches nothing: the URI has a dot segment'),
    "uris-broken-escape": (
        17,
        44,
        '"docs://a%2*" matches nothing: the URI has an escape that URL parsers differ about',
    ),
    "uris-not-utf8": (17, 44, '"docs://caf%E9" matches nothing: the URI has escapes that are not UTF-8'),
    "uris-many-parameters": (
        17,
        44,
        '"docs://x?a=1&b=2&c=3&d=4&e=5" names more than 4 parameters: another order passes it',
    ),
    "rule-duplicate": (17, 9, "the rule says the same as the one in line 16"),
    "rule-duplicate-uris": (17, 9, "the rule says the same as the one in line 16"),
    "rule-targets-half-mismatch": (17, 49, "the list uris never applies: no operation with method"),
    "rule-targets-mismatch": (17, 37, "the rule never applies: no operation with method resources/read"),
    "rule-targets-unknown-method": (17, 33, "the rule never applies: no operation with method skills/run"),
    # conditions
    "when-block": (22, 13, 'the condition reads "principal.role", which does not exist'),
    "when-folded": (19, 15, 'the condition reads "principal.role", which does not exist, at'),
    "when-misspelt": (17, 73, 'the condition reads "principal.organisation", which does not'),
    "when-not-boolean": (17, 72, "the condition is of type dyn, not bool"),
    "when-syntax": (17, 85, "in the condition: Syntax error: mismatched input '<EOF>'"),
    "when-types": (17, 88, "in the condition: found no matching overload for '_==_' applied"),
    # places and secrets
    "resources-overlap-by-host": (18, 10, "the resources weather and other are both at"),
    "resources-overlap": (18, 10, "the resources weather and other are both at"),
    "secret-file-missing": (7, 56, 'no-such-secret" cannot be read: No such file or directory'),
    "secret-nowhere": (7, 5, "introspection needs one source of the client secret"),
    "secret-twice": (7, 5, "introspection needs one source of the client secret"),
    "secret-variable-missing": (7, 55, 'the environment variable "EXTAUTHZ_TEST_NO_SUCH_VARIABLE" is'),
    "introspection-http": (7, 71, '"http://door.example.com/introspect" is plain http to another'),
}

# One fault of every kind in one file.
MANY: Final = (
    (5, 13, '"http://door.example.com" is plain http to another machine'),
    (6, 5, 'unknown key "profil" in issuers.door'),
    (7, 13, "issuers.door.leeway: 300 s is out of bounds"),
    (8, 15, '"yes" without quotes is a boolean to some readers and text to'),
    (11, 10, '"https://mcp.example.com/weather/" is not in canonical form'),
    (12, 15, 'unknown issuer "dor"'),
    (14, 14, "scopes include each other: read -> write -> read"),
    (16, 16, 'unknown scope "raed"'),
    (17, 5, 'the key "baseline" stands twice, first in line 16'),
    (19, 19, "resources.weather.rules[0].methods is empty"),
    (19, 48, 'unknown scope "red"'),
    (20, 54, 'unknown scope "wirte"'),
    (20, 70, 'resources.weather.rules[1].effect cannot be "forbid"'),
    (20, 85, 'the condition reads "principal.nam", which does not exist'),
    (21, 37, "the rule never applies: no operation with method resources/read"),
    (22, 9, "resources.weather.rules[3] is a text, not a mapping"),
    (23, 9, "the rule can never allow anything: all of it is denied in line"),
    (25, 3, 'resources.other has no key "uri"'),
    (27, 15, 'the origin "*" would let any page call the server'),
    (28, 22, "resources.other.session_binding is the number 1, not true or"),
)


def faults_of(name: str) -> tuple[Fault, ...]:
    found = load_policy(BAD / f"{name}.yaml", env={"HOME": "/home/somebody"})
    assert isinstance(found, PolicyFaults), f"{name}.yaml was accepted"
    return found.faults


@pytest.mark.parametrize("name", FAULTS)
def test_each_bad_file_has_its_one_fault(name: str) -> None:
    line, column, message = FAULTS[name]
    (fault,) = faults_of(name)
    assert (fault.line, fault.column) == (line, column)
    assert message in fault.message
    assert fault.hint


def test_every_bad_file_stands_in_the_table() -> None:
    assert {path.stem for path in BAD.glob("*.yaml")} == {*FAULTS, "many"}


def test_all_faults_of_a_file_are_told_at_once_in_file_order() -> None:
    told = faults_of("many")
    assert [(fault.line, fault.column) for fault in told] == [(line, column) for line, column, _ in MANY]
    for fault, (_, _, message) in zip(told, MANY, strict=True):
        assert message in fault.message


@pytest.mark.parametrize("name", [*FAULTS, "many"])
def test_a_fault_is_one_line_with_file_line_column_message_and_mend(name: str) -> None:
    for fault in faults_of(name):
        assert str(fault) == f"{fault.file}:{fault.line}:{fault.column}: {fault.message} ({fault.hint})"
        assert fault.file == str(BAD / f"{name}.yaml")
        assert len(str(fault).splitlines()) == 1


@pytest.mark.parametrize("name", ["client-secret-inline", "type-text-for-mapping", "uri-user"])
def test_a_secret_in_the_wrong_place_is_not_repeated(name: str) -> None:
    assert "hunter2" in (BAD / f"{name}.yaml").read_text()
    assert "hunter2" not in "".join(map(str, faults_of(name)))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("when-misspelt", "principal.organisation"),
        ("when-types", "== 1"),
        ("when-block", "principal.role"),
        ("when-folded", ">-"),
        ("unknown-key-rule", "tool:"),
        ("unknown-scope-rule", "raed"),
        ("unknown-issuer", "dor]"),
        ("yaml-hidden-character", '"get_'),
    ],
)
def test_the_place_of_a_fault_is_where_the_wrong_text_stands(name: str, text: str) -> None:
    (fault,) = faults_of(name)
    line = (BAD / f"{name}.yaml").read_text().splitlines()[fault.line - 1]
    assert line[fault.column - 1 :].startswith(text)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("unknown-key", 'did you mean "cache"?'),
        ("unknown-key-issuer", 'did you mean "organizations"?'),
        ("unknown-issuer", 'did you mean "door"?'),
        ("unknown-scope-rule", 'did you mean "read"?'),
        ("unknown-scope-includes", "add it to `scopes` of weather, which has read, write"),
        ("when-misspelt", 'did you mean "organization"?'),
        ("profile-unknown", 'did you mean "casdoor"?'),
        ("algorithm-symmetric", "use one of: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512"),
        ("uri-upper-case", 'write "https://mcp.example.com/weather"'),
        ("origin-path", 'write "https://app.example.com"'),
        ("client-secret-inline", "use client_secret_file or client_secret_env"),
        ("uri-http", "use https, or set unsafe_allow_http: true"),
    ],
)
def test_a_mend_names_what_to_write(name: str, hint: str) -> None:
    (fault,) = faults_of(name)
    assert hint in fault.hint
