"""One test per published advisory about cached authentication and cached decisions, named after it.

Each runs whole checks: one process that decides and remembers, and where a shared store matters a second one without
keys, which can only answer from what the first has left there.
"""

import json
from dataclasses import replace
from itertools import product

from extauthz.adapters.cel.condition import CelCondition, compile_condition
from extauthz.pdp.decision.decision import Deny, Permit
from extauthz.pdp.operation import Era, MessageKind, Operation, Target, TargetKind
from extauthz.pdp.policy import Effect, Introspection
from extauthz.pdp.reason import Reason
from extauthz.service.cache.signed_entry import Signer, framed_digest
from extauthz.service.needs import Answer, Introspected, Need, NeedIntrospection
from extauthz.service.tokens.stored_decision import decision_key, pack, vouched_until
from tests.support.checks import Seen, call_tool, check_request, message
from tests.support.policies import policy, resource, rule
from tests.support.world import CASDOOR, RULES, World, mint, weather

OTHER = resource(name="other", uri="https://mcp.example.com/other", rules=RULES, issuers=(CASDOOR,))
PURGE = rule(["tools/call"], tools=["purge"], effect=Effect.DENY)


def fleet() -> tuple[World, World]:
    """A process that has keys, and one that has none but the same store."""
    one = World(policy=policy(weather(rules=(*RULES, PURGE)), OTHER), signer=Signer([b"0" * 32]))
    return one, one.sibling(keys=None)


def operation(method: str = "tools/call", *names: str) -> Operation:
    targets = tuple(Target(TargetKind.TOOL, name) for name in names)
    return Operation(kind=MessageKind.REQUEST, method=method, era=Era.MODERN, targets=targets)


def ask(world: World, tool: str = "get_forecast", token: str | None = None, path: str = "/weather/mcp") -> Seen:
    return world.ask(check_request(call_tool(tool), token=token or mint(), path=path))


def test_the_checks_that_the_attacks_start_from_are_allowed() -> None:
    one, other = fleet()
    assert [ask(world).allowed for world in (one, one, other)] == [True] * 3


def test_cve_2021_32701_oathkeeper_a_cached_token_still_needs_the_scopes_of_the_second_operation() -> None:
    one, other = fleet()
    assert ask(one).allowed
    assert ask(other).allowed
    for world in (one, other):
        assert ask(world, "set_alert").reason == Reason.SCOPE_INSUFFICIENT


def test_heimdall_3452_and_3450_what_a_rule_says_is_applied_on_every_hit() -> None:
    one, other = fleet()
    assert ask(one).allowed
    assert ask(other).allowed
    for world in (one, other):
        assert ask(world, "purge").reason == Reason.POLICY_DENIED
    assert ask(one, path="/other").reason == Reason.TOKEN_AUDIENCE
    assert not ask(other, path="/other").allowed


def test_heimdall_3450_a_condition_on_arguments_is_asked_on_every_hit() -> None:
    """The answer to an expression was remembered, and served where the expression would have said otherwise."""
    condition = compile_condition("args.city != 'Atlantis'")
    assert isinstance(condition, CelCondition)
    only_real = rule(["tools/call"], ["weather:read"], tools=["get_*"], when=condition)
    world = World(policy=policy(weather(rules=(only_real,))), signer=Signer([b"0" * 32]))
    for one in (world, world.sibling(keys=None)):
        for _ in range(2):
            rome = one.ask(check_request(call_tool("get_forecast", {"city": "Rome"}), token=mint()))
            atlantis = one.ask(check_request(call_tool("get_forecast", {"city": "Atlantis"}), token=mint()))
            assert (rome.allowed, atlantis.allowed) == (one is world, False)
    assert not world.store


def test_cve_2026_35030_litellm_tokens_with_the_same_beginning_are_different_tokens() -> None:
    one, other = fleet()
    mine, yours = mint(), mint(scope="none", sub="somebody-else")
    assert mine[:60] == yours[:60]
    assert ask(one, token=mine).allowed
    assert ask(one, token=yours).reason == Reason.SCOPE_INSUFFICIENT
    ask(other, token=mine)
    assert ask(other, token=yours).headers.get("x-auth-subject") is None


def test_ministack_1367_an_allow_for_one_method_is_none_for_another() -> None:
    rules = (rule(["resources/read"], ["weather:read"], uris=["weather://*"]),)
    one = World(policy=policy(weather(rules=rules)))
    target = {"uri": "weather://rome"}
    assert one.ask(check_request(message("resources/read", target), token=mint())).allowed
    again = one.ask(check_request(message("resources/subscribe", target), token=mint()))
    assert again.reason == Reason.OPERATION_UNCOVERED


def test_ministack_1367_the_shared_entry_of_one_method_is_not_found_by_another() -> None:
    keys = {decision_key("r", "weather", b"d", operation(method, "x")) for method in ("tools/call", "prompts/get")}
    assert len(keys) == 2
    one, other = fleet()
    assert ask(one).allowed
    answer = other.ask(check_request(method="DELETE", token=mint()))
    assert answer.reason == Reason.KEYS_UNAVAILABLE


def test_laravel_rest_api_225_a_cached_denial_is_never_read_as_an_allow() -> None:
    one, other = fleet()
    assert ask(one, "purge").reason == Reason.POLICY_DENIED
    again, elsewhere = ask(one, "purge"), ask(other, "purge")
    assert (again.reason, again.metadata["cache"]) == (Reason.POLICY_DENIED, "memory")
    assert (elsewhere.reason, elsewhere.metadata["cache"]) == (Reason.POLICY_DENIED, "redis")


def test_laravel_rest_api_225_a_stored_denial_vouches_for_no_allow() -> None:
    """A cached answer was an object, and objects are true. What is stored says which way it went, in words."""
    one, _ = fleet()
    permit = one.check(check_request(token=mint())).decision
    deny = one.check(check_request(call_tool("purge"), token=mint())).decision
    assert isinstance(permit, Permit)
    assert isinstance(deny, Deny)
    decisions: list[Permit | Deny] = [permit, deny]
    for stored, made in product(decisions, repeat=2):
        assert (vouched_until(pack(stored, 100), made) is not None) == (stored is made)


def test_functions_host_11933_msal_node_8705_wallet_318_no_two_lists_of_parts_share_a_digest() -> None:
    """Parts were joined without a frame, or digests cut short, so that different questions had one key."""
    parts = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("a", "b", "c"), ("ab", "", "c")]
    assert len({framed_digest(*each) for each in parts}) == len(parts)
    keys = {
        decision_key("r", "weather", b"d", operation("tools/call", "ab")),
        decision_key("r", "weather", b"d", operation("tools/call", "a", "b")),
        decision_key("r", "weatherd", b"", operation("tools/call", "ab")),
        decision_key("rw", "eather", b"d", operation("tools/call", "ab")),
        decision_key("r", "weather", b"d", operation("tools/cal", "lab")),
    }
    assert len(keys) == 5
    assert all(len(bytes.fromhex(key.partition(":")[2])) == 32 for key in keys)


def test_heimdall_remote_authorizer_a_key_is_framed_and_in_a_fixed_order() -> None:
    """Its key was joined without frames, in the order of a map: one question with several keys, several with one."""
    assert decision_key("r", "w", b"d", operation("m", "a", "b")) != decision_key("r", "w", b"d", operation("m", "ab"))
    assert decision_key("r", "w", b"d", operation("m", "a", "b")) != decision_key(
        "r", "w", b"d", operation("m", "b", "a")
    )
    one, _ = fleet()
    call = {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "get_forecast", "arguments": {}}, "id": 1}
    orders = [json.dumps(dict(order)).encode() for order in (call.items(), reversed(call.items()))]
    assert orders[0] != orders[1]
    uses = [one.ask(check_request(body, token=mint())).metadata["cache"] for body in orders]
    assert uses == ["none", "memory"]


def test_ory_2022_12_20_nobody_is_handed_the_identity_of_another() -> None:
    one, other = fleet()
    for number in range(50):
        token = mint(sub=f"user-{number}")
        for world in (one, other, one):
            assert ask(world, token=token).headers["x-auth-subject"] == f"user-{number}"


def test_firecrawl_3973_a_positive_entry_hides_a_revoked_token_no_longer_than_the_ceiling() -> None:
    issuer = replace(CASDOOR, introspection=Introspection(client_id="gw", client_secret="s"))
    words = [Introspected.ACTIVE, Introspected.INACTIVE]

    def answer(need: Need) -> Answer:
        assert isinstance(need, NeedIntrospection)
        return words.pop(0)

    world = World(policy=policy(weather(issuers=(issuer,))), answer=answer)
    assert ask(world).allowed
    world.now += world.policy.cache.max_ttl_s
    assert ask(world).reason == Reason.TOKEN_REVOKED
