"""What the fast path uses of grpcio's own server, and whether this grpcio has it.

`grpc._cython.cygrpc` is what grpcio's two servers are made of. It is not a public interface.
"""

from typing import Any, Final

from grpc._cython import cygrpc

NO_DEADLINE_S: Final = 1e9
"""grpcio states the lack of a deadline as one in the far future, about 3e11 years away: anything above 30 years."""

_NEEDED: Final = (
    "CompletionQueue",
    "CompletionType",
    "ReceiveCloseOnServerOperation",
    "ReceiveMessageOperation",
    "SendInitialMetadataOperation",
    "SendMessageOperation",
    "SendStatusFromServerOperation",
    "StatusCode",
    "auth_context",
)
_NEEDED_OF_SERVER: Final = ("register_completion_queue", "register_method", "request_registered_call")
_NEEDED_OF_CALL: Final = ("cancel", "peer", "start_server_batch")
_NO_FLAGS: Final = 0


class FastPathUnavailable(Exception):
    """This grpcio is made otherwise; the message says what is missing."""


def core_of(server: Any) -> Any:
    """The server within grpcio's server. Raises `FastPathUnavailable`."""
    core = getattr(server, "_cy_server", None)
    missing = [name for name in _NEEDED if not hasattr(cygrpc, name)]
    missing += [name for name in _NEEDED_OF_SERVER if not hasattr(core, name)]
    missing += [name for name in _NEEDED_OF_CALL if not hasattr(getattr(cygrpc, "Call", None), name)]
    if missing:
        raise FastPathUnavailable(f"has no {', '.join(missing)}")
    return core


def receive(rpc: Any, tag: object) -> None:
    """Ask for the message of a call: an event with `tag` when it has come, or never will."""
    rpc.start_server_batch((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), tag)


def end(rpc: Any, tag: object, code: int, details: bytes, answer: bytes | None = None) -> None:
    """End a call with a status, and an answer before it: an event with `tag` when the client has taken both."""
    message = () if answer is None else (cygrpc.SendMessageOperation(answer, _NO_FLAGS),)
    rpc.start_server_batch(
        (
            cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS),
            *message,
            cygrpc.SendStatusFromServerOperation(None, code, details, _NO_FLAGS),
            cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),
        ),
        tag,
    )
