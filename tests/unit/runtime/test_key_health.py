"""Lines about keys that cannot be fetched, and the readiness that rests on keys."""

import logging

import pytest

from extauthz.runtime.key_health import KeyHealth
from extauthz.service.ports import KeySetState


def state(fault: str = "", keys: int = 0, issuer: str = "door") -> KeySetState:
    return KeySetState(issuer=issuer, age_s=1.0 if keys else None, keys=keys, last_fault=fault)


def test_ready_once_keys_of_one_issuer_were_held_and_from_then_on() -> None:
    health = KeyHealth()
    assert (health.ready, health.detail) == (False, "key sets are being fetched for the first time: wait")
    health.look([state("refused"), state("unknown host", issuer="other")])
    assert (health.ready, health.detail) == (False, "door: refused; other: unknown host")
    health.look([state("refused"), state(keys=2, issuer="other")])
    assert (health.ready, health.detail) == (True, "")
    health.look([state("refused"), state("unknown host", issuer="other")])
    assert (health.ready, health.detail) == (True, "")


def test_a_failure_is_one_line_when_it_begins_and_one_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    health = KeyHealth()
    with caplog.at_level(logging.INFO, "extauthz.keys"):
        for fault in ("refused: check host and port", "refused: check host and port", "timeout", "", "", "again"):
            health.look([state(fault, keys=2)])
    assert caplog.messages == [
        "keys of issuer door cannot be fetched: refused: check host and port; the keys held are used meanwhile",
        "keys of issuer door can be fetched again: 2 keys",
        "keys of issuer door cannot be fetched: again; the keys held are used meanwhile",
    ]


def test_an_issuer_without_keys_says_what_that_means(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "extauthz.keys"):
        KeyHealth().look([state("refused")])
    assert "its tokens are refused (503) until then" in caplog.text


def test_an_issuer_that_left_the_policy_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    health = KeyHealth()
    with caplog.at_level(logging.INFO, "extauthz.keys"):
        health.look([state("refused")])
        health.look([])
        health.look([state("refused")])
    assert len(caplog.messages) == 2
