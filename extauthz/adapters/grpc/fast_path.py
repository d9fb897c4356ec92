"""The fast lane of the gRPC server: checks are taken, decided and answered by one thread, from a queue of their own.

grpcio's own server passes each call between two threads three times. Here one thread takes in what has come, decides
it in a row while the interpreter's caches are warm, and only hands on a check that has to wait: about twice as many
checks per core (`make bench`).

It rests on what grpcio's servers themselves are made of (`grpc._cython.cygrpc`), which is not a public interface. So
everything else (listening, TLS, health, the orderly end) stays with the public server, and a grpcio where anything
of this is missing gets no lane: checks then go the public way, slower and otherwise the same.
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from grpc._cython import cygrpc

from extauthz.adapters.grpc.queue import AdaptiveLifoQueue, Turn
from extauthz.adapters.grpc.threads import CheckThreads
from extauthz.service.call import Call

Begun: TypeAlias = bytes | Callable[[], bytes]
"""An answer, or what waits for it."""
Begin: TypeAlias = Callable[[bytes, Call], Begun]
"""From `CheckRequest` bytes to the answer, as far as nothing has to be waited for."""

TAKEN_AT_ONCE: Final = 128
"""Events taken in before checks are decided: about forty calls, so that the line knows of all that wait."""
DECIDED_AT_ONCE: Final = 16
"""Checks decided in a row, some 2 ms, before what has come meanwhile is taken in."""
NO_DEADLINE_S: Final = 1e9
"""grpcio states the lack of a deadline as one in the far future, about 3e11 years away: anything above 30 years."""
ASKED_AHEAD: Final = 64
"""Calls asked for before they come. A call that nobody has asked for yet is lost when the server stops."""
POLL_S: Final = 1.0
"""Seconds of waiting for an event before waiting again."""

_NEEDED: Final = (
    "CompletionQueue",
    "CompletionType",
    "ReceiveCloseOnServerOperation",
    "ReceiveMessageOperation",
    "SendInitialMetadataOperation",
    "SendMessageOperation",
    "SendStatusFromServerOperation",
    "StatusCode",
)
_NEEDED_OF_SERVER: Final = ("register_completion_queue", "register_method", "request_registered_call")
_NO_FLAGS: Final = 0

# Tags of events: a call has come, a call has ended. Any other tag is the call whose message has come.
_CAME: Final = object()
_ENDED: Final = object()

_log = logging.getLogger("extauthz.grpc")


class _Arrival:
    """A call whose message is on its way, or in line."""

    __slots__ = ("deadline", "metadata", "rpc")

    def __init__(self, event: Any) -> None:
        self.rpc: Any = event.call
        self.metadata: Any = event.invocation_metadata
        self.deadline: float = event.call_details.deadline


class FastPath:
    """Serves one unary method of a server that has not started yet. `start` follows the server's own."""

    def __init__(
        self, server: Any, method: str, *, begin: Begin, refusal: bytes, threads: CheckThreads, max_calls: int
    ) -> None:
        """Raises `FastPathUnavailable` where this grpcio lacks what it needs. At most `max_calls` are held at once."""
        self._core = _core_of(server)
        self._method = method
        self._begin = begin
        self._refusal = refusal
        self._threads = threads
        self._max_calls = max_calls
        self._line: AdaptiveLifoQueue[tuple[_Arrival, bytes]] = AdaptiveLifoQueue()
        self._turn = Turn()
        self._held = 0
        self._closing = False
        self._queue: Any = cygrpc.CompletionQueue()
        self._core.register_completion_queue(self._queue)
        self._core.register_method(method)
        self._thread = threading.Thread(target=self._serve, name="extauthz-lane", daemon=True)

    def start(self) -> None:
        """Take calls, in a thread that ends by itself when the server has stopped and every call has ended."""
        for _ in range(ASKED_AHEAD):
            self._ask()
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the thread. Safe without `start`."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _ask(self) -> None:
        """Ask for the next call; grpcio refuses that once the server is about to stop."""
        try:
            self._core.request_registered_call(self._queue, self._queue, self._method, _CAME)
        except ValueError:
            self._closing = True

    def _serve(self) -> None:
        while True:
            try:
                self._run()
            except BaseException as error:  # noqa: BLE001 - the lane's outermost handler: a call without answer is a refusal
                complain(error)
            else:
                return

    def _run(self) -> None:
        """Until the queue has been shut down."""
        timeout, shutdown = cygrpc.CompletionType.queue_timeout, cygrpc.CompletionType.queue_shutdown
        poll, line = self._queue.poll, self._line
        while True:
            event = poll(0 if line else time.time() + POLL_S)
            for _ in range(TAKEN_AT_ONCE):
                if event.completion_type == timeout:
                    break
                if event.completion_type == shutdown:
                    return
                self._take(event)
                # An event that is still held when polling can keep its call, and the poll with it, from ending.
                event = None
                event = poll(0)
            else:
                self._take(event)
            event = None
            for _ in range(min(DECIDED_AT_ONCE, len(line))):
                self._decide(*line.take(self._turn))

    def _take(self, event: Any) -> None:
        """One thing that has happened to a call."""
        tag = event.tag
        if tag is _ENDED:
            self._held -= 1
        elif tag is not _CAME:
            self._arrived(tag, event.batch_operations[0].message())
        elif not event.success:
            self._closing = True
        else:
            self._held += 1
            self._ask()
            arrival = _Arrival(event)
            if self._held > self._max_calls:
                self._end(arrival.rpc, cygrpc.StatusCode.resource_exhausted, b"too many calls at once")
            else:
                arrival.rpc.start_server_batch((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), arrival)
        if self._closing and not self._held:
            self._queue.shutdown()

    def _arrived(self, arrival: _Arrival, message: bytes | None) -> None:
        if message is None:
            self._end(arrival.rpc, cygrpc.StatusCode.invalid_argument, b"a call without a message")
        else:
            self._line.add((arrival, message))

    def _decide(self, arrival: _Arrival, message: bytes) -> None:
        """Answer one check, or let it wait elsewhere."""
        now_ns = time.time_ns()
        now = now_ns / 1e9
        deadline = arrival.deadline if arrival.deadline - now < NO_DEADLINE_S else None
        if deadline is not None and deadline <= now:
            self._end(arrival.rpc, cygrpc.StatusCode.deadline_exceeded, b"nobody waits any more")
            return
        self._turn.wanted = True
        traceparent = tracestate = ""
        for key, value in arrival.metadata:
            if key == "traceparent":
                traceparent = value
            elif key == "tracestate":
                tracestate = value
        try:
            begun = self._begin(message, Call(now_ns, deadline, traceparent, tracestate))
        except BaseException as error:  # noqa: BLE001 - fails closed; the lane goes on
            complain(error)
            begun = self._refusal
        if isinstance(begun, bytes):
            self._send(arrival.rpc, begun)
        else:
            self._threads.submit(self._finish, arrival.rpc, begun)

    def _finish(self, rpc: Any, rest: Callable[[], bytes]) -> None:
        """In a thread that may wait."""
        answer = self._refusal
        try:
            answer = rest()
        except BaseException as error:  # noqa: BLE001 - fails closed, as above
            complain(error)
        self._send(rpc, answer)

    def _send(self, rpc: Any, answer: bytes) -> None:
        message = cygrpc.SendMessageOperation(answer or self._refusal, _NO_FLAGS)
        self._end(rpc, cygrpc.StatusCode.ok, b"", message)

    def _end(self, rpc: Any, status: Any, details: bytes, *message: Any) -> None:
        rpc.start_server_batch(
            (
                cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS),
                *message,
                cygrpc.SendStatusFromServerOperation(None, status, details, _NO_FLAGS),
                cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),
            ),
            _ENDED,
        )


class FastPathUnavailable(Exception):
    """This grpcio is made otherwise; the message says what is missing."""


def _core_of(server: Any) -> Any:
    """The server within grpcio's server."""
    core = getattr(server, "_cy_server", None)
    missing = [name for name in _NEEDED if not hasattr(cygrpc, name)]
    missing += [name for name in _NEEDED_OF_SERVER if not hasattr(core, name)]
    if missing:
        raise FastPathUnavailable(f"grpcio has no {', '.join(missing)}")
    return core


def complain(error: BaseException) -> None:
    """Log a check that failed: its kind and its place. The message of the exception could hold what the client sent."""
    place = "".join(traceback.format_tb(error.__traceback__))
    _log.error("a check failed with %s; it was refused; please report this\n%s", type(error).__name__, place)
