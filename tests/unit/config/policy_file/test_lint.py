"""Advice on policies that work: each piece of it has a case that gets it, and a near one that does not."""

import pytest

from extauthz.config.policy_file.fault import Fault, PolicyFaults
from extauthz.config.policy_file.policy_file import review_bytes

RULE = "      - {methods: [tools/call], tools: [get_*], scopes: [read]}\n"
OWN = "https://door.example.com/.well-known/gw/jwks"
CLEAN = f"""\
version: 1
issuers:
  door: {{issuer: "https://door.example.com", jwks_uri: "{OWN}", organizations: [acme], clients: [desktop]}}
resources:
  weather:
    uri: https://mcp.example.com/weather
    issuers: [door]
    scopes: {{read: {{}}, write: {{includes: [read]}}}}
    baseline: [read]
    rules:
{RULE}      - {{methods: [tools/call], tools: [set_*], scopes: [write]}}
"""


def advice(text: str) -> tuple[Fault, ...]:
    review = review_bytes(text.encode(), "x.yaml")
    assert not isinstance(review.policy, PolicyFaults), str(review.policy)
    return review.advice


def changed(*edits: tuple[str, str]) -> str:
    text = CLEAN
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def with_rules(*rules: str) -> str:
    return CLEAN + "".join(f"      - {rule}\n" for rule in rules)


def test_a_good_policy_gets_none() -> None:
    assert advice(CLEAN) == ()


def test_keys_of_every_organization_are_accepted_in_words_only() -> None:
    shared = changed(("/.well-known/gw/jwks", "/.well-known/jwks"), ("[desktop]", "[desktop], shared_keys: true"))
    assert advice(shared) == ()
    refused = advice(shared.replace("shared_keys: true", "shared_keys: false"))
    assert [one.hint for one in refused] == [
        "set jwks_uri to https://door.example.com/.well-known/<application>/jwks, or accept it with shared_keys: true"
    ]


def test_only_casdoor_lets_tenants_add_signing_keys() -> None:
    assert advice(changed((', jwks_uri: "https://door.example.com/.well-known/gw/jwks"', ", profile: rfc9068"))) == ()


ADVICE = {
    "scopes that every client can ask for": (
        changed((", clients: [desktop]", "")),
        (12, 49),
        'nothing but the scope "write" is asked for, and every client of door can ask for it',
    ),
    "issuer nobody uses": (
        changed(("resources:", '  spare: {issuer: "https://spare.example.com", profile: rfc9068}\nresources:')),
        (4, 3),
        "no resource uses the issuer spare",
    ),
    "casdoor without organizations": (
        changed(("organizations: [acme], ", "")),
        (3, 3),
        "tokens of every organization of the Casdoor instance",
    ),
    "keys of every organization": (
        changed(("/.well-known/gw/jwks", "/.well-known/jwks")),
        (3, 56),
        'can add a key there and sign tokens of "acme"',
    ),
    "keys from discovery": (
        changed((', jwks_uri: "https://door.example.com/.well-known/gw/jwks"', "")),
        (3, 3),
        "discovery names the key set of the whole Casdoor instance",
    ),
    "plain http": (
        changed(("[desktop]}", "[desktop], unsafe_allow_http: true}")),
        (3, 147),
        "plain http to other machines is accepted",
    ),
    "plain http for all": (
        changed(("version: 1", "version: 1\nunsafe_allow_http: true")),
        (2, 1),
        "plain http to other machines is accepted",
    ),
    "plain http for a resource": (
        changed(("    baseline", "    unsafe_allow_http: true\n    baseline")),
        (9, 5),
        "plain http to other machines is accepted",
    ),
    "no baseline": (changed(("    baseline: [read]\n", "")), (5, 3), "has no baseline"),
    "no path": (changed(("https://mcp.example.com/weather", "https://mcp.example.com")), (6, 10), "has no path"),
    "forwarded token": (
        changed(("    baseline", "    upstream_headers: {forward_token: true}\n    baseline")),
        (9, 24),
        "the client's token goes to the MCP server",
    ),
    "header_only": (
        changed(("    baseline", "    header_only: true\n    baseline")),
        (9, 5),
        "calls are permitted by their headers alone",
    ),
    "header_only with a condition on arguments": (
        changed(("    baseline", "    header_only: true\n    baseline"), ("[set_*],", "[set_*], when: 'args.x == 1',")),
        (13, 55),
        "the condition reads arguments, so tools/call needs the body despite header_only",
    ),
    "offline_access": (
        changed(("read: {}", "read: {}, offline_access: {}"), ("baseline: [read]", "baseline: [read, offline_access]")),
        (8, 24),
        "a resource must not ask for it",
    ),
    "scope nobody needs": (changed(("read: {}", "read: {}, spare: {}")), (8, 24), 'nothing needs the scope "spare"'),
    "audience with any client": (
        changed((", clients: [desktop]", ""), ("    baseline", "    audiences: [some-client]\n    baseline")),
        (9, 5),
        "any signed-in user of door can get a token with a client id as audience",
    ),
    "audience of another resource": (
        changed(("    baseline", '    audiences: ["https://mcp.example.com/other"]\n    baseline'))
        + "  other: {uri: https://mcp.example.com/other, issuers: [door], baseline: []}\n",
        (9, 17),
        "is the resource other: its tokens would be accepted here",
    ),
    "unknown method": (
        with_rules("{methods: [tool/call], scopes: [write]}"),
        (13, 20),
        'no revision of MCP has the method "tool/call"',
    ),
    "pattern that matches no method": (
        with_rules('{methods: ["tool/*"], scopes: [write]}'),
        (13, 20),
        'no revision of MCP has the method "tool/*"',
    ),
    "method that the list is not for": (
        with_rules("{methods: [resources/read, tools/call], tools: [x], scopes: [write]}"),
        (13, 20),
        'the rule never applies to "resources/read"',
    ),
    "regular expression": (
        with_rules('{methods: [tools/call], tools: ["del_[a-z]+"], scopes: [write]}'),
        (13, 41),
        "only * is special",
    ),
    "name twice": (
        with_rules("{methods: [tools/call], tools: [a, b, a], scopes: [write]}"),
        (13, 47),
        '"a" stands twice in the list',
    ),
    "every method": (with_rules('{methods: ["*"]}'), (13, 9), "the rule allows every method, known or not"),
    "every tool by pattern": (with_rules('{methods: [tools/call], tools: ["*"]}'), (13, 9), "allows every tool"),
    "every tool without list": (with_rules("{methods: [tools/*]}"), (13, 9), "the rule allows every tool"),
    "what the baseline permits": (
        with_rules("{methods: [tools/list, ping], scopes: [write]}"),
        (13, 9),
        "the baseline permits tools/list, ping already",
    ),
    "name that is always denied": (
        with_rules(
            "{methods: [tools/call], tools: [a, purge], scopes: [write]}",
            "{methods: [tools/call], tools: [p*], effect: deny}",
        ),
        (13, 44),
        '"purge" is always denied in line 14',
    ),
    "narrower rule that needs more": (
        with_rules("{methods: [tools/call], tools: [get_a], scopes: [write]}"),
        (13, 9),
        "the rule makes no difference: the one in line 11 allows as much and needs no more",
    ),
    "narrower rule under a condition": (
        with_rules("{methods: [tools/call], tools: [get_a], when: principal.machine}"),
        (13, 9),
        "the rule makes no difference",
    ),
    "narrower deny rule": (
        with_rules(
            "{methods: [tools/call], tools: [p*], effect: deny}",
            "{methods: [tools/call], tools: [purge], effect: deny}",
        ),
        (14, 9),
        "the one in line 13 denies as much",
    ),
}


@pytest.mark.parametrize("name", ADVICE)
def test_advice(name: str) -> None:
    text, (line, column), message = ADVICE[name]
    found = [(one.line, one.column, one.message) for one in advice(text)]
    assert any((line, column) == (at_line, at_column) and message in told for at_line, at_column, told in found), found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (with_rules('{methods: ["*"], scopes: [write]}'), "allows every method"),
        (with_rules('{methods: ["*"], when: principal.machine}'), "allows every method"),
        (with_rules('{methods: [tools/call], tools: ["*"], scopes: [write]}'), "allows every tool"),
        (with_rules('{methods: [prompts/get], prompts: ["*"]}'), "allows every tool"),
        (with_rules("{methods: [subscriptions/listen], scopes: [write]}"), "the baseline permits"),
        (with_rules('{methods: [resources/read], uris: ["file:///{path}"], scopes: [write]}'), "only * is special"),
        (with_rules("{methods: [tools/call], tools: [get_*], when: principal.machine, scopes: [read]}"), "line 13"),
        (
            with_rules(
                "{methods: [tools/call], tools: [a], when: principal.machine}",
                "{methods: [tools/call], tools: [a], when: '!principal.machine'}",
            ),
            "makes no difference",
        ),
        (
            with_rules(
                "{methods: [tools/call], tools: [p*], effect: deny, when: principal.machine}",
                "{methods: [tools/call], tools: [purge], effect: deny}",
            ),
            "makes no difference",
        ),
        (with_rules("{methods: [GET, DELETE, response], scopes: [write]}"), "no revision of MCP"),
        (with_rules("{methods: [tools/call], tools: [a], when: args.x == 1}"), "reads arguments"),
        (changed(("    baseline", "    header_only: false\n    baseline")), "headers alone"),
        (
            changed(("    baseline", "    header_only: true\n    baseline"))
            + "      - {methods: [tasks/get], when: args.x == 1}\n"
            + "      - {methods: [tools/call], tools: [a], when: request.host == 'h'}\n",
            "reads arguments",
        ),
    ],
)
def test_no_advice_on_what_is_meant(text: str, message: str) -> None:
    assert not [one for one in advice(text) if message in one.message]


def test_two_rules_that_say_the_same_are_told_once() -> None:
    text = with_rules(
        "{methods: [tools/call], tools: [a, b], scopes: [write]}",
        "{methods: [tools/call], tools: [b, a], scopes: [write, read]}",
    )
    assert [one.line for one in advice(text) if "makes no difference" in one.message] == [14]


def test_a_policy_with_faults_gets_no_advice() -> None:
    review = review_bytes(with_rules("{methods: [tool/call], scopes: [wirte]}").encode(), "x.yaml")
    assert isinstance(review.policy, PolicyFaults)
    assert review.advice == ()


@pytest.mark.parametrize(
    "text",
    [
        changed(
            (", clients: [desktop]", ""), ("scopes: [write]}", "scopes: [write], when: \"'ops' in principal.roles\"}")
        ),
        changed(
            (", clients: [desktop]", ""), ("scopes: [write]}", "scopes: [read]}"), (", write: {includes: [read]}", "")
        ),
        changed((", clients: [desktop]", ", profile: rfc9068"), ("organizations: [acme], ", "")) + "",
    ],
    ids=["a condition", "the baseline only", "another kind of issuer"],
)
def test_scopes_are_enough_where_something_else_limits_them(text: str) -> None:
    assert not [one for one in advice(text) if "can ask for it" in one.message]
