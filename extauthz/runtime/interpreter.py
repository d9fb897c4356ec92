"""How the threads of a serving process share its interpreter."""

import sys
from typing import Final

SWITCH_INTERVAL_S: Final = 0.0005
"""Seconds after which a thread that computes lets another that wants to: Python's default is ten times as much. While a
large body is read, each small check waits for it this long."""


def share_fairly() -> None:
    """For the whole process."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
