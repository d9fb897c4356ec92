"""One request over a connection of its own, byte for byte, and what came back. Bounded in time and size."""

import socket
import ssl
import time
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Final

from extauthz.attack.compose import RawRequest
from extauthz.attack.judge import Answer, tells_all
from extauthz.attack.target import Target

MAX_ANSWER_BYTES: Final = 1_048_576
"""Of a body: refusals and results of a harmless tool are far smaller."""
MAX_HEADERS_READ: Final = 100
_READ_BYTES: Final = 65_536


class UnreachableError(Exception):
    """Nobody accepts connections, or TLS does not come about: no answer to a case, but an end of the run."""


@dataclass(frozen=True, slots=True)
class Connector:
    """How to reach the target. `timeout_s` bounds one exchange from connecting to the last byte."""

    target: Target
    timeout_s: float
    tls: ssl.SSLContext | None

    def exchange(self, request: RawRequest, *, whole: bool = True) -> Answer:
        """Send one request and read the answer, of an event stream its head only unless `whole`.

        Never follows a redirect. Raises UnreachableError.
        """
        deadline = time.monotonic() + self.timeout_s
        try:
            plain = socket.create_connection((self.target.host, self.target.port), timeout=self.timeout_s)
        except OSError as error:
            raise UnreachableError(f"{self.target.authority} accepts no connection: {error}") from error
        with plain:
            if self.tls is None:
                return _talk(plain, request, deadline, whole=whole)
            try:
                secured = self.tls.wrap_socket(plain, server_hostname=self.target.host)
            except OSError as error:
                raise UnreachableError(f"no TLS with {self.target.authority}: {error}") from error
            with secured:
                return _talk(secured, request, deadline, whole=whole)


def _talk(connection: socket.socket, request: RawRequest, deadline: float, *, whole: bool) -> Answer:
    sent = _send(connection, request, deadline)
    try:
        connection.settimeout(_remaining(deadline))
        response = HTTPResponse(connection, method=request.method)
        response.begin()
    except TimeoutError:
        return Answer(status=0, note="no answer in time")
    except (OSError, HTTPException, ValueError) as error:
        return Answer(status=0, note=f"connection closed without an answer ({type(error).__name__}){sent}")
    with response:
        headers = tuple((name.lower(), value) for name, value in response.getheaders()[:MAX_HEADERS_READ])
        streams = any(name == "content-type" and value.startswith("text/event-stream") for name, value in headers)
        if response.status == 101 or (streams and not whole):
            return Answer(status=response.status, headers=headers)
        body, note = _body(connection, response, deadline, streams=streams)
    return Answer(status=response.status, headers=headers, body=body, note=note)


def _send(connection: socket.socket, request: RawRequest, deadline: float) -> str:
    """Send everything, or as much as the other side takes: a refusal may come before it has read all."""
    try:
        connection.settimeout(_remaining(deadline))
        connection.sendall(request.wire())
        if request.half_close and not isinstance(connection, ssl.SSLSocket):
            connection.shutdown(socket.SHUT_WR)
    except OSError as error:
        return f"; not all was taken ({type(error).__name__})"
    return ""


def _body(connection: socket.socket, response: HTTPResponse, deadline: float, *, streams: bool) -> tuple[bytes, str]:
    """The body up to its end or a limit; of an event stream, up to the first message that answers."""
    body = b""
    try:
        while len(body) < MAX_ANSWER_BYTES:
            if streams and (tells_all(body) or response.status >= 400):
                return body, ""
            connection.settimeout(_remaining(deadline))
            more = response.read1(_READ_BYTES)
            if not more:
                return body, ""
            body += more
    except TimeoutError:
        return body, "the answer did not end in time"
    except (OSError, HTTPException, ValueError) as error:
        return body, f"the answer broke off ({type(error).__name__})"
    return body, f"more than {MAX_ANSWER_BYTES} bytes"


def _remaining(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
