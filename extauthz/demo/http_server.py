"""An ASGI application served on loopback by a thread of this process."""

import socket
import threading
import time
from types import TracebackType
from typing import Final, Self

import uvicorn
from starlette.types import ASGIApp

from extauthz.demo.processes import LOOPBACK, POLL_INTERVAL_S, ProgramError, free_port

START_WITHIN_S: Final = 10.0
STOP_WITHIN_S: Final = 5.0
BACKLOG: Final = 128


class HttpServer:
    """Listens from `start()` to `stop()`; may be started again, on the same port.

    `port` 0 means a free one. Raises ProgramError at `start()` when the port is taken.
    """

    def __init__(self, name: str, app: ASGIApp, *, port: int = 0) -> None:
        self.name = name
        self.port = port or free_port()
        self._app = app
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Return when it accepts connections."""
        listener = self._listener()
        config = uvicorn.Config(
            self._app,
            log_config=None,
            lifespan="off",
            access_log=False,
            timeout_graceful_shutdown=1,
            server_header=False,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name=self.name, daemon=True)
        thread.start()
        self._server, self._thread = server, thread
        deadline = time.monotonic() + START_WITHIN_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() >= deadline:
                self.stop()
                raise ProgramError(f"{self.name} did not start on {self.url}")
            time.sleep(POLL_INTERVAL_S)

    def stop(self) -> None:
        """Stop listening, give open requests a second, and end the thread. May be called again."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(STOP_WITHIN_S)
        self._server = self._thread = None

    def _listener(self) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, self.port))
        except OSError as error:
            listener.close()
            raise ProgramError(f"{self.name} cannot listen on {self.url}: {error.strerror}") from error
        listener.listen(BACKLOG)
        return listener
