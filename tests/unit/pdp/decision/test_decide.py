from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.pdp.decision.decide import decide, granted_scopes
from extauthz.pdp.decision.decision import Deny, Permit
from extauthz.pdp.operation import Era, MessageKind, Operation, Target, TargetKind
from extauthz.pdp.policy import Effect, Resource, Rule, Truth
from extauthz.pdp.principal import Principal
from extauthz.pdp.reason import Reason
from extauthz.pdp.uri.uri_pattern import UriPatterns
from tests.support.policies import resource, rule


@dataclass(frozen=True)
class Says:
    """A condition that says what the test wants, and remembers what it was asked."""

    truth: Truth
    reads_beyond_identity: bool = False
    reads_arguments: bool = False
    text: str = "…"
    asked: list[Mapping[str, Any]] = field(default_factory=list)

    def evaluate(self, principal: Principal, operation: Operation, request: Mapping[str, Any]) -> Truth:
        self.asked.append(request)
        return self.truth


def principal(*scopes: str) -> Principal:
    return Principal(
        issuer="https://door.example.com",
        subject="u1",
        organization="acme",
        name="alice",
        client_id="c",
        scopes=frozenset(scopes),
        roles=frozenset(),
        groups=frozenset(),
        machine=False,
    )


def call(tool: str = "get_forecast", **more: Any) -> Operation:
    return Operation(
        kind=MessageKind.REQUEST,
        method="tools/call",
        era=Era.MODERN,
        targets=(Target(TargetKind.TOOL, tool),),
        **more,
    )


def baseline(method: str = "tools/list", kind: MessageKind = MessageKind.REQUEST) -> Operation:
    return Operation(kind=kind, method=method, era=Era.MODERN, baseline=True)


def unknown(method: str = "acme/thing") -> Operation:
    return Operation(kind=MessageKind.REQUEST, method=method, era=Era.MODERN, known=False)


READ = rule(["tools/call"], ["weather:read"], tools=["get_*"])
WRITE = rule(["tools/call"], ["weather:write"], tools=["set_alert"])
PURGE = rule(["tools/call"], tools=["purge"], effect=Effect.DENY)
WEATHER = resource([READ, WRITE, PURGE])


def reason(where: Resource, operation: Operation, *scopes: str) -> Reason:
    found = decide(where, principal(*scopes), operation, {})
    return Reason.ALLOWED if isinstance(found, Permit) else found.reason


@pytest.mark.parametrize(
    ("operation", "scopes", "expected"),
    [
        # ordinary
        (call("get_forecast"), ["weather:read"], Reason.ALLOWED),
        (call("get_forecast"), [], Reason.SCOPE_INSUFFICIENT),
        (call("set_alert"), ["weather:read"], Reason.SCOPE_INSUFFICIENT),
        (call("set_alert"), ["weather:write"], Reason.ALLOWED),
        # includes: write holds read
        (call("get_forecast"), ["weather:write"], Reason.ALLOWED),
        (baseline(), ["weather:write"], Reason.ALLOWED),
        # the baseline
        (baseline(), ["weather:read"], Reason.ALLOWED),
        (baseline(), [], Reason.SCOPE_INSUFFICIENT),
        # default deny, whatever the scopes
        (call("other"), ["weather:read", "weather:write"], Reason.OPERATION_UNCOVERED),
        (call("Get_forecast"), ["weather:write"], Reason.OPERATION_UNCOVERED),
        (unknown(), ["weather:write"], Reason.METHOD_UNKNOWN),
        # deny wins
        (call("purge"), ["weather:write"], Reason.POLICY_DENIED),
        # scopes that the resource does not know count for nothing
        (call("get_forecast"), ["*", "admin", "Weather:read"], Reason.SCOPE_INSUFFICIENT),
    ],
)
def test_decision(operation: Operation, scopes: list[str], expected: Reason) -> None:
    assert expected == reason(WEATHER, operation, *scopes)


def test_without_rules_and_scopes_every_call_is_refused() -> None:
    assert reason(resource(), call(), "weather:read") is Reason.OPERATION_UNCOVERED


def test_an_empty_baseline_means_any_valid_token() -> None:
    assert reason(resource(baseline=[]), baseline()) is Reason.ALLOWED


def test_a_deny_rule_wins_over_an_earlier_allow_rule() -> None:
    where = resource([rule(["*"], []), PURGE], baseline=[])
    assert reason(where, call("purge")) is Reason.POLICY_DENIED
    assert reason(where, call("other")) is Reason.ALLOWED


def test_a_rule_for_every_method_covers_unknown_ones() -> None:
    assert reason(resource([rule(["*"], ["weather:read"])]), unknown(), "weather:read") is Reason.ALLOWED


def test_a_method_that_only_the_policy_knows_is_known() -> None:
    where = resource([rule(["acme/*"], ["weather:write"], tools=["x"])])
    assert reason(where, unknown(), "weather:write") is Reason.OPERATION_UNCOVERED


def test_a_rule_with_targets_does_not_cover_an_operation_without_one() -> None:
    where = resource([rule(["tools/call", "acme/thing"], [], tools=["*"])])
    assert reason(where, unknown(), "weather:read") is Reason.OPERATION_UNCOVERED


def test_a_rule_about_tools_does_not_cover_a_resource_of_the_same_name() -> None:
    where = resource([rule(["resources/read"], [], tools=["*"])])
    read = Operation(
        kind=MessageKind.REQUEST,
        method="resources/read",
        era=Era.MODERN,
        targets=(Target(TargetKind.RESOURCE, "x"),),
    )
    assert reason(where, read) is Reason.OPERATION_UNCOVERED


@pytest.mark.parametrize("truth", [Truth.TRUE, Truth.UNKNOWN])
def test_a_deny_rule_counts_when_its_condition_holds_or_cannot_be_evaluated(truth: Truth) -> None:
    where = resource([READ, rule(["tools/call"], effect=Effect.DENY, when=Says(truth))])
    assert reason(where, call(), "weather:read") is Reason.POLICY_DENIED


def test_a_deny_rule_whose_condition_does_not_hold_leaves_the_decision_to_the_others() -> None:
    where = resource([READ, rule(["tools/call"], effect=Effect.DENY, when=Says(Truth.FALSE))])
    assert reason(where, call(), "weather:read") is Reason.ALLOWED


@pytest.mark.parametrize("truth", [Truth.FALSE, Truth.UNKNOWN])
def test_an_allow_rule_whose_condition_does_not_clearly_hold_is_not_met(truth: Truth) -> None:
    where = resource([rule(["tools/call"], ["weather:read"], when=Says(truth))])
    assert reason(where, call(), "weather:read") is Reason.POLICY_DENIED


def test_permission_before_scope_nobody_is_sent_through_a_consent_that_cannot_help() -> None:
    where = resource([rule(["tools/call"], ["weather:write"], when=Says(Truth.FALSE))])
    found = decide(where, principal(), call(), {})
    assert isinstance(found, Deny)
    assert (Reason.POLICY_DENIED, ()) == (found.reason, found.required)


def test_one_rule_must_be_met_whole_not_one_by_scopes_and_another_by_condition() -> None:
    where = resource(
        [
            rule(["tools/call"], ["weather:write"], when=Says(Truth.TRUE)),
            rule(["tools/call"], ["weather:read"], when=Says(Truth.FALSE)),
        ]
    )
    assert reason(where, call(), "weather:read") is Reason.SCOPE_INSUFFICIENT


SCOPES = {"a": (), "b": (), "c": (), "d": ()}


def required(rules: list[Rule], *held: str) -> tuple[str, ...]:
    found = decide(resource(rules, includes=SCOPES, baseline=[]), principal(*held), call(), {})
    assert isinstance(found, Deny)
    return found.required


def test_the_challenge_names_all_scopes_of_the_rule_that_misses_fewest() -> None:
    rules = [rule(["tools/call"], ["a", "b", "c"]), rule(["tools/call"], ["a", "d"])]
    assert required(rules, "a") == ("a", "d")


def test_on_a_tie_the_first_rule_of_the_file() -> None:
    rules = [rule(["tools/call"], ["b"]), rule(["tools/call"], ["c"])]
    assert required(rules) == ("b",)


def test_a_rule_whose_condition_does_not_hold_is_no_candidate_for_the_challenge() -> None:
    rules = [rule(["tools/call"], ["b"], when=Says(Truth.UNKNOWN)), rule(["tools/call"], ["c", "d"])]
    assert required(rules) == ("c", "d")


def listen(*uris: str) -> Operation:
    return Operation(
        kind=MessageKind.REQUEST,
        method="subscriptions/listen",
        era=Era.MODERN,
        targets=tuple(Target(TargetKind.RESOURCE, uri) for uri in uris),
    )


LISTEN = resource(
    [
        rule(["subscriptions/listen"], ["a"], uris=["a://*"]),
        rule(["subscriptions/listen"], ["b"], uris=["b://*"]),
    ],
    includes=SCOPES,
    baseline=[],
)


def test_several_targets_are_permitted_only_when_each_is() -> None:
    assert reason(LISTEN, listen("a://1", "b://1"), "a", "b") is Reason.ALLOWED
    assert reason(LISTEN, listen("a://1", "b://1"), "a") is Reason.SCOPE_INSUFFICIENT
    assert reason(LISTEN, listen("a://1", "c://1"), "a", "b") is Reason.OPERATION_UNCOVERED


def test_one_challenge_names_the_scopes_of_all_targets() -> None:
    found = decide(LISTEN, principal(), listen("a://1", "b://1", "a://2"), {})
    assert isinstance(found, Deny)
    assert found.required == ("a", "b")


def test_a_refusal_that_no_token_can_mend_is_told_before_one_that_a_token_can() -> None:
    assert reason(LISTEN, listen("a://1", "c://1")) is Reason.OPERATION_UNCOVERED


def test_conditions_see_the_target_that_they_are_asked_about() -> None:
    asked = Says(Truth.TRUE)
    where = resource([rule(["subscriptions/listen"], [], when=asked)], baseline=[])
    decide(where, principal(), listen("a://1", "b://1"), {"host": "h"})
    assert [{"host": "h", "target": "a://1"}, {"host": "h", "target": "b://1"}] == asked.asked


def test_a_decision_that_read_arguments_is_not_memorable() -> None:
    by_identity = resource([rule(["tools/call"], [], when=Says(Truth.TRUE))], baseline=[])
    by_arguments = resource([rule(["tools/call"], [], when=Says(Truth.TRUE, reads_beyond_identity=True))], baseline=[])
    assert decide(by_identity, principal(), call(), {}).cacheable
    assert not decide(by_arguments, principal(), call(), {}).cacheable


BY_IDENTITY, BY_ARGUMENTS = Says(Truth.TRUE), Says(Truth.TRUE, reads_beyond_identity=True)
REFUSED_BY_ARGUMENTS = Says(Truth.FALSE, reads_beyond_identity=True)


@pytest.mark.parametrize("order", list(permutations(("plain", "plain2", "read"))))
@pytest.mark.parametrize(
    ("plain", "read", "expected"),
    [
        (rule(["*"], []), rule(["*"], [], when=BY_ARGUMENTS), Reason.ALLOWED),
        (rule(["*"], ["a"]), rule(["*"], [], when=BY_ARGUMENTS), Reason.SCOPE_INSUFFICIENT),
        (rule(["*"], []), rule(["*"], ["a"], when=BY_ARGUMENTS), Reason.SCOPE_INSUFFICIENT),
        (rule(["*"], ["a"]), rule(["*"], ["b"], when=BY_ARGUMENTS), Reason.SCOPE_INSUFFICIENT),
        (rule(["*"], [], effect=Effect.DENY), rule(["*"], [], when=BY_ARGUMENTS), Reason.POLICY_DENIED),
        (rule(["*"], []), rule(["*"], [], when=REFUSED_BY_ARGUMENTS), Reason.POLICY_DENIED),
        (rule(["*"], []), rule(["*"], effect=Effect.DENY, when=BY_ARGUMENTS), Reason.POLICY_DENIED),
    ],
)
def test_several_targets_are_cacheable_when_each_is(
    order: tuple[str, ...], plain: Rule, read: Rule, expected: Reason
) -> None:
    """Whichever of them the decision names, and wherever the one stands that read more than who asks."""
    sensitive = replace(read, targets={TargetKind.RESOURCE: UriPatterns.of(["read://*"])})
    where = resource(
        [sensitive, replace(plain, targets={TargetKind.RESOURCE: UriPatterns.of(["plain://*", "plain2://*"])})],
        includes=SCOPES,
        baseline=[],
    )
    found = decide(where, principal(), listen(*(f"{name}://1" for name in order)), {})
    assert (found.reason if isinstance(found, Deny) else Reason.ALLOWED) is expected
    assert found.cacheable is False
    harmless = decide(where, principal(), listen("plain://1", "plain2://1"), {})
    assert harmless.cacheable is True


def test_arguments_that_may_not_be_what_the_server_reads_count_against_the_caller() -> None:
    holds = Says(Truth.TRUE, reads_beyond_identity=True, reads_arguments=True)
    allow = resource([rule(["tools/call"], [], when=holds)], baseline=[])
    assert reason(allow, call(arguments_exact=True)) is Reason.ALLOWED
    assert reason(allow, call(arguments_exact=False)) is Reason.POLICY_DENIED
    fails = Says(Truth.FALSE, reads_beyond_identity=True, reads_arguments=True)
    deny = resource([rule(["*"], []), rule(["tools/call"], effect=Effect.DENY, when=fails)], baseline=[])
    assert reason(deny, call(arguments_exact=True)) is Reason.ALLOWED
    assert reason(deny, call(arguments_exact=False)) is Reason.POLICY_DENIED


def test_conditions_that_read_no_arguments_count_whatever_the_arguments_are() -> None:
    holds = Says(Truth.TRUE, reads_beyond_identity=True)
    allow = resource([rule(["tools/call"], [], when=holds)], baseline=[])
    assert reason(allow, call(arguments_exact=False)) is Reason.ALLOWED


def test_client_responses_need_the_baseline_and_a_resource_can_refuse_them() -> None:
    answer = baseline("response", MessageKind.RESPONSE)
    everything = rule(["*"], [])
    assert reason(resource([]), answer, "weather:read") is Reason.ALLOWED
    assert reason(resource([]), answer) is Reason.SCOPE_INSUFFICIENT
    assert reason(resource([everything], responses=False), answer, "weather:read") is Reason.OPERATION_UNCOVERED
    refused = resource([rule(["response"], effect=Effect.DENY)])
    assert reason(refused, answer, "weather:read") is Reason.POLICY_DENIED


def test_a_deny_rule_refuses_a_method_of_the_baseline() -> None:
    level = baseline("logging/setLevel", MessageKind.REQUEST)
    assert reason(resource([]), level, "weather:read") is Reason.ALLOWED
    refused = resource([rule(["logging/setLevel"], effect=Effect.DENY)])
    assert reason(refused, level, "weather:read") is Reason.POLICY_DENIED


def test_a_cycle_of_includes_would_not_hang_and_closures_are_transitive() -> None:
    where = resource(includes={"a": ["b"], "b": ["c"], "c": []}, baseline=[])
    assert granted_scopes(where, principal("a")) == {"a", "b", "c"}


scope_sets = st.sets(st.sampled_from(["a", "b", "c", "d"]))
rules_drawn = st.lists(
    st.builds(
        lambda scopes, effect, truth, tools: rule(
            ["tools/call"], sorted(scopes), effect=effect, when=None if truth is None else Says(truth), tools=tools
        ),
        scope_sets,
        st.sampled_from(list(Effect)),
        st.none() | st.sampled_from(list(Truth)),
        st.lists(st.sampled_from(["x", "*", "y*"]), min_size=1),
    ),
    max_size=5,
)


@given(rules_drawn, scope_sets, scope_sets, st.sampled_from(["x", "y", "yy", "z"]))
def test_another_scope_never_turns_an_allow_into_a_denial(
    rules: list[Rule], held: set[str], more: set[str], tool: str
) -> None:
    where = resource(rules, includes=SCOPES, baseline=[])
    if reason(where, call(tool), *held) is Reason.ALLOWED:
        assert reason(where, call(tool), *held, *more) is Reason.ALLOWED


@given(rules_drawn, scope_sets, st.sampled_from(["x", "y", "yy", "z"]))
def test_the_scopes_of_a_challenge_suffice(rules: list[Rule], held: set[str], tool: str) -> None:
    where = resource(rules, includes=SCOPES, baseline=[])
    found = decide(where, principal(*held), call(tool), {})
    if isinstance(found, Deny) and found.reason is Reason.SCOPE_INSUFFICIENT:
        assert reason(where, call(tool), *held, *found.required) is Reason.ALLOWED


@given(rules_drawn, scope_sets, st.sampled_from(["x", "y", "yy", "z"]))
def test_an_added_deny_rule_never_allows_more(rules: list[Rule], held: set[str], tool: str) -> None:
    before = reason(resource(rules, includes=SCOPES, baseline=[]), call(tool), *held)
    after = reason(resource([*rules, rule(["*"], effect=Effect.DENY)], includes=SCOPES, baseline=[]), call(tool), *held)
    assert after is Reason.POLICY_DENIED
    assert before in set(Reason)


def test_scopes_that_the_profile_does_not_read_are_named_to_the_operator() -> None:
    held = replace(principal(), unread_scopes="scp")
    denial = decide(resource([]), held, baseline("tools/list", MessageKind.REQUEST), {})
    assert isinstance(denial, Deny)
    assert "`scp`" in denial.detail


def read(uri: str, method: str = "resources/read") -> Operation:
    return Operation(
        kind=MessageKind.REQUEST, method=method, era=Era.MODERN, targets=(Target(TargetKind.RESOURCE, uri),)
    )


@dataclass(frozen=True)
class Equals:
    """A condition on the target: whether it is this text."""

    target: str
    reads_beyond_identity: bool = True
    reads_arguments: bool = False
    text: str = "request.target == …"

    def evaluate(self, principal: Principal, operation: Operation, request: Mapping[str, Any]) -> Truth:
        return Truth.TRUE if request["target"] == self.target else Truth.FALSE


@pytest.mark.parametrize("method", ["resources/read", "resources/subscribe", "completion/complete"])
@pytest.mark.parametrize(
    "uri", ["docs://secret%2Fplan", "docs://secret%5Fplan", "docs://secret/plan?x", "docs://SECRET/plan"]
)
def test_a_deny_rule_for_a_uri_denies_its_other_spellings(method: str, uri: str) -> None:
    rules = [
        rule([method], uris=["docs://*"]),
        rule([method], effect=Effect.DENY, uris=["docs://secret/plan", "docs://secret_plan"]),
    ]
    outcome = decide(resource(rules), principal("weather:read"), read(uri, method), {})
    assert isinstance(outcome, Deny)
    assert outcome.reason is Reason.POLICY_DENIED
    assert isinstance(decide(resource(rules), principal("weather:read"), read("docs://open", method), {}), Permit)


def test_an_allow_rule_needs_every_reading_of_a_uri() -> None:
    rules = [rule(["resources/read"], uris=["docs://*.txt"])]
    assert isinstance(decide(resource(rules), principal("weather:read"), read("docs://a.txt"), {}), Permit)
    assert isinstance(decide(resource(rules), principal("weather:read"), read("docs://a?.txt"), {}), Deny)


@pytest.mark.parametrize("uri", ["docs://a b", "docs://a%20b", "docs://a+b", "docs://a%2520b", "docs://a%20b#x"])
def test_a_deny_condition_on_the_target_is_met_by_any_reading(uri: str) -> None:
    rules = [rule(["*"], uris=["*"]), rule(["*"], effect=Effect.DENY, when=Equals("docs://a b"))]
    assert isinstance(decide(resource(rules), principal("weather:read"), read(uri), {}), Deny)


def test_an_allow_condition_on_the_target_is_met_by_all_readings_only() -> None:
    rules = [rule(["*"], uris=["*"], when=Equals("docs://a%20b"))]
    assert isinstance(decide(resource(rules), principal("weather:read"), read("docs://a%20b"), {}), Deny)
    plain = [rule(["*"], uris=["*"], when=Equals("docs://a_b"))]
    assert isinstance(decide(resource(plain), principal("weather:read"), read("docs://a%5Fb"), {}), Permit)


@pytest.mark.parametrize(("truth", "allowed"), [(Truth.TRUE, False), (Truth.UNKNOWN, False), (Truth.FALSE, True)])
def test_a_condition_that_does_not_read_the_target_is_asked_once(truth: Truth, allowed: bool) -> None:
    says = Says(truth)
    rules = [rule(["*"], uris=["*"]), rule(["*"], effect=Effect.DENY, when=says)]
    outcome = decide(resource(rules), principal("weather:read"), read("docs://a%20b"), {})
    assert isinstance(outcome, Permit) is allowed
    assert len(says.asked) == 1


@dataclass(frozen=True)
class Undecided:
    """A condition that is undecided about one text, and certain about others."""

    target: str
    otherwise: Truth
    reads_beyond_identity: bool = True
    reads_arguments: bool = False
    text: str = "request.target …"

    def evaluate(self, principal: Principal, operation: Operation, request: Mapping[str, Any]) -> Truth:
        return Truth.UNKNOWN if request["target"] == self.target else self.otherwise


@pytest.mark.parametrize("target", ["docs://a%20b", "docs://a b"])
def test_a_condition_that_is_undecided_about_one_reading_is_undecided(target: str) -> None:
    """Whichever reading it is: it counts as met for a deny rule, as not met for an allow rule."""
    denying = [rule(["*"], uris=["*"]), rule(["*"], effect=Effect.DENY, when=Undecided(target, Truth.FALSE))]
    assert isinstance(decide(resource(denying), principal("weather:read"), read("docs://a%20b"), {}), Deny)
    allowing = [rule(["*"], uris=["*"], when=Undecided(target, Truth.TRUE))]
    assert isinstance(decide(resource(allowing), principal("weather:read"), read("docs://a%20b"), {}), Deny)
