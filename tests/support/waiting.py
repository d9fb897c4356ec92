"""Waiting for something that happens elsewhere: bounded, and without guessing how long it takes."""

import time
from collections.abc import Callable
from typing import Final

WITHIN_S: Final = 15.0
LOOK_EVERY_S: Final = 0.02


def eventually(holds: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
    """Return as soon as `holds` says so; fail with `what` when it has not within the bound."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        time.sleep(LOOK_EVERY_S)
