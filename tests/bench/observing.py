"""Telemetry as `serve` has it, for measuring: metrics and audit lines on, nothing exported."""

import os
from collections.abc import Callable

from extauthz.adapters.telemetry.observer import TelemetryObserver
from extauthz.adapters.telemetry.pipeline import Telemetry
from extauthz.pdp.mcp.methods import METHODS
from extauthz.pdp.policy import Policy


def observer(policy: Policy) -> tuple[TelemetryObserver, Callable[[], None]]:
    """The observer, and what ends it. Audit lines go to the null device."""
    sink = os.open(os.devnull, os.O_WRONLY)
    telemetry = Telemetry({}, policy=policy, known_methods=frozenset(METHODS), audit_descriptor=sink)
    telemetry.start()
    return telemetry.observer, telemetry.stop
