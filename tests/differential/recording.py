"""Servers that record what they execute: started, sent messages one by one, and read out at the end."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from extauthz.demo.processes import LOOPBACK, Program, accepts_tcp, free_port
from tests.differential.environments import FIXTURE

ANSWER_WITHIN_S = 20.0
EXACT, NAMED, TEMPLATES = "/exact", "/named", "/templates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One POST: header lines as they go over the wire, and the body."""

    lines: tuple[tuple[str, str], ...]
    body: bytes
    endless: bool = False
    """Whether the answer is a stream that the server does not end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One line of a record. `arguments` is None where they were not looked at."""

    message: str
    method: str
    names: tuple[str, ...]
    arguments: Any


class RecordingServer:
    """One server program. Use as a context manager; `executions` is complete once it is left."""

    def __init__(self, sdk: str, command: Sequence[str], folder: Path) -> None:
        self.sdk = sdk
        self._port = free_port()
        self._record = folder / "record"
        self._record.touch()
        options = ["--port", str(self._port), "--record", str(self._record), "--fixture", str(FIXTURE)]
        self.program = Program(sdk, [*command, *options], log=folder / "log", ready=accepts_tcp(self._port))
        self._connection = HTTPConnection(LOOPBACK, self._port, timeout=ANSWER_WITHIN_S)

    def __enter__(self) -> "RecordingServer":
        """Start, and wait until it answers."""
        self.program.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; what it was still doing is in its record then."""
        self._connection.close()
        self.program.stop()

    def send(self, number: int, path: str, sent: Sent) -> int:
        """Send the message with this number; the status of the answer, which has been read whole."""
        connection = self._connection
        try:
            return self._exchange(connection, number, path, sent)
        except (HTTPException, ConnectionError):  # closed while idle: nothing of this message was read
            connection.close()
            return self._exchange(connection, number, path, sent)

    def executions(self) -> list[Execution]:
        """What was executed, in order. Bytes that are not UTF-8, which some servers take, come back as surrogates."""
        lines = self._record.read_text(encoding="utf-8", errors="surrogateescape").split("\n")[:-1]
        return [
            Execution(message=message, method=method, names=tuple(names), arguments=arguments)
            for message, method, names, arguments in map(json.loads, lines)
        ]

    def _exchange(self, connection: HTTPConnection, number: int, path: str, sent: Sent) -> int:
        connection.putrequest("POST", path, skip_accept_encoding=True)
        connection.putheader("x-message", str(number))
        connection.putheader("accept", "application/json, text/event-stream")
        connection.putheader("content-length", str(len(sent.body)))
        for name, value in sent.lines:
            connection.putheader(name, value)
        connection.endheaders(sent.body)
        with connection.getresponse() as response:
            if sent.endless and response.status == 200:
                self._read_first_event(response)
                connection.close()
            else:
                response.read()
            return response.status

    @staticmethod
    def _read_first_event(response: HTTPResponse) -> None:
        with suppress(TimeoutError):
            response.readline()
