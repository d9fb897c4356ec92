"""What both Python servers share: the record channel, and which message is being carried out (see ../README.md)."""

import argparse
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeAlias

Application: TypeAlias = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]

_MESSAGE: ContextVar[str] = ContextVar("message", default="?")


class Record:
    """A file that each line reaches before the execution ends."""

    def __init__(self, path: Path, fixture: Mapping[str, Any]) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._members: Mapping[str, str] = fixture["members"]
        self._with_arguments: list[str] = fixture["with_arguments"]
        self.names: list[str] = fixture["named"]["names"]
        self.uris: list[str] = fixture["named"]["uris"]

    def write(self, method: str, names: list[str], arguments: Any = None) -> None:
        """One execution; `arguments` is None where they were not looked at."""
        self._file.write(json.dumps([_MESSAGE.get(), method, names, arguments]) + "\n")

    def write_params(self, method: str, params: Mapping[str, Any]) -> None:
        """One execution, as the parameters name it that a handler is given."""
        named = params.get(self._members.get(method, ""))
        match self._members.get(method):
            case None:
                names = []
            case "ref":
                names = [named["name" if named["type"] == "ref/prompt" else "uri"]]
            case "notifications":
                names = [*(named.get("resourceSubscriptions") or []), *(named.get("taskIds") or [])]
            case _:
                names = [named]
        arguments = (params.get("arguments") or {}) if method in self._with_arguments else None
        self.write(method, [str(name) for name in names], arguments)


def correlated(application: Application) -> Application:
    """The same, with each request's `x-message` known wherever it is carried out."""

    async def serve(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            _MESSAGE.set(dict(scope["headers"]).get(b"x-message", b"?").decode())
        await application(scope, receive, send)

    return serve


def options() -> tuple[int, Record]:
    """The port to serve on, and the record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--fixture", type=Path, required=True)
    given = parser.parse_args()
    return given.port, Record(given.record, json.loads(given.fixture.read_text(encoding="utf-8")))
