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

from extauthz.pdp.reason import Reason
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
KINDS: Final = ("token", "decision")
OTHER_KIND: Final = {"token": "decision", "decision": "token"}
OURS: Final = Signer([SECRET.encode()])
OTHERS: Final = Signer([b"another secret, of thirty-two bytes"])
HUGE: Final = 2 * 1024 * 1024


def written(rig: Rig) -> list[Ask]:
    """What the first process was asked and has told Redis, all of it; the second has not been asked yet."""

    def attempt() -> list[Ask] | None:
        rig.redis.command("FLUSHALL")
        asks = rig.deck.deal(CHECKS)
        assert not wrong(rig.client.all(asks))
        new = [ask for ask in asks if ask.kind.startswith("new")]
        permitted = [ask for ask in new if ask.reason == Reason.ALLOWED]
        all_there = come(rig.redis, "token", len(new)) and come(rig.redis, "decision", len(permitted))
        return asks if all_there else None

    return obtained(attempt, "all valid tokens and permits stand in Redis")


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
    def vandalize() -> None:
        for kind in (*KINDS, "binding"):
            VANDALS[vandal](rig.redis, keys(rig.redis, kind))

    changes_no_answer(rig, vandalize, sparing=vandal in SPARING)


def changes_no_answer(rig: Rig, vandalize: Callable[[], None], *, sparing: bool = False) -> None:
    reader = rig.replicas[1]

    def hits() -> list[int]:
        return [reader.looked_up("hit", kind) for kind in KINDS]

    def not_believed() -> list[int]:
        return [reader.looked_up("miss", kind) + reader.looked_up("invalid", kind) for kind in KINDS]

    def attempt() -> bool | None:
        asks = written(rig)
        hits_before, before = hits(), not_believed()
        vandalize()
        answers = reader.client.all(asks)
        assert wrongly_allowed(answers) == 0
        assert not wrong(answers)
        assert sparing or hits() == hits_before
        return all(now > then for now, then in zip(not_believed(), before, strict=True)) or None

    assert obtained(attempt, "the second process looks at what was done, for both kinds")


def test_entries_that_stand_under_the_other_kind_change_no_answer(rig: Rig) -> None:
    """A token's entry at a decision's key, and the other way round: as they are, and under each other's names."""

    def exchange() -> None:
        names = [keys(rig.redis, kind) for kind in KINDS]
        values = [[value(rig.redis, name) for name in each] for each in names]
        for own, others in zip(names, reversed(values), strict=True):
            for number, name in enumerate(own):
                rig.redis.command("SET", name, others[number % len(others)])

    changes_no_answer(rig, exchange)


def test_what_nobody_touched_is_a_hit(rig: Rig) -> None:
    """So the ones above are misses because of what was done, and for no other reason."""
    reader = rig.replicas[1]

    def attempt() -> bool | None:
        asks, hits = written(rig), [reader.looked_up("hit", kind) for kind in KINDS]
        assert not wrong(reader.client.all(asks))
        return all(reader.looked_up("hit", kind) > before for kind, before in zip(KINDS, hits, strict=True)) or None

    assert obtained(attempt, "the second process finds what the first has written")


def stored(rig: Rig, kind: str) -> tuple[bytes, bytes]:
    """A check with a good token of which the first process has told Redis, and the key of the entry of this kind."""

    def attempt() -> tuple[bytes, bytes] | None:
        rig.redis.command("FLUSHALL")
        check = check_request(token=rig.deck.token())
        key = asked_about(rig.redis, kind, lambda: rig.client.ask(check))
        return (check, key) if key is not None and come(rig.redis, kind, 1) else None

    return obtained(attempt, f"an entry of a {kind} stands in Redis")


def allowing(rig: Rig, key: bytes, *, signer: Signer = OURS, life_s: int = 60) -> bytes:
    """What the service itself would write at `key` if the token were valid, or the operation permitted."""
    until = int(time.time()) + life_s
    return signer.sign(kind_of(key), name_of(key), allowed_payload(rig, key), until)


def allowed_payload(rig: Rig, key: bytes) -> bytes:
    """What the entry of this kind says of a good token."""
    good = stored(rig, kind_of(key))[1]
    payload = OURS.open(kind_of(key), name_of(good), value(rig.redis, good), time.time())
    assert payload is not None
    return payload


def kind_of(key: bytes) -> str:
    return name_of(key).partition(":")[0]


def name_of(key: bytes) -> str:
    """The key as the service names it, and seals for: without the prefix of all its keys."""
    return key.decode().split(":", 2)[2]


def of_a_good_token(rig: Rig, key: bytes) -> bytes:
    """The genuine entry of this kind of a good token."""
    return value(rig.redis, stored(rig, kind_of(key))[1])


def of_the_other_kind(rig: Rig, key: bytes) -> bytes:
    """The genuine entry of a good token, of the kind that this is not."""
    return value(rig.redis, stored(rig, OTHER_KIND[kind_of(key)])[1])


def under_the_other_kind(rig: Rig, key: bytes) -> bytes:
    """Signed with our secret for this key and with what would do, but as the other kind."""
    return OURS.sign(OTHER_KIND[kind_of(key)], name_of(key), allowed_payload(rig, key), int(time.time()) + 60)


def of_a_session(rig: Rig, key: bytes) -> bytes:
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
    "that binds a session": of_a_session,
    "of the other kind": of_the_other_kind,
    "under the other kind": under_the_other_kind,
    "without a seal": lambda rig, key: allowing(rig, key)[:-32],
    "with an empty seal": lambda rig, key: allowing(rig, key)[:-32] + bytes(32),
    "the payload alone": allowed_payload,
}


def forged(rig: Rig) -> bytes:
    """A check with a token that nobody signed."""
    header, payload, signature = rig.deck.token().split(".")
    # The last character stays: it has bits that must be zero.
    return check_request(token=".".join((header, payload, signature[-2::-1] + signature[-1])))


def too_narrow(rig: Rig) -> bytes:
    """A check with a good token that lacks the scope."""
    return check_request(token=rig.deck.token({"scope": "weather:other"}))


REFUSED: Final[dict[str, tuple[Callable[[Rig], bytes], str]]] = {
    "token": (forged, "token_signature"),
    "decision": (too_narrow, "scope_insufficient"),
}
"""A check that no process allows, and why, by the kind of entry that would have to say otherwise."""


def looked_for(rig: Rig, kind: str) -> tuple[bytes, bytes]:
    """Such a check, and the key at which processes look for that entry; the second has not yet."""

    def attempt() -> tuple[bytes, bytes] | None:
        check = REFUSED[kind][0](rig)
        key = asked_about(rig.redis, kind, lambda: rig.client.ask(check))
        return None if key is None else (check, key)

    return obtained(attempt, f"Redis is asked for a {kind}")


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_entry_allows_what_is_refused(rig: Rig, kind: str, attack: str) -> None:
    check, key = looked_for(rig, kind)
    rig.redis.command("SET", key, ATTACKS[attack](rig, key))
    answer = rig.replicas[1].client.ask(check)
    assert (answer.allowed, answer.reason) == (False, REFUSED[kind][1])


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_signed_with_our_secret_would(rig: Rig, kind: str) -> None:
    """So the attacks above are made at the right place, and it is the signature that they fail at."""

    def attempt() -> Seen | None:
        check, key = looked_for(rig, kind)
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

    def started() -> Replica | None:
        now = time.time()
        document = struct.pack(">d", now) + key_set_document()
        for key in looked_for:
            rig.redis.command("SET", key, OTHERS.sign("jwks", name_of(key), document, int(now) + 3600))
        second = rig.add(policy=policy)
        results = ("invalid", "unavailable", "hit", "miss")
        eventually(lambda: any(second.looked_up(each, "jwks") for each in results), "the key set was looked for")
        # A process that starts on a busy machine may not get Redis's answer in time, and then asks the issuer.
        return second if second.looked_up("invalid", "jwks") else None

    return first, obtained(started, "the key set in Redis is seen to be none of ours")


def test_a_new_process_believes_no_key_set_that_was_put_into_redis(rig: Rig, newer: tuple[Replica, Replica]) -> None:
    _, second = newer
    assert second.looked_up("invalid", "jwks") > 0
    assert second.client.ask(check_request(token=rig.deck.token())).reason == "token_signature"


def test_an_entry_of_an_older_policy_says_nothing_under_a_newer_one(rig: Rig, newer: tuple[Replica, Replica]) -> None:
    """What was vouched for by a key that is withdrawn counts no longer, also when it is copied to the new key."""
    first, second = newer

    def attempt() -> tuple[bytes, bytes, bytes] | None:
        check, old_key = stored(rig, "token")
        if rig.replicas[1].client.ask(check).metadata["cache"] != "redis":
            return None
        new_key = asked_about(rig.redis, "token", lambda: first.client.ask(check))
        return None if new_key is None else (check, old_key, new_key)

    check, old_key, new_key = obtained(attempt, "both policies look for the token in Redis")
    assert new_key != old_key
    rig.redis.command("SET", new_key, value(rig.redis, old_key))
    assert second.client.ask(check).reason == "token_signature"
