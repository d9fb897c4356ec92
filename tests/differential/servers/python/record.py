"""What both Python servers share: the record channel, and which message is being carried out (see ../README.md)."""

import argparse
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote

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
        self.templates: list[str] = fixture["templates"]

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
        self.write(method, [str(name) for name in names], self._arguments(method, params))

    def _arguments(self, method: str, params: Mapping[str, Any]) -> Any:
        if method not in self._with_arguments:
            return None
        if method != "completion/complete":
            return params.get("arguments") or {}
        argument, context = params["argument"], params.get("context") or {}
        return {**(context.get("arguments") or {}), argument["name"]: argument["value"]}

    def write_variables(self, template: str, **variables: Any) -> None:
        """One execution of a template's handler: the variables as it is given them, and decoded once more."""
        again = {
            name: [unquote(each) for each in value] if isinstance(value, list) else unquote(value)
            for name, value in variables.items()
        }
        self.write("resources/read", [template], [variables, again])

    def template_handlers(self) -> dict[str, Callable[..., str]]:
        """A handler for each template of the fixture, with the parameters that SDKs look for."""

        def docs(name: str) -> str:
            self.write_variables("docs://{name}", name=name)
            return "done"

        def notes(folder: str, name: str) -> str:
            self.write_variables("notes://{folder}/{name}", folder=folder, name=name)
            return "done"

        def files(path: str) -> str:
            self.write_variables("files:///{+path}", path=path)
            return "done"

        def logs(service: str, level: str = "", since: str = "") -> str:
            self.write_variables("logs://{service}{?level,since}", service=service, level=level, since=since)
            return "done"

        def tree(path: list[str]) -> str:
            self.write_variables("tree://root{/path*}", path=path)
            return "done"

        def pics(name: str, ext: str) -> str:
            self.write_variables("pics://h/{name}{.ext}", name=name, ext=ext)
            return "done"

        def page(name: str, section: str) -> str:
            self.write_variables("page://h/{name}{#section}", name=name, section=section)
            return "done"

        return dict(zip(self.templates, (docs, notes, files, logs, tree, pics, page), strict=True))


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
