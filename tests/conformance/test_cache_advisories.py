"""One test per published advisory about cached authentication and cached decisions, named after it.

Each runs whole checks: one process that decides and remembers, and where a shared store matters a second one without
keys, which can only answer from what the first has left there.
"""

import json
from dataclasses import replace

from extauthz.adapters.cel.condition import CelCondition, compile_condition
from extauthz.pdp.answer.caller import Caller
from extauthz.pdp.decision.decision import Deny, Permit
from extauthz.pdp.operation import Era, MessageKind, Operation, Target, TargetKind
from extauthz.pdp.policy import Effect, Introspection
from extauthz.pdp.principal import VerifiedToken
from extauthz.pdp.reason import Reason
from extauthz.service.cache.signed_entry import Signer, framed_digest
from extauthz.service.cache.statement import Statement
from extauthz.service.check.decisions import decision_key, permit_of, stored_decision_key, words_of
from extauthz.service.needs import Answer, Introspected, Need, NeedIntrospection, NeedStored
from extauthz.service.tokens.stored_token import TokenKey, stored_token_key, valid_until
from tests.support.checks import Seen, call_tool, check_request, message
from tests.support.policies import policy, resource, rule
from tests.support.world import CASDOOR, RULES, World, mint, weather
from tests.unit.pdp.answer.test_caller import ALICE

OTHER = resource(name="other", uri="https://mcp.example.com/other", rules=RULES, issuers=(CASDOOR,))
TOKEN = VerifiedToken(principal=ALICE, issued_at=0, expires_at=1_000, token_id="", digests=(b"d" * 32,))
PURGE = rule(["tools/call"], tools=["purge"], effect=Effect.DENY)


def fleet() -> tuple[World, World]:
    """A process that has keys, and one that has none but the same store."""
    one = World(policy=policy(weather(rules=(*RULES, PURGE)), OTHER), signer=Signer([b"0" * 32]))
    return one, one.sibling(keys=None)


def operation(method: str = "tools/call", *names: str) -> Operation:
    targets = tuple(Target(TargetKind.TOOL, name) for name in names)
    return Operation(kind=MessageKind.REQUEST, method=method, era=Era.MODERN, targets=targets)


def stored_key(revision: str, resource: str, digest: bytes, about: Operation) -> str:
    token: TokenKey = (revision, resource, digest)
    return stored_decision_key(decision_key(token, about))


def without_tokens(world: World) -> None:
    """Only decisions are left in the store."""
    for key in [key for key in world.store if key.startswith("token:")]:
        del world.store[key]


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
            assert (rome.allowed, atlantis.allowed) == (True, False)
    assert [key.partition(":")[0] for key in world.store] == ["token"]


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
    keys = {stored_key("r", "weather", b"d", operation(method, "x")) for method in ("tools/call", "prompts/get")}
    assert len(keys) == 2
    rules = (rule(["resources/read"], ["weather:read"], uris=["weather://*"]),)
    one = World(policy=policy(weather(rules=rules)), signer=Signer([b"0" * 32]))
    target = {"uri": "weather://rome"}
    assert one.ask(check_request(message("resources/read", target), token=mint())).allowed
    for keys_held in (None, one.keys):
        other = one.sibling(keys=keys_held)
        again = other.ask(check_request(message("resources/subscribe", target), token=mint()))
        assert again.reason == Reason.OPERATION_UNCOVERED


def test_laravel_rest_api_225_a_cached_denial_is_never_read_as_an_allow() -> None:
    one, other = fleet()
    assert ask(one, "purge").reason == Reason.POLICY_DENIED
    again, elsewhere = ask(one, "purge"), ask(other, "purge")
    assert (again.reason, again.metadata["cache"]) == (Reason.POLICY_DENIED, "memory")
    assert (elsewhere.reason, elsewhere.metadata["cache"]) == (Reason.POLICY_DENIED, "redis")


def test_laravel_rest_api_225_what_is_stored_says_in_words_that_it_is_a_permit() -> None:
    """A cached answer was an object, and objects are true. What is stored says which way it went, in words."""
    one, _ = fleet()
    caller = Caller.of(TOKEN, OTHER)
    deny = one.check(check_request(call_tool("purge"), token=mint())).decision
    assert isinstance(deny, Deny)
    assert permit_of(Statement(words_of(deny), 100), OTHER, caller) is None
    permit = one.check(check_request(token=mint())).decision
    assert isinstance(permit, Permit)
    words = words_of(permit)
    assert permit_of(Statement(words, 100), OTHER, caller) is not None
    for outcome in ("deny", "", "True", True, 1, [], ["allow"], None):
        assert permit_of(Statement((outcome, *words[1:]), 100), OTHER, caller) is None


def test_laravel_rest_api_225_an_entry_that_is_there_is_not_yet_a_valid_token() -> None:
    assert valid_until(Statement(("valid",), 100)) == 100
    for words in ((), ("invalid",), ("",), (True,), (1,), ("valid", 1), (["valid"],), (None,)):
        assert valid_until(Statement(words, 100)) is None


def test_laravel_rest_api_225_an_entry_of_one_kind_is_none_of_another() -> None:
    one, other = fleet()
    assert ask(one).allowed
    entries = {key.partition(":")[0]: key for key in one.store}
    token, decision = entries["token"], entries["decision"]
    one.store[token], one.store[decision] = one.store[decision], one.store[token]
    assert ask(other).reason == Reason.KEYS_UNAVAILABLE
    without_tokens(one)
    assert ask(one.sibling()).metadata["cache"] == "none"


def test_functions_host_11933_msal_node_8705_wallet_318_no_two_lists_of_parts_share_a_digest() -> None:
    """Parts were joined without a frame, or digests cut short, so that different questions had one key."""
    parts = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("a", "b", "c"), ("ab", "", "c")]
    assert len({framed_digest(*each) for each in parts}) == len(parts)
    keys = {
        stored_key("r", "weather", b"d", operation("tools/call", "ab")),
        stored_key("r", "weather", b"d", operation("tools/call", "a", "b")),
        stored_key("r", "weatherd", b"", operation("tools/call", "ab")),
        stored_key("rw", "eather", b"d", operation("tools/call", "ab")),
        stored_key("r", "weather", b"d", operation("tools/cal", "lab")),
        stored_token_key(("r", "weather", b"d")),
        stored_token_key(("r", "weatherd", b"")),
        stored_token_key(("rw", "eather", b"d")),
    }
    assert len(keys) == 8
    assert all(len(bytes.fromhex(key.partition(":")[2])) == 32 for key in keys)


def test_heimdall_remote_authorizer_a_key_is_framed_and_in_a_fixed_order() -> None:
    """Its key was joined without frames, in the order of a map: one question with several keys, several with one."""
    assert stored_key("r", "w", b"d", operation("m", "a", "b")) != stored_key("r", "w", b"d", operation("m", "ab"))
    assert stored_key("r", "w", b"d", operation("m", "a", "b")) != stored_key("r", "w", b"d", operation("m", "b", "a"))
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


def test_firecrawl_3973_nor_does_an_entry_in_the_store() -> None:
    """The second process learns of the token half a minute later, and goes by it no longer than the first."""
    issuer = replace(CASDOOR, introspection=Introspection(client_id="gw", client_secret="s"))
    words = [Introspected.ACTIVE, Introspected.INACTIVE]
    store: dict[str, bytes] = {}

    def answer(need: Need) -> Answer:
        return store.get(need.key) if isinstance(need, NeedStored) else words.pop(0)

    one = World(policy=policy(weather(issuers=(issuer,))), signer=Signer([b"0" * 32]), answer=answer, store=store)
    assert ask(one).allowed
    other = one.sibling(now=one.now + 30)
    assert ask(other).metadata["cache"] == "redis"
    other.now = one.now + one.policy.cache.max_ttl_s
    assert ask(other).reason == Reason.TOKEN_REVOKED
