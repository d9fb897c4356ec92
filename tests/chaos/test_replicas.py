"""Two and three real processes with one Redis: what one has found out, the others know."""

import pytest

from tests.chaos.load import wrong
from tests.chaos.redis_words import come, keys, obtained
from tests.chaos.rig import Rig
from tests.support.checks import Seen, check_request
from tests.support.link import LinkState
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("chaos")]


@pytest.mark.parametrize(("scope", "reason"), [("weather:read", "allowed"), ("weather:other", "scope_insufficient")])
@pytest.mark.parametrize("readers", [1, 2])
def test_a_decision_that_one_process_made_is_a_hit_for_the_others(
    rig: Rig, readers: int, scope: str, reason: str
) -> None:
    def attempt() -> list[Seen] | None:
        rig.redis.command("FLUSHALL")
        check = check_request(token=rig.deck.token({"scope": scope}))
        first = rig.replicas[0].client.ask(check)
        assert (first.reason, first.metadata["cache"]) == (reason, "none")
        if not come(rig.redis, "decision", 1):
            return None
        answers = [replica.client.ask(check) for replica in rig.replicas[1 : 1 + readers]]
        assert {answer.reason for answer in answers} == {reason}
        return answers if all(answer.metadata["cache"] == "redis" for answer in answers) else None

    hits = [replica.looked_up("hit", "decision") for replica in rig.replicas]
    answers = obtained(attempt, "the others find the decision in Redis")
    assert len(answers) == readers
    for replica, before in list(zip(rig.replicas, hits, strict=True))[1 : 1 + readers]:
        assert replica.looked_up("hit", "decision") > before


def test_the_answer_to_what_was_found_in_redis_is_the_same_but_for_its_id(rig: Rig) -> None:
    def attempt() -> tuple[Seen, Seen] | None:
        rig.redis.command("FLUSHALL")
        check = check_request(token=rig.deck.token())
        first = rig.replicas[0].client.ask(check)
        second = rig.replicas[1].client.ask(check) if come(rig.redis, "decision", 1) else None
        return (first, second) if second is not None and second.metadata["cache"] == "redis" else None

    first, second = obtained(attempt, "the second finds the decision in Redis")
    for answer in (first, second):
        answer.headers.pop("x-auth-decision")
    assert first.headers == second.headers
    assert first.removed == second.removed
    assert {**first.metadata, "cache": "", "decision_id": ""} == {**second.metadata, "cache": "", "decision_id": ""}


def test_a_session_first_used_at_one_process_is_its_owners_at_all(rig: Rig) -> None:
    deck = rig.deck

    def attempt() -> str | None:
        rig.redis.command("FLUSHALL")
        session = f"session-{deck.number()}"
        answer = rig.replicas[0].client.ask(check_request(token=deck.owner, headers={"mcp-session-id": session}))
        assert answer.allowed
        return session if come(rig.redis, "binding", 1) else None

    def refused() -> bool | None:
        session = obtained(attempt, "the session is bound in Redis")
        stolen = check_request(token=deck.thief, headers={"mcp-session-id": session})
        used = check_request(token=deck.owner, headers={"mcp-session-id": session})
        answers = [replica.client.ask(stolen).reason for replica in rig.replicas[1:]]
        if "allowed" in answers:
            return None  # Redis was not heard in time: the process's own memory decided
        assert set(answers) == {"session_unknown"}
        assert all(replica.client.ask(used).allowed for replica in rig.replicas[1:])
        return True

    assert obtained(refused, "the thief is refused everywhere")


def test_a_process_cut_off_from_redis_decides_alone_and_is_one_of_many_again_after(rig: Rig) -> None:
    third = rig.replicas[2]
    unavailable = third.looked_up("unavailable")
    rig.link.state = LinkState.CUT
    try:
        for replica in rig.replicas:
            assert not wrong(replica.client.all(rig.deck.deal(60)))
    finally:
        rig.link.state = LinkState.WHOLE
    assert third.looked_up("unavailable") > unavailable

    def shared() -> bool:
        check = check_request(token=rig.deck.token())
        rig.replicas[0].client.ask(check)
        return bool(keys(rig.redis, "decision")) and third.client.ask(check).metadata["cache"] == "redis"

    eventually(shared, "the third finds in Redis what the first has put there")


def test_a_flush_loses_no_session_that_a_process_knows(rig: Rig) -> None:
    known = {"mcp-session-id": "session-of-owner"}
    rig.redis.command("FLUSHALL")
    for replica in rig.replicas:
        assert replica.client.ask(check_request(token=rig.deck.thief, headers=known)).reason == "session_unknown"
        assert replica.client.ask(check_request(token=rig.deck.owner, headers=known)).allowed
