"""A log line is one line, escapes what steers a terminal, and holds no secret: message, arguments and traceback."""

import logging
import subprocess
import sys

from extauthz.pdp.redaction import CUT, Redactor
from extauthz.runtime.log_lines import CONTINUED, LogLines

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


UNCAUGHT = """
import threading
from extauthz.pdp.redaction import Redactor
from extauthz.runtime.log_lines import log_to_stderr

log_to_stderr(Redactor(["hunter2-hunter2"]))

def fail():
    raise ValueError("hunter2-hunter2")

class Fails:
    def __del__(self):
        fail()

thread = threading.Thread(target=fail)
thread.start()
thread.join()
Fails()
fail()
"""


def test_what_nobody_catches_is_logged_without_secrets() -> None:
    """In a thread, in a destructor, and in the main thread."""
    done = subprocess.run([sys.executable, "-c", UNCAUGHT], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.count("ValueError: " + CUT) == 3
    assert SECRET not in done.stderr
