"""The gRPC transport: `/envoy.service.auth.v3.Authorization/Check` on raw bytes, health, TLS and an orderly end.

Checks, and health checks, take the fast path (`fast_path`) where grpcio has what it needs. Otherwise they go through
grpcio's synchronous server with few threads, which answers about a third more of them per core than its asyncio server.
What must wait does so in slots of its own (`threads`).
"""

import logging
import os
import threading
import time
from pathlib import Path
from typing import Any, Final, cast

import grpc

from extauthz.adapters.grpc.clients import TrustedClients
from extauthz.adapters.grpc.core import NO_DEADLINE_S, FastPathUnavailable
from extauthz.adapters.grpc.fast_path import Admit, Begin, FastPath, complain
from extauthz.adapters.grpc.health import CHECK_METHOD as HEALTH_METHOD
from extauthz.adapters.grpc.health import CHECK_SERVICE, NOT_SERVING, Health
from extauthz.adapters.grpc.threads import CheckThreads
from extauthz.adapters.grpc.tls import RotatingCredentials, ServerTls
from extauthz.adapters.listening import ListenFault, claim, parse_listen
from extauthz.service.call import Call
from extauthz.service.endpoint import TcpEndpoint, UnixEndpoint

MAX_MESSAGE_BYTES: Final = 5 * 1024 * 1024
"""A check request: a body of 4 MiB, which is all that is read of one, and 1 MiB for headers and metadata."""
MAX_STREAMS: Final = 1_000
"""Checks at once on one connection. Envoy opens another connection above it; its own default limit is 1,024 in all."""
MAX_CALLS: Final = 4_096
"""Calls at once in all: above it they are refused (RESOURCE_EXHAUSTED) rather than held in memory."""
MAX_PENDING: Final = 16_384
"""Calls that have come and that nobody has taken yet. By default gRPC cancels calls at random above 1,000, good ones as
well: five connections with 1,000 calls each, and the good caller is among the cancelled."""
MAX_METADATA_BYTES: Final = 16_384
"""Names and values of a call's metadata, 32 bytes for each (RFC 9113 §6.5.2). Envoy sends a few hundred bytes; what the
client sends stands in the message. It is in force once the client has acknowledged it."""
SETTINGS_WITHIN_MS: Final = 2_000
"""Until a client acknowledges the server's settings (RFC 9113 §6.5.3). Before it does, gRPC allows it 16 MiB of
metadata; one that does not is disconnected."""
MIN_PING_INTERVAL_MS: Final = 500
"""Proxies may ping idle connections this often; by default gRPC closes such connections (GOAWAY, too many pings)."""
KEEPALIVE_MS: Final = 60_000
"""A connection whose peer has vanished is noticed after this long; gRPC's default is two hours."""
CUT_OFF_AFTER_S: Final = 60.0
"""gRPC's own limit for calls under way, should ours not be kept."""
FAST_PATH_END_S: Final = 5.0
"""What a fast path may take to notice that the server has stopped and its last call has ended."""
MAX_CONNECTION_AGE_MS: Final = 600_000
"""With mTLS a client is asked to connect anew this often (GOAWAY, no call fails), and shows its certificate again."""
CONNECTION_GRACE_MS: Final = 30_000
"""After that request, calls under way are given this long: three times what a check can take."""
DEFAULT_SOCKET_MODE: Final = 0o660
"""Permissions of a Unix socket: the service's user and group."""

_OPTIONS: Final = (
    # Envoy holds one connection per worker: with a shared port all of them may end at one process.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    ("grpc.server.max_pending_requests", MAX_PENDING),
    ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.http2.settings_timeout", SETTINGS_WITHIN_MS),
    ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
)

_MTLS_OPTIONS: Final = (
    ("grpc.max_connection_age_ms", MAX_CONNECTION_AGE_MS),
    ("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_MS),
)

_log = logging.getLogger("extauthz.grpc")


class GrpcServer:
    """One listening server. `start`, then `drain`; a server cannot be started twice."""

    def __init__(
        self,
        begin: Begin,
        *,
        listen: str,
        refusal: bytes,
        threads: CheckThreads,
        tls: ServerTls | None = None,
        serving: bool = True,
        socket_mode: int = DEFAULT_SOCKET_MODE,
        fast_path: bool = True,
    ) -> None:
        """Make a server that is not listening yet.

        `begin` turns `CheckRequest` bytes into `CheckResponse` bytes, or into what waits for them. Both promise not to
        raise; should they, or should they return nothing (which a proxy reads as "allowed"), `refusal` is sent instead.
        `serving` is what health checks are told at first. Raises `ListenFault` for an address that is none, `TlsFault`
        for unusable files.
        """
        if not refusal:
            raise ValueError("the refusal must not be empty: a proxy reads an empty answer as allowed")
        self._begin = begin
        self._refusal = refusal
        self._threads = threads
        self._address = parse_listen(listen)
        self._socket_mode = socket_mode
        self._credentials = None if tls is None else RotatingCredentials(tls)
        self._admit = self._judge()
        self.health: Final = Health(serving=serving)
        self._server: Any = grpc.server(
            cast("Any", threads),
            handlers=[
                grpc.method_handlers_generic_handler(
                    CHECK_SERVICE, {"Check": grpc.unary_unary_rpc_method_handler(self._check)}
                ),
                self.health.handler(),
            ],
            options=_OPTIONS if self._admit is None else (*_OPTIONS, *_MTLS_OPTIONS),
            maximum_concurrent_rpcs=MAX_CALLS,
        )
        self._fast_paths = self._open_fast_paths() if fast_path else ()

    @property
    def address(self) -> TcpEndpoint | UnixEndpoint:
        """Where the server listens: once started, with the port that a port of 0 became."""
        return self._address

    def start(self) -> None:
        """Listen and serve, in threads. Raises `ListenFault`."""
        claim(self._address)
        match self._address:
            case TcpEndpoint(host=host):
                self._address = TcpEndpoint(host, self._bind())
            case UnixEndpoint(path=path):
                # Nobody may connect before the permissions are as they should be.
                previous = os.umask(0o177)
                try:
                    self._bind()
                    Path(path).chmod(self._socket_mode)
                finally:
                    os.umask(previous)
        self._server.start()
        for fast_path in self._fast_paths:
            fast_path.start()

    def drain(self, *, wait_s: float, finish_s: float, hurry: threading.Event | None = None) -> bool:
        """Stop without failing a call: tell health checks, wait until nobody comes any more, finish, stop.

        Goes on answering for `wait_s` seconds, which must be longer than the proxy needs to notice (interval of its
        health checks times their `unhealthy_threshold`, and a second for Kubernetes to spread the word). Then accepts
        no connection, tells clients to go elsewhere (GOAWAY), and gives the calls under way `finish_s` seconds. `hurry`
        cuts the waiting short. Returns whether all calls were finished. Blocks.
        """
        self.health.set_serving(serving=False)
        _log.info("draining: %g s for the proxy to notice, then up to %g s for calls under way", wait_s, finish_s)
        (hurry or threading.Event()).wait(wait_s)
        return self.stop(finish_s=finish_s)

    def stop(self, *, finish_s: float) -> bool:
        """Accept nothing more and give calls under way `finish_s` seconds. Returns whether all were finished."""
        self.health.set_serving(serving=False)
        self.health.end_watches()
        ended = self._server.stop(finish_s + CUT_OFF_AFTER_S)
        finished = bool(ended.wait(finish_s))
        if not finished:
            _log.warning("calls were still under way %g s after the end of service; they are cut off", finish_s)
            self._server.stop(None)
        for fast_path in self._fast_paths:
            fast_path.join(FAST_PATH_END_S)
        self._threads.close()
        self.health.close()
        return finished

    def _bind(self) -> int:
        try:
            if self._credentials is None:
                port = self._server.add_insecure_port(str(self._address))
            else:
                port = self._server.add_secure_port(str(self._address), self._credentials.credentials)
        except RuntimeError as error:
            raise ListenFault(f"cannot listen on {self._address}: another program may have been faster") from error
        return int(port)

    def _judge(self) -> Admit | None:
        """With mTLS each call is judged by the client's certificate."""
        if self._credentials is None or not self._credentials.tls.client_ca_file:
            return None
        return TrustedClients(self._credentials.authorities, self._credentials.tls.client_names).admit

    def _open_fast_paths(self) -> tuple[FastPath, ...]:
        """One for checks, and one for health checks, which answers however long the queue of checks is."""
        try:
            return (
                FastPath(
                    self._server,
                    f"/{CHECK_SERVICE}/Check",
                    begin=self._begin,
                    refusal=self._refusal,
                    threads=self._threads,
                    max_calls=MAX_CALLS,
                    admit=self._admit,
                ),
                FastPath(
                    self._server,
                    HEALTH_METHOD,
                    begin=self.health.check,
                    refusal=NOT_SERVING,
                    threads=self._threads,
                    max_calls=MAX_CALLS,
                ),
            )
        except FastPathUnavailable as reason:
            _log.warning(
                "fast path unavailable with grpcio %s, which %s: using the standard server", grpc.__version__, reason
            )
            return ()

    def _check(self, request: bytes, context: Any) -> bytes:
        """Answer one check. The outermost handler: whatever happens, the proxy gets an answer, and never an allow."""
        self._ensure_admitted(context)
        try:
            self._threads.somebody_waits()
            begun = self._begin(request, _call(context))
            return (begun if isinstance(begun, bytes) else begun()) or self._refusal
        except BaseException as error:  # noqa: BLE001 - fails closed; an exception would be an empty 403 to the client
            complain(error)
            return self._refusal

    def _ensure_admitted(self, context: Any) -> None:
        """End the call of a client that may not make one."""
        if self._admit is None:
            return
        properties = {key.encode(): list(values) for key, values in context.auth_context().items()}
        refused = self._admit(properties, context.peer().encode())
        if refused is not None:
            context.abort(refused.code, refused.details)


def _call(context: Any) -> Call:
    """What gRPC knows of a call. Its metadata are the proxy's own; the client's headers stand inside the request."""
    now_ns = time.time_ns()
    traceparent = tracestate = ""
    for key, value in context.invocation_metadata():
        if key == "traceparent":
            traceparent = value
        elif key == "tracestate":
            tracestate = value
    left_s = context.time_remaining()
    return Call(now_ns, now_ns / 1e9 + left_s if left_s < NO_DEADLINE_S else None, traceparent, tracestate)
