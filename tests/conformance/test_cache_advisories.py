"""One test per published advisory about cached authentication and cached decisions, named after it.

Each runs whole checks: one process that decides and remembers, and where a shared store matters a second one without
keys, which can only answer from what the first has left there.
"""

from dataclasses import replace

from extauthz.pdp.policy import Effect, Introspection
from extauthz.pdp.reason import Reason
from extauthz.service.needs import Answer, Introspected, Need, NeedIntrospection
from extauthz.service.sealed import Sealer
from tests.support.checks import Seen, call_tool, check_request
from tests.support.policies import policy, resource, rule
from tests.support.world import CASDOOR, RULES, World, mint, weather

OTHER = resource(name="other", uri="https://mcp.example.com/other", rules=RULES, issuers=(CASDOOR,))
PURGE = rule(["tools/call"], tools=["purge"], effect=Effect.DENY)


def fleet() -> tuple[World, World]:
    """A process that has keys, and one that has none but the same store."""
    one = World(policy=policy(weather(rules=(*RULES, PURGE)), OTHER), sealer=Sealer([b"0" * 32]))
    return one, one.sibling(keys=None)


def ask(world: World, tool: str = "get_forecast", token: str | None = None, path: str = "/weather/mcp") -> Seen:
    return world.ask(check_request(call_tool(tool), token=token or mint(), path=path))


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


def test_cve_2026_35030_litellm_tokens_with_the_same_beginning_are_different_tokens() -> None:
    one, other = fleet()
    mine, yours = mint(), mint(scope="none", sub="somebody-else")
    assert mine[:60] == yours[:60]
    assert ask(one, token=mine).allowed
    assert ask(one, token=yours).reason == Reason.SCOPE_INSUFFICIENT
    ask(other, token=mine)
    assert ask(other, token=yours).headers.get("x-auth-subject") is None


def test_ministack_1367_an_allow_for_one_method_is_none_for_another() -> None:
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
