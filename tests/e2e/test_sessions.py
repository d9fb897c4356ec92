"""Sessions over two real processes with one real Redis."""

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from extauthz.adapters.redis.store import KEY_PREFIX
from tests.support import tokens
from tests.support.checks import Seen, check_request
from tests.support.http_issuer import HttpIssuer
from tests.support.redis_server import RedisServer
from tests.support.served import Served, policy_text
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

SECRET = {"EXTAUTHZ_CACHE_SECRET": "0123456789abcdef0123456789abcdef"}


@dataclass
class Fleet:
    redis: RedisServer
    one: Served
    two: Served

    def ask(self, process: Served, who: str, session: str, method: str = "POST") -> Seen:
        token = tokens.mint({"scope": "weather:read", "sub": who}, now=time.time())
        return process.ask(check_request(token=token, headers={"mcp-session-id": session}, method=method))

    def bindings(self) -> dict[bytes, bytes]:
        lines = self.redis.command("KEYS", f"{KEY_PREFIX}*binding:*").split(b"\r\n")
        return {key: self.redis.command("GET", key) for key in lines if b"binding:" in key}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("s")
    with ExitStack() as stack:
        issuer = stack.enter_context(HttpIssuer())
        issuer.answer("/jwks", body=tokens.key_set_document())
        redis = stack.enter_context(RedisServer(folder))
        environment = {"EXTAUTHZ_REDIS_URL": redis.url, **SECRET}
        one, two = (
            stack.enter_context(Served(folder, policy_text(issuer.url), environment=environment, name=name))
            for name in ("one", "two")
        )
        yield Fleet(redis, one, two)


WITHIN_S = 60.0
"""A busy machine may keep Redis from answering in 20 ms, and then new session ids are refused (503): try again."""
SESSIONS = 5
_numbers = itertools.count()


def new_sessions() -> list[str]:
    return [f"session-{next(_numbers)}" for _ in range(SESSIONS)]


def test_a_session_ended_at_one_process_is_nobodys_at_the_other(fleet: Fleet) -> None:
    def attempt() -> bool:
        (session, *_) = new_sessions()
        if not fleet.ask(fleet.one, "alice", session).allowed:
            return False
        bound = fleet.bindings()
        assert fleet.ask(fleet.one, "alice", session, "DELETE").allowed
        assert fleet.ask(fleet.one, "alice", session).status == 404
        eventually(lambda: fleet.bindings() != bound, "the end is told to Redis, after the answer")
        refused = [fleet.ask(fleet.two, who, session).reason for who in ("alice", "mallory")]
        foreign = fleet.ask(fleet.two, "mallory", session, "DELETE").reason
        return [*refused, foreign] == ["session_unknown"] * 3 and fleet.ask(
            fleet.two, "alice", session, "DELETE"
        ).allowed

    eventually(attempt, "a session ended at one is nobody's at the other", WITHIN_S)


def test_a_flush_of_redis_frees_no_session(fleet: Fleet) -> None:
    def attempt() -> bool:
        sessions = new_sessions()
        before = fleet.bindings().keys()
        if not all(fleet.ask(fleet.one, "alice", session).allowed for session in sessions):
            return False
        known = fleet.bindings().keys()
        if len(known - before) < SESSIONS:
            return False
        fleet.redis.command("FLUSHALL")
        eventually(lambda: fleet.bindings().keys() >= known, "what is known was put back", WITHIN_S)
        return all(
            fleet.ask(fleet.two, "mallory", session).reason == "session_unknown"
            and fleet.ask(fleet.two, "alice", session).allowed
            for session in sessions
        )

    eventually(attempt, "after a flush the sessions are still their owner's", WITHIN_S)


def test_a_redis_that_comes_back_empty_frees_no_session(fleet: Fleet) -> None:
    def attempt() -> bool:
        kept, unknown, *_ = new_sessions()
        if not fleet.ask(fleet.one, "alice", kept).allowed:
            return False
        before = fleet.bindings().keys()
        fleet.redis.kill()
        try:
            assert fleet.ask(fleet.one, "alice", kept).allowed
            assert fleet.ask(fleet.one, "mallory", kept).reason == "session_unknown"
            for process, who, session in (
                (fleet.two, "mallory", kept),
                (fleet.two, "alice", kept),
                (fleet.one, "mallory", unknown),
                (fleet.one, "alice", unknown),
            ):
                refused = fleet.ask(process, who, session)
                assert (refused.status, refused.reason) == (503, "deadline_exceeded")
                assert "retry-after" in refused.headers
        finally:
            fleet.redis.restart()
        eventually(lambda: fleet.bindings().keys() >= before, "what is known was put back", WITHIN_S)
        return (
            fleet.ask(fleet.two, "mallory", kept).reason == "session_unknown"
            and fleet.ask(fleet.two, "alice", kept).allowed
            and fleet.ask(fleet.two, "alice", unknown).allowed
            and fleet.ask(fleet.one, "mallory", unknown).reason == "session_unknown"
        )

    eventually(attempt, "what is known while Redis is away is still its owner's, what is not is nobody's", WITHIN_S)
