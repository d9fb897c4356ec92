"""Tries the fast path before anybody depends on it: real calls through a server that lives for the attempt only."""

import logging
import os
import secrets
from typing import Any, Final, cast

import grpc

from extauthz.adapters.grpc.core import FastPathUnavailable
from extauthz.adapters.grpc.fast_path import Begun, FastPath
from extauthz.adapters.grpc.threads import CheckThreads
from extauthz.service.call import Call

ANSWER_WITHIN_S: Final = 5.0
"""Seconds for each of the calls, which take milliseconds: generous, as a machine is busy while it starts programs."""
_METHOD: Final = "/extauthz.Probe/Check"
_AT_ONCE: Final = b"decided at once"
_LATER: Final = b"decided in another thread"

_log = logging.getLogger("extauthz.grpc")


def fast_path_works() -> bool:
    """Whether the fast path answers with this grpcio. Says in one line of the log when it does not. Blocks.

    The socket is an abstract one of Linux (unix(7)), with a name that nobody can guess and answers that say nothing.
    """
    reason = _fault()
    if reason:
        _log.warning("fast path unavailable with grpcio %s (%s): using the standard server", grpc.__version__, reason)
    return not reason


def _fault() -> str:
    """Why it does not work; empty: it does."""
    threads = CheckThreads(threads=1, slots=0)
    server: Any = grpc.server(cast("Any", threads))
    try:
        fast_path = FastPath(server, _METHOD, begin=_begin, refusal=b"refused", threads=threads, max_calls=2)
        address = f"unix-abstract:extauthz-probe-{os.getpid()}-{secrets.token_hex(8)}"
        server.add_insecure_port(address)
        server.start()
        fast_path.start()
        try:
            with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
                call = channel.unary_unary(_METHOD)
                for expected in (_AT_ONCE, _LATER):
                    answer = call(expected, timeout=ANSWER_WITHIN_S, wait_for_ready=True)
                    if answer != expected:
                        return "a call got the answer of another"
        finally:
            server.stop(None).wait(ANSWER_WITHIN_S)
            fast_path.join(ANSWER_WITHIN_S)
    except grpc.RpcError as error:
        return f"a call ended with {error.code().name}"
    except FastPathUnavailable as error:
        return f"it {error}"
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it: there is another way
        return f"{type(error).__name__}: {error}"
    finally:
        threads.close()
    return ""


def _begin(message: bytes, _: Call) -> Begun:
    return (lambda: message) if message == _LATER else message
