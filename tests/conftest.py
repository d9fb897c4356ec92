"""What holds for every test."""

import signal

from hypothesis import HealthCheck, settings

# Generated cases are not timed: machines that run tests are shared, and a slow one is no fault.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure() -> None:
    """Let Ctrl-C be Ctrl-C: a shell that starts the suite in the background has it ignored, also by our children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
