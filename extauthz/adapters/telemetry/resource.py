"""What all telemetry says of this process."""

from typing import Final

from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource

from extauthz import __version__

SERVICE: Final = "extauthz"


def described() -> Resource:
    """Our name and version, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` say otherwise."""
    ours = {SERVICE_NAME: SERVICE, SERVICE_VERSION: __version__}
    theirs = OTELResourceDetector().detect().attributes
    return Resource.create({name: value for name, value in ours.items() if name not in theirs})
