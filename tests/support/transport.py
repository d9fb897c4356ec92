"""A `GrpcServer` on loopback for one test, and clients of it that share no connections with other tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc

from extauthz.adapters.grpc.fast_path import Begin
from extauthz.adapters.grpc.server import GrpcServer
from extauthz.adapters.grpc.threads import CheckThreads

CHECK_PATH: Final = "/envoy.service.auth.v3.Authorization/Check"
HEALTH_PATH: Final = "/grpc.health.v1.Health/Check"
WATCH_PATH: Final = "/grpc.health.v1.Health/Watch"
REFUSAL: Final = b"refused"
TIMEOUT_S: Final = 20.0
"""Bound of every wait in tests: far above what is needed, far below the test's own time limit."""


@contextmanager
def serving(
    begin: Begin,
    *,
    listen: str = "127.0.0.1:0",
    threads: CheckThreads | None = None,
    **more: Any,
) -> Iterator[GrpcServer]:
    """A started server; stopped at the end unless the test has done so."""
    server = GrpcServer(begin, listen=listen, refusal=REFUSAL, threads=threads or CheckThreads(), **more)
    server.start()
    try:
        yield server
    finally:
        server.stop(finish_s=TIMEOUT_S)


@contextmanager
def channel(target: object, *options: tuple[str, Any], credentials: Any = None) -> Iterator[Any]:
    """A channel with a connection of its own."""
    chosen = [("grpc.use_local_subchannel_pool", 1), *options]
    if credentials is None:
        opened = grpc.insecure_channel(str(target), options=chosen)
    else:
        opened = grpc.secure_channel(str(target), credentials, options=chosen)
    with opened:
        yield opened


def call(
    opened: Any, request: bytes = b"question", *, path: str = CHECK_PATH, timeout: float | None = TIMEOUT_S, **more: Any
) -> Any:
    """One unary call on raw bytes; waits for the connection."""
    return opened.unary_unary(path)(request, timeout=timeout, wait_for_ready=True, **more)
