"""What a transport knows about one check besides its bytes, and the time that the check has."""

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


@dataclass(slots=True)
class Moment:
    """The present of one check: it moves on when the check had to wait. Unix seconds."""

    now: float
    deadline: float | None

    @property
    def too_late(self) -> bool:
        """Whether the proxy has stopped waiting."""
        return self.deadline is not None and self.now >= self.deadline
