"""`grpc.health.v1.Health`, on raw bytes: its messages are one string and one small number.

`grpcio-health-checking` would do, but wants a newer protobuf than the rest of the service. Source of messages and
semantics: gRPC Health Checking Protocol (grpc/grpc, doc/health-checking.md), `grpc/health/v1/health.proto`.

    HealthCheckRequest  { string service = 1; }
    HealthCheckResponse { enum { UNKNOWN = 0, SERVING = 1, NOT_SERVING = 2, SERVICE_UNKNOWN = 3 } status = 1; }
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc

from extauthz.adapters.grpc.calls import Refused
from extauthz.service.call import Call

CHECK_SERVICE: Final = "envoy.service.auth.v3.Authorization"
CHECK_METHOD: Final = "/grpc.health.v1.Health/Check"
MAX_WATCHERS: Final = 64
"""Streams of `Watch` at once. Proxies poll with `Check`; gRPC clients hold one `Watch` per connection."""

SERVING: Final = b"\x08\x01"
NOT_SERVING: Final = b"\x08\x02"
SERVICE_UNKNOWN: Final = b"\x08\x03"

# What clients send for the whole server (an empty name, written or left out) and for the one service.
_KNOWN: Final = frozenset({b"", b"\n\x00", b"\n" + bytes([len(CHECK_SERVICE)]) + CHECK_SERVICE.encode()})

_UNKNOWN: Final = Refused(grpc.StatusCode.NOT_FOUND, "no such service here")

_Send = Callable[[bytes | None], None]


class Health:
    """Says whether this server wants checks. It has threads of its own, so that it answers however long the line is."""

    def __init__(self, *, serving: bool) -> None:
        self._status = SERVING if serving else NOT_SERVING
        self._lock = threading.Lock()
        self._watchers: dict[_Send, bool] = {}
        """Each with whether it asked for a service that is here."""
        self._checks = ThreadPoolExecutor(1, thread_name_prefix="extauthz-health")
        self._news = ThreadPoolExecutor(1, thread_name_prefix="extauthz-health-news")

    def set_serving(self, *, serving: bool) -> None:
        """Change what is said, and tell the watchers. Does not wait for them."""
        with self._lock:
            self._status = SERVING if serving else NOT_SERVING
            for send, known in self._watchers.items():
                if known:
                    self._news.submit(send, self._status)

    @property
    def serving(self) -> bool:
        """What is said."""
        return self._status == SERVING

    def end_watches(self) -> None:
        """End the streams, which would otherwise never end by themselves."""
        with self._lock:
            for send in self._watchers:
                self._news.submit(send, None)

    def close(self) -> None:
        """End the threads; call it when the server has stopped."""
        with self._lock:
            self._watchers.clear()
        self._checks.shutdown(wait=False)
        self._news.shutdown(wait=False)

    def check(self, request: bytes, _: Call | None) -> bytes | Refused:
        """`Check`: how the service stands."""
        return self._status if request in _KNOWN else _UNKNOWN

    def handler(self) -> Any:
        """The gRPC handler of the service."""

        def check(request: bytes, context: Any) -> bytes | Refused:
            answer = self.check(request, None)
            if isinstance(answer, Refused):
                context.abort(answer.code, answer.details)
            return answer

        def watch(request: bytes, context: Any, send: _Send) -> None:
            self._watch(request, context, send)

        # grpcio's own health servicer rests on these two attributes as well: a thread pool apart from the server's,
        # and a stream that holds no thread while there is nothing to say.
        check.experimental_thread_pool = self._checks  # type: ignore[attr-defined] # read by grpcio
        watch.experimental_thread_pool = self._checks  # type: ignore[attr-defined] # read by grpcio
        watch.experimental_non_blocking = True  # type: ignore[attr-defined] # read by grpcio
        return grpc.method_handlers_generic_handler(
            "grpc.health.v1.Health",
            {
                "Check": grpc.unary_unary_rpc_method_handler(check),
                "Watch": grpc.unary_stream_rpc_method_handler(watch),
            },
        )

    def _watch(self, request: bytes, context: Any, send: _Send) -> None:
        known = request in _KNOWN
        with self._lock:
            if len(self._watchers) >= MAX_WATCHERS:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many watchers: poll with Check")
            self._watchers[send] = known
            self._news.submit(send, self._status if known else SERVICE_UNKNOWN)
        if not context.add_callback(lambda: self._forget(send)):
            self._forget(send)

    def _forget(self, send: _Send) -> None:
        with self._lock:
            self._watchers.pop(send, None)
