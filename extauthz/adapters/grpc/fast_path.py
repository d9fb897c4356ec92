"""The fast path of the gRPC server: calls are taken, decided and answered by one thread, from a queue of their own.

grpcio's own server passes each call between two threads three times. Here one thread takes in what has come, decides
it in a row while the interpreter's caches are warm, and only hands on a check that has to wait: about twice as many
checks per core (`make bench`).

It rests on what grpcio's servers themselves are made of (`core`), which is not a public interface. So everything else
(listening, TLS, the orderly end) stays with the public server, and a grpcio where anything of this is missing gets no
fast path: calls then go the public way, slower and without the bounds on calls that wait for their client (`calls`).
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import grpc
from grpc._cython import cygrpc

from extauthz.adapters.grpc import core
from extauthz.adapters.grpc.calls import (
    ANSWER_TAKEN_WITHIN_S,
    MAX_PER_CONNECTION,
    MESSAGE_WITHIN_S,
    Arrival,
    Refused,
    WaitingCalls,
)
from extauthz.adapters.grpc.clients import Properties
from extauthz.adapters.grpc.queue import AdaptiveLifoQueue, Turn
from extauthz.adapters.grpc.threads import CheckThreads
from extauthz.service.call import Call

Begun: TypeAlias = bytes | Callable[[], bytes]
"""An answer, or what waits for it."""
Begin: TypeAlias = Callable[[bytes, Call], Begun]
"""From `CheckRequest` bytes to the answer, as far as nothing has to be waited for."""
Handler: TypeAlias = Callable[[bytes, Call], Begun | Refused]
"""What a fast path serves: a `Begin`, or a method that may also refuse."""
Admit: TypeAlias = Callable[[Properties, bytes], Refused | None]
"""Whether the client with these properties, on this connection, may call at all; None: it may."""

TAKEN_AT_ONCE: Final = 128
"""Events taken in before checks are decided: about forty calls, so that the queue knows of all that wait."""
DECIDED_AT_ONCE: Final = 16
"""Checks decided in a row, some 2 ms, before what has come meanwhile is taken in."""
ASKED_AHEAD: Final = 64
"""Calls asked for before they come. A call that nobody has asked for yet is lost when the server stops."""
POLL_S: Final = 1.0
"""Seconds of waiting for an event before waiting again."""
OVERDUE_POLL_S: Final = 0.1
"""The same while calls wait for their client: how late one of them may be noticed to be overdue."""

# Tag of the event that a call has come. Other tags: the call whose message has come, and `_End`.
_CAME: Final = object()

_RESOURCE_EXHAUSTED: Final = grpc.StatusCode.RESOURCE_EXHAUSTED
_TOO_MANY_CALLS: Final = Refused(_RESOURCE_EXHAUSTED, "too many calls at once: send fewer, or add replicas")
_TOO_MANY_OPEN: Final = Refused(_RESOURCE_EXHAUSTED, "too many calls without a message on this connection: send it")
_NO_MESSAGE_IN_TIME: Final = Refused(
    grpc.StatusCode.DEADLINE_EXCEEDED, f"no message within {MESSAGE_WITHIN_S:g} s of the headers: send both together"
)
_NO_MESSAGE: Final = Refused(grpc.StatusCode.INVALID_ARGUMENT, "a call without a message: send a CheckRequest")
_NOT_JUDGED: Final = Refused(grpc.StatusCode.UNAUTHENTICATED, "the client's certificate could not be judged")
_LATE: Final = Refused(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline exceeded before processing")

_log = logging.getLogger("extauthz.grpc")


class _End:
    """Tag of the event that a call has ended."""

    __slots__ = ("arrival",)

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival


class FastPath:
    """Serves one unary method of a server that has not started yet. `start` follows the server's own."""

    def __init__(
        self,
        server: Any,
        method: str,
        *,
        begin: Handler,
        refusal: bytes,
        threads: CheckThreads,
        max_calls: int,
        admit: Admit | None = None,
    ) -> None:
        """Raises `FastPathUnavailable` where this grpcio lacks what it needs.

        At most `max_calls` calls whose message has come are held at once.
        """
        self._core = core.core_of(server)
        self._method = method
        self._begin = begin
        self._refusal = refusal
        self._threads = threads
        self._max_calls = max_calls
        self._admit = admit
        self._pending: AdaptiveLifoQueue[tuple[Arrival, bytes]] = AdaptiveLifoQueue()
        self._turn = Turn()
        self._open = 0
        """Calls that have come and whose end has not been told."""
        self._checks = 0
        """Of these, calls whose message has come and which have not been answered."""
        self._checks_lock = threading.Lock()
        self.receiving: Final = WaitingCalls(MESSAGE_WITHIN_S, max_per_connection=MAX_PER_CONNECTION)
        """Calls whose message has not come."""
        self.answered: Final = WaitingCalls(ANSWER_TAKEN_WITHIN_S)
        """Calls whose answer has not been taken."""
        self._closing = False
        self._queue: Any = cygrpc.CompletionQueue()
        self._core.register_completion_queue(self._queue)
        self._core.register_method(method)
        self._thread = threading.Thread(target=self._serve, name="extauthz-fast-path", daemon=True)

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
            except BaseException as error:  # noqa: BLE001 - the thread's outermost handler: a call without answer is a refusal
                complain(error)
            else:
                return

    def _run(self) -> None:
        """Until the queue has been shut down."""
        timeout, shutdown = cygrpc.CompletionType.queue_timeout, cygrpc.CompletionType.queue_shutdown
        poll, pending = self._queue.poll, self._pending
        while True:
            event = poll(0 if pending else time.time() + self._poll_s())
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
                if event.completion_type == shutdown:
                    return
                if event.completion_type != timeout:
                    self._take(event)
            event = None
            for _ in range(min(DECIDED_AT_ONCE, len(pending))):
                self._decide(*pending.take(self._turn))
            self._end_overdue()

    def _poll_s(self) -> float:
        return OVERDUE_POLL_S if self.receiving or self.answered else POLL_S

    def _end_overdue(self) -> None:
        """Calls whose client keeps them waiting."""
        for arrival in self.receiving.overdue():
            self._refuse(arrival, _NO_MESSAGE_IN_TIME)
        for arrival in self.answered.overdue():
            arrival.rpc.cancel()

    def _take(self, event: Any) -> None:
        """One thing that has happened to a call."""
        tag = event.tag
        if tag is _CAME:
            self._came(event)
        elif isinstance(tag, _End):
            self._open -= 1
            self.answered.remove(tag.arrival)
        else:
            self._arrived(tag, event.batch_operations[0].message())
        if self._closing and not self._open:
            self._queue.shutdown()

    def _came(self, event: Any) -> None:
        if not event.success:
            self._closing = True
            return
        self._open += 1
        self._ask()
        arrival = Arrival(event)
        refused = self._judge(arrival)
        if refused is not None:
            self._refuse(arrival, refused)
        elif not self.receiving.add(arrival):
            self._refuse(arrival, _TOO_MANY_OPEN)
        else:
            core.receive(arrival.rpc, arrival)

    def _judge(self, arrival: Arrival) -> Refused | None:
        """Whether this client may call at all."""
        if self._admit is None:
            return None
        try:
            return self._admit(cygrpc.auth_context(arrival.rpc), arrival.peer)
        except BaseException as error:  # noqa: BLE001 - fails closed; the thread goes on
            complain(error)
            return _NOT_JUDGED

    def _arrived(self, arrival: Arrival, message: bytes | None) -> None:
        self.receiving.remove(arrival)
        if arrival.ended:
            return
        if message is None:
            self._refuse(arrival, _NO_MESSAGE)
            return
        if self._checks >= self._max_calls:
            self._refuse(arrival, _TOO_MANY_CALLS)
            return
        arrival.is_check = True
        with self._checks_lock:
            self._checks += 1
        self._pending.add((arrival, message))

    def _decide(self, arrival: Arrival, message: bytes) -> None:
        """Answer one check, or let it wait elsewhere."""
        now_ns = time.time_ns()
        now = now_ns / 1e9
        deadline = arrival.deadline if arrival.deadline - now < core.NO_DEADLINE_S else None
        if deadline is not None and deadline <= now:
            self._refuse(arrival, _LATE)
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
        except BaseException as error:  # noqa: BLE001 - fails closed; the thread goes on
            complain(error)
            begun = self._refusal
        if isinstance(begun, bytes):
            self._answer(arrival, begun)
        elif isinstance(begun, Refused):
            self._refuse(arrival, begun)
        else:
            self._threads.submit(self._finish, arrival, begun)

    def _finish(self, arrival: Arrival, rest: Callable[[], bytes]) -> None:
        """In a thread that may wait."""
        answer = self._refusal
        try:
            answer = rest()
        except BaseException as error:  # noqa: BLE001 - fails closed, as above
            complain(error)
        self._answer(arrival, answer)

    def _answer(self, arrival: Arrival, answer: bytes) -> None:
        self._end(arrival, cygrpc.StatusCode.ok, b"", answer or self._refusal)

    def _refuse(self, arrival: Arrival, refused: Refused) -> None:
        self._end(arrival, refused.code.value[0], refused.details.encode(), None)

    def _end(self, arrival: Arrival, code: int, details: bytes, answer: bytes | None) -> None:
        arrival.ended = True
        if arrival.is_check:
            with self._checks_lock:
                self._checks -= 1
        self.answered.add(arrival)
        core.end(arrival.rpc, _End(arrival), code, details, answer)


def complain(error: BaseException) -> None:
    """Log a check that failed: its kind and its place. The message of the exception could hold what the client sent."""
    place = "".join(traceback.format_tb(error.__traceback__))
    _log.error("a check failed with %s; it was refused; please report this\n%s", type(error).__name__, place)
