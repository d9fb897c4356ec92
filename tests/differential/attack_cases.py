"""The messages of the attack corpus (`extauthz.attack`), as they are and with bytes and headers changed."""

from collections.abc import Iterator
from random import Random
from re import compile as compile_pattern

from extauthz.attack.case import BOTH_ERAS, attempts
from extauthz.attack.compose import CannotComposeError, RawRequest, compose
from extauthz.attack.corpus import load_corpus
from extauthz.attack.target import Target, Values
from extauthz.pdp.request import HttpRequest
from tests.differential.grammar import changed_bytes, changed_headers, message_of
from tests.differential.recording import Sent

# Larger bodies only ever show a limit, which every server has.
MAX_BODY_BYTES = 100_000
# RFC 9110 §5.1, §5.5: no proxy hands on any other.
_NAME = compile_pattern(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = compile_pattern(r"[\t\x20-\x7e\x80-\xff]*")
_TARGET = Target.of("http://127.0.0.1:8080/mcp")
_VALUES = Values(
    tool="get_forecast",
    arguments="{}",
    forbidden="admin",
    forbidden_arguments="{}",
    forbidden_uri="docs://vault/secret_plan-v1~draft",
    token="t.t.t",
)
# Not part of the message: how it is addressed and sent, and who sends it.
_CARRIAGE = frozenset(("host", "connection", "authorization", "accept", "content-length", "transfer-encoding"))


def attack_messages(random: Random, of_each: int) -> list[tuple[HttpRequest, Sent]]:
    """Each POST of the corpus, and so many changed ones."""
    found: list[tuple[HttpRequest, Sent]] = []
    for raw in _posts():
        lines = tuple((name.lower(), value) for name, value in raw.headers if name.lower() not in _CARRIAGE)
        found.append(message_of(lines, raw.body))
        for _ in range(of_each):
            body, headers = raw.body, lines
            if random.random() < 0.5:
                headers = changed_headers(lines, random)
            if headers is lines or random.random() < 0.5:
                body = changed_bytes(body, random)
            found.append(message_of(headers, body))
    return found


def _posts() -> Iterator[RawRequest]:
    for attempt in attempts(load_corpus(), frozenset(BOTH_ERAS)):
        try:
            raw = compose(attempt, _TARGET, _VALUES)
        except CannotComposeError:
            continue
        fields = all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in raw.headers)
        if raw.method == "POST" and raw.body and len(raw.body) <= MAX_BODY_BYTES and fields:
            yield raw
