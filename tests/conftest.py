"""What holds for every test."""

import os
import signal

from hypothesis import HealthCheck, settings

# Generated cases are not timed: machines that run tests are shared, and a slow one is no fault. They are the same each
# time, so that what turns red is what was changed; `make test-long` looks for others (EXTAUTHZ_SEARCH=new).
settings.register_profile("same", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("new", settings.get_profile("same"), derandomize=False)
settings.load_profile(os.environ.get("EXTAUTHZ_SEARCH", "same"))


def pytest_configure() -> None:
    """Let Ctrl-C be Ctrl-C: a shell that starts the suite in the background has it ignored, also by our children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
