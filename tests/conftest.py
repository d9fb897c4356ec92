"""Generated cases are not timed: machines that run tests are shared, and a slow one is no fault."""

from hypothesis import HealthCheck, settings

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
