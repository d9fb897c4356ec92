"""Somebody can write to Redis and does his worst. He lacks our secret, so no answer changes.

The first process writes, the second reads what was done to it.
"""

import secrets
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import pytest

from extauthz.service.cache.signed_entry import Signer
from tests.chaos.load import Ask, wrong, wrongly_allowed
from tests.chaos.redis_words import asked_about, come, keys, monitored, obtained, value
from tests.chaos.rig import SECRET, Replica, Rig
from tests.support.checks import Seen, check_request
from tests.support.redis_server import RedisServer
from tests.support.served import policy_text
from tests.support.tokens import SIGNING_KEYS, key_set_document
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("chaos")]

CHECKS = 60
OURS: Final = Signer([SECRET.encode()])
OTHERS: Final = Signer([b"another secret, of thirty-two bytes"])
HUGE: Final = 2 * 1024 * 1024


def written(rig: Rig) -> list[Ask]:
    """What the first process was asked and has told Redis, all of it; the second has not been asked yet."""

    def attempt() -> list[Ask] | None:
        rig.redis.command("FLUSHALL")
        asks = rig.deck.deal(CHECKS)
        assert not wrong(rig.client.all(asks))
        return asks if come(rig.redis, "decision", sum(ask.kind.startswith("new") for ask in asks)) else None

    return obtained(attempt, "all decisions stand in Redis")


def text(redis: RedisServer, names: Sequence[bytes], change: Callable[[bytes], bytes]) -> None:
    for name in names:
        redis.command("SET", name, change(value(redis, name)))


def swap(redis: RedisServer, names: Sequence[bytes]) -> None:
    """Each entry goes to the next key of its kind."""
    values = [value(redis, name) for name in names]
    for name, other in zip(names, [*values[1:], values[0]], strict=True):
        redis.command("SET", name, other)


def lists(redis: RedisServer, names: Sequence[bytes]) -> None:
    for name in names:
        entry = value(redis, name)
        redis.command("DEL", name)
        redis.command("RPUSH", name, entry)


def resealed(redis: RedisServer, names: Sequence[bytes]) -> None:
    """All as it was, but sealed with a secret that is not ours."""
    for name in names:
        kind = name_of(name).partition(":")[0]
        payload = OURS.open(kind, name_of(name), value(redis, name), time.time())
        assert payload is not None
        entry = OTHERS.sign(kind, name_of(name), payload, int(time.time()) + 60)
        redis.command("SET", name, entry)


VANDALS: Final[dict[str, Callable[[RedisServer, Sequence[bytes]], None]]] = {
    "rewritten": lambda redis, names: text(redis, names, lambda entry: b"allow" * 20),
    "one bit turned": lambda redis, names: text(
        redis, names, lambda entry: entry[:12] + bytes([entry[12] ^ 1]) + entry[13:]
    ),
    "an end of life of their own": lambda redis, names: text(
        redis, names, lambda entry: entry[:4] + b"\x01" + entry[5:]
    ),
    "truncated": lambda redis, names: text(redis, names, lambda entry: entry[:-1]),
    "cut to the head": lambda redis, names: text(redis, names, lambda entry: entry[:9]),
    "one byte": lambda redis, names: text(redis, names, lambda entry: entry[:1]),
    "huge": lambda redis, names: text(redis, names[:5], lambda entry: entry.ljust(HUGE, b"x")),
    "swapped between keys": swap,
    "a list instead of a string": lists,
    "sealed with a wrong secret": resealed,
}


SPARING: Final = ("huge",)
"""Those who leave some entries as they are."""


@pytest.mark.parametrize("vandal", VANDALS)
def test_what_was_done_to_entries_changes_no_answer(rig: Rig, vandal: str) -> None:
    reader = rig.replicas[1]

    def not_believed() -> int:
        return reader.looked_up("miss", "decision") + reader.looked_up("invalid", "decision")

    def attempt() -> bool | None:
        asks = written(rig)
        hits, before = reader.looked_up("hit", "decision"), not_believed()
        for kind in ("decision", "binding"):
            VANDALS[vandal](rig.redis, keys(rig.redis, kind))
        answers = reader.client.all(asks)
        assert wrongly_allowed(answers) == 0
        assert not wrong(answers)
        assert vandal in SPARING or reader.looked_up("hit", "decision") == hits
        return not_believed() > before or None

    assert obtained(attempt, "the second process looks at what was done")


def test_what_nobody_touched_is_a_hit(rig: Rig) -> None:
    """So the ones above are misses because of what was done, and for no other reason."""
    reader = rig.replicas[1]

    def attempt() -> bool | None:
        asks, hits = written(rig), reader.looked_up("hit", "decision")
        assert not wrong(reader.client.all(asks))
        return reader.looked_up("hit", "decision") > hits or None

    assert obtained(attempt, "the second process finds what the first has written")


def stored(rig: Rig) -> tuple[bytes, bytes]:
    """A check with a good token of which the first process has told Redis, and the entry's key."""

    def attempt() -> tuple[bytes, bytes] | None:
        rig.redis.command("FLUSHALL")
        check = check_request(token=rig.deck.token())
        key = asked_about(rig.redis, "decision", lambda: rig.client.ask(check))
        return (check, key) if key is not None and come(rig.redis, "decision", 1) else None

    return obtained(attempt, "a decision stands in Redis")


def allowing(rig: Rig, key: bytes, *, signer: Signer = OURS, life_s: int = 60) -> bytes:
    """What the service itself would write at `key` if the check had been allowed."""
    until = int(time.time()) + life_s
    return signer.sign("decision", name_of(key), allowed_payload(rig), until)


def allowed_payload(rig: Rig) -> bytes:
    """What the entry of a good token says."""
    key = stored(rig)[1]
    payload = OURS.open("decision", name_of(key), value(rig.redis, key), time.time())
    assert payload is not None
    return payload


def name_of(key: bytes) -> str:
    """The key as the service names it, and seals for: without the prefix of all its keys."""
    return key.decode().split(":", 2)[2]


def of_a_good_token(rig: Rig, key: bytes) -> bytes:
    """The genuine entry of a good token for the same operation."""
    return value(rig.redis, stored(rig)[1])


def of_another_kind(rig: Rig, key: bytes) -> bytes:
    """A genuine entry that binds a session."""

    def attempt() -> bytes | None:
        session = {"mcp-session-id": f"session-{secrets.token_hex(4)}"}
        rig.client.ask(check_request(token=rig.deck.token(), headers=session))
        return next(iter(keys(rig.redis, "binding")), None)

    return value(rig.redis, obtained(attempt, "a session is bound in Redis"))


ATTACKS: Final[dict[str, Callable[[Rig, bytes], bytes]]] = {
    "a good token's entry": of_a_good_token,
    "sealed with a wrong secret": lambda rig, key: allowing(rig, key, signer=OTHERS),
    "past its time": lambda rig, key: allowing(rig, key, life_s=-1),
    "of another kind": of_another_kind,
    "without a seal": lambda rig, key: allowing(rig, key)[:-32],
    "with an empty seal": lambda rig, key: allowing(rig, key)[:-32] + bytes(32),
    "the payload alone": lambda rig, key: allowed_payload(rig),
}


def forged(rig: Rig) -> tuple[bytes, bytes]:
    """A check with a token that nobody signed, and the key at which processes look for it; the second has not yet."""

    def attempt() -> tuple[bytes, bytes] | None:
        header, payload, signature = rig.deck.token().split(".")
        check = check_request(token=".".join((header, payload, signature[::-1])))
        key = asked_about(rig.redis, "decision", lambda: rig.client.ask(check))
        return None if key is None else (check, key)

    return obtained(attempt, "Redis is asked about a forged token")


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_entry_makes_a_forged_token_good(rig: Rig, attack: str) -> None:
    check, key = forged(rig)
    rig.redis.command("SET", key, ATTACKS[attack](rig, key))
    answer = rig.replicas[1].client.ask(check)
    assert (answer.allowed, answer.reason) == (False, "token_signature")


def test_an_entry_sealed_with_our_secret_would(rig: Rig) -> None:
    """So the attacks above are made at the right place, and it is the seal that they fail at."""

    def attempt() -> Seen | None:
        check, key = forged(rig)
        rig.redis.command("SET", key, allowing(rig, key))
        answer = rig.replicas[1].client.ask(check)
        return answer if answer.allowed else None

    assert obtained(attempt, "an entry of our own making is believed").metadata["cache"] == "redis"


@pytest.fixture(scope="module")
def newer(rig: Rig) -> tuple[Replica, Replica]:
    """Two processes with a policy by which the key of all tokens is withdrawn, and another has its `kid`.

    Before the second starts, its key set in Redis is replaced by one that has the old key.
    """
    other = replace(SIGNING_KEYS["rotate"], kid=SIGNING_KEYS["RS256"].kid)
    rig.issuer.answer("/newer/jwks", body=key_set_document([other]))
    policy = policy_text(f"{rig.issuer.url}/newer")

    def attempt() -> tuple[Replica, list[bytes]] | None:
        rig.redis.command("FLUSHALL")
        with monitored(rig.redis) as heard:
            first = rig.add(policy=policy)
        looked_for = heard.keys("jwks")
        # All that were looked for: other processes may look for theirs at the same time.
        return (first, looked_for) if looked_for and come(rig.redis, "jwks", len(looked_for)) else None

    first, looked_for = obtained(attempt, "the key set stands in Redis")
    now = time.time()
    document = struct.pack(">d", now) + key_set_document()
    for key in looked_for:
        rig.redis.command("SET", key, OTHERS.sign("jwks", name_of(key), document, int(now) + 3600))
    return first, rig.add(policy=policy)


def test_a_new_process_believes_no_key_set_that_was_put_into_redis(rig: Rig, newer: tuple[Replica, Replica]) -> None:
    _, second = newer
    eventually(lambda: second.looked_up("invalid", "jwks") > 0, "the key set in Redis is seen to be none of ours")
    assert second.client.ask(check_request(token=rig.deck.token())).reason == "token_signature"


def test_an_entry_of_an_older_policy_says_nothing_under_a_newer_one(rig: Rig, newer: tuple[Replica, Replica]) -> None:
    """What was vouched for by a key that is withdrawn counts no longer, also when it is copied to the new key."""
    first, second = newer

    def attempt() -> tuple[bytes, bytes, bytes] | None:
        check, old_key = stored(rig)
        if rig.replicas[1].client.ask(check).metadata["cache"] != "redis":
            return None
        new_key = asked_about(rig.redis, "decision", lambda: first.client.ask(check))
        return None if new_key is None else (check, old_key, new_key)

    check, old_key, new_key = obtained(attempt, "both policies look for the token in Redis")
    assert new_key != old_key
    rig.redis.command("SET", new_key, value(rig.redis, old_key))
    assert second.client.ask(check).reason == "token_signature"
