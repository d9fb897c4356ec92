"""Whoever can read all of Redis, or listens on the way to it, learns no token, no claim and nobody's name."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.redis_words import keys, obtained, strings
from tests.chaos.rig import SECRET, Place, Replica, Rig
from tests.support.checks import check_request, message
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("chaos")]

CLAIMS: dict[str, Any] = {
    "sub": "subject-kept-to-ourselves",
    "name": "name-kept-to-ourselves",
    "id": "id-kept-to-ourselves",
    "displayName": "Display Name Kept To Ourselves",
    "email": "kept-to-ourselves@acme.test",
    "azp": "client-kept-to-ourselves",
    "jti": "admin/jti-kept-to-ourselves",
    "tag": "tag-kept-to-ourselves",
    "scope": "weather:read scope-kept-to-ourselves",
}
SESSION = "session-kept-to-ourselves"
MIN_PART = 6
"""Shorter texts come up by chance among random bytes."""


def forms(secret: str) -> dict[str, bytes]:
    """A text in the forms in which it could stand somewhere: as it is, encoded, reversed, or under a common digest.

    In base64 a text looks otherwise by where it begins among three bytes; of each look, what does not depend on its
    neighbours.
    """
    raw = secret.encode()
    found = {"raw": raw, "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode(), "reversed": raw[::-1]}
    found["JSON"] = json.dumps(secret)[1:-1].encode()
    found["UTF-16"] = secret.encode("utf-16-le")
    for offset in range(3):
        padded = bytes(offset) + raw
        whole = padded[: len(padded) // 3 * 3]
        inner = slice(4 if offset else 0, None)
        found[f"base64 at {offset}"] = base64.b64encode(whole)[inner]
        found[f"base64url at {offset}"] = base64.urlsafe_b64encode(whole)[inner]
    for digest in (hashlib.md5, hashlib.sha1, hashlib.sha256, hashlib.sha512):
        value = digest(raw)
        found[value.name] = value.digest()
        found[f"{value.name} in hex"] = value.hexdigest().encode()
        found[f"{value.name} in base64"] = base64.b64encode(value.digest()).rstrip(b"=")
        found[f"{value.name} in base64url"] = base64.urlsafe_b64encode(value.digest()).rstrip(b"=")
    return {name: form for name, form in found.items() if len(form) >= MIN_PART}


def secrets_of(token: str) -> dict[str, str]:
    """Everything in the load that a reader of Redis must not learn."""
    payload = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    found = {f"claim {name}": str(each) for name, each in flat(payload)}
    found |= {f"token part {number}": part for number, part in enumerate(token.split("."))}
    found |= {"session id": SESSION, "cache secret": SECRET, "token": token, "tool": "get_forecast"}
    found |= {"organization": "organization-kept-to-ourselves", "user": f"acme/{CLAIMS['name']}"}
    return {name: text for name, text in found.items() if len(text) >= MIN_PART}


def flat(claims: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Names and values; each item of a list or of a list in a text is one."""
    for name, each in claims.items():
        parts = each if isinstance(each, list) else [each, *each.split()] if isinstance(each, str) else [each]
        yield from ((name, part) for part in parts)


def loaded(rig: Rig, process: Replica) -> str:
    """Everything that the service writes for a caller; the caller's token."""
    token = rig.deck.token(CLAIMS)
    process.client.ask(check_request(token=token))
    process.client.ask(check_request(token=token, headers={"mcp-session-id": SESSION}))
    process.client.ask(check_request(message("tools/list"), token=token))
    return token


def revoke_all(rig: Rig, process: Replica, token: str) -> None:
    """By everything that can be named."""
    process.revoke(by="token", issuer="", value=hashlib.sha256(token.encode()).hexdigest())
    for by, value in (
        ("jti", CLAIMS["jti"]),
        ("subject", CLAIMS["sub"]),
        ("user", f"acme/{CLAIMS['name']}"),
        ("client", CLAIMS["azp"]),
        ("organization", "organization-kept-to-ourselves"),
    ):
        process.revoke(by=by, value=value)
    assert process.client.ask(check_request(token=token)).reason == "token_revoked"
    # The head, the log, and six items.
    eventually(lambda: len(keys(rig.redis, "{revocation}")) >= 8, "all revocations stand in Redis")


def everything_in(redis: RedisServer, folder: Path) -> bytes:
    """Keys, values as commands give them, DUMP of each, and the file that BGSAVE would write; nothing compressed."""
    redis.command("CONFIG", "SET", "rdbcompression", "no")
    found = list(keys(redis))
    for key in tuple(found):
        found += [*strings(redis.command("DUMP", key)), *contents(redis, key)]
    redis.command("SAVE")
    return b"\n".join(found) + (folder / "dump.rdb").read_bytes()


def contents(redis: RedisServer, key: bytes) -> list[bytes]:
    """The value, by the command for its type."""
    match redis.command("TYPE", key):
        case b"+string\r\n":
            return strings(redis.command("GET", key))
        case b"+zset\r\n":
            return strings(redis.command("ZRANGE", key, "0", "-1", "WITHSCORES"))
        case b"+hash\r\n":
            return strings(redis.command("HGETALL", key))
        case b"+stream\r\n":
            return strings(redis.command("XRANGE", key, "-", "+"))
        case b"+set\r\n":
            return strings(redis.command("SMEMBERS", key))
        case other:
            assert other == b"+list\r\n", f"a type that this test cannot read: {other!r}"
            return strings(redis.command("LRANGE", key, "0", "-1"))


def told(text: bytes, secrets: Mapping[str, str]) -> list[tuple[str, str]]:
    """Which secrets stand in a text, and in which form."""
    return [(name, form) for name, secret in secrets.items() for form, value in forms(secret).items() if value in text]


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Rig]:
    """A rig of its own: a key set that another test flushed would only come back with the next fetch."""
    with Rig(tmp_path, Place.SERVER, recording=True) as running:
        running.replicas.append(running.add(linked=True))
        running.warm()
        yield running


def test_a_dump_of_redis_and_all_that_was_said_to_it_hold_nothing_in_clear(fresh: Rig) -> None:
    rig, process = fresh, fresh.replicas[1]

    def attempt() -> str | None:
        token = loaded(rig, process)
        kinds = ("token", "decision", "binding", "jwks")
        return token if all(keys(rig.redis, kind) for kind in kinds) else None

    token = obtained(attempt, "decisions, bindings and key sets stand in Redis")
    revoke_all(rig, process, token)
    everything = everything_in(rig.redis, rig.folder)
    said = bytes(rig.link.heard)
    assert b"RSA" in everything, "the key set, which is public"
    for kind in (b"token:", b"decision:"):
        assert everything.count(kind) > 1
        assert kind in said
    assert b"{revocation}:" in said
    secrets = secrets_of(token)
    assert told(everything, secrets) == []
    assert told(said, secrets) == []


@pytest.mark.parametrize("form", forms("subject-kept-to-ourselves"))
def test_what_stood_there_in_clear_would_be_found(form: str) -> None:
    secret = "subject-kept-to-ourselves"
    assert ("it", form) in told(b"before" + forms(secret)[form] + b"after", {"it": secret})


def test_a_text_inside_another_is_found_in_base64_wherever_it_begins() -> None:
    secret = "subject-kept-to-ourselves"
    for before in range(4):
        text = base64.b64encode(b"x" * before + secret.encode() + b"and more")
        assert told(text, {"it": secret})
