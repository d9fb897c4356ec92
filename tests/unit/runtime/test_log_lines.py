"""A log line is one line, escapes what steers a terminal, and holds no secret: message, arguments and traceback."""

import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from extauthz.pdp.redaction import CUT, Redactor
from extauthz.runtime.log_lines import CONTINUED, LogLines, log_to_stderr

SECRET = "hunter2-hunter2"


def formatted(message: str, *arguments: object, error: BaseException | None = None) -> str:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("extauthz", logging.ERROR, "f", 1, message, arguments, exc_info)
    return LogLines(Redactor([SECRET])).format(record)


def fail(text: str) -> None:
    raise ValueError(text) from OSError(text)


def raised(text: str) -> ValueError:
    try:
        fail(text)
    except ValueError as error:
        return error
    raise AssertionError


def test_no_secret_is_logged() -> None:
    for line in (
        formatted(SECRET),
        formatted("%s", SECRET),
        formatted("%s %r", {"password": SECRET}, [SECRET.encode()]),
        formatted("it failed", error=raised(SECRET)),
    ):
        assert CUT in line
        assert SECRET not in line


def test_a_record_begins_where_a_line_begins_and_nowhere_else() -> None:
    line = formatted("names: %s", "a\n2026-01-01 00:00:00,000 CRITICAL extauthz: forged\r\x1b[2J\u2028b")
    first, *further = line.split("\n")
    assert first.endswith("names: a")
    assert all(each.startswith(CONTINUED) and each.isprintable() for each in further)


def test_a_traceback_is_kept_line_by_line() -> None:
    lines = formatted("it failed", error=raised("why")).split("\n")
    assert lines[-1] == CONTINUED + "ValueError: why"
    assert CONTINUED + "Traceback (most recent call last):" in lines


@pytest.fixture
def logging_to_stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    root = logging.getLogger()
    kept = root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook
    root.handlers.clear()
    log_to_stderr(Redactor([SECRET]))
    yield
    root.handlers[:], sys.excepthook, threading.excepthook, sys.unraisablehook = kept[0], *kept[2:]
    root.setLevel(kept[1])


@pytest.mark.usefixtures("logging_to_stderr")
def test_what_nobody_catches_is_logged_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    error = raised(SECRET)
    sys.excepthook(ValueError, error, error.__traceback__)
    threading.excepthook(threading.ExceptHookArgs((ValueError, error, error.__traceback__, None)))
    sys.unraisablehook(type("Found", (), {"exc_value": error})())
    shown = capsys.readouterr().err
    assert shown.count("ValueError: " + CUT) == 3
    assert SECRET not in shown
