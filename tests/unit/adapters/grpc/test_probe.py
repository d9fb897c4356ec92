"""The attempt with the fast path: works here, and says in one line what is wrong with a grpcio of another make."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from extauthz.adapters.grpc import core, fast_path, probe
from tests.support.waiting import eventually


def test_the_fast_path_works_with_this_grpcio(caplog: pytest.LogCaptureFixture) -> None:
    assert probe.fast_path_works()
    assert caplog.records == []


def missing_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "_NEEDED", ("SomethingElse",))


def raises_on_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise TypeError("takes other arguments")

    monkeypatch.setattr(fast_path.FastPath, "_ask", fail)


def never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "ANSWER_WITHIN_S", 0.2)
    monkeypatch.setattr(fast_path.FastPath, "_answer", lambda *_: None)


def answers_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(self: fast_path.FastPath, arrival: Any, _: bytes) -> None:
        self._end(arrival, 0, b"", b"something else")

    monkeypatch.setattr(fast_path.FastPath, "_answer", answer)


def refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def arrived(self: fast_path.FastPath, arrival: Any, _: bytes | None) -> None:
        self._refuse(arrival, fast_path._NO_MESSAGE)

    monkeypatch.setattr(fast_path.FastPath, "_arrived", arrived)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (missing_part, "it has no SomethingElse"),
        (raises_on_start, "TypeError: takes other arguments"),
        (never_answers, "a call ended with "),
        (answers_otherwise, "a call got the answer of another"),
        (refuses, "a call ended with INVALID_ARGUMENT"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fast_path_that_fails_is_not_used(
    broken: Callable[[pytest.MonkeyPatch], None],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken(monkeypatch)
    assert not probe.fast_path_works()
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert said in record.getMessage()
    assert "using the standard server" in record.getMessage()


def test_the_attempt_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    assert probe.fast_path_works()
    eventually(lambda: not {one for one in threading.enumerate() if one.name.startswith("extauthz")} - before, "ended")
