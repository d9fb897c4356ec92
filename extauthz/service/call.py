"""What a transport knows about one check besides its bytes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """One gRPC call of the proxy.

    `now_ns` is its arrival (Unix nanoseconds), `deadline` the moment after which the proxy no longer waits (Unix
    seconds; None when it waits for ever). `traceparent` and `tracestate` are those of the gRPC metadata, which are the
    proxy's own; the headers inside the check request are the client's.
    """

    now_ns: int
    deadline: float | None = None
    traceparent: str = ""
    tracestate: str = ""
