"""A TCP link to a server on loopback, in the hand of a test: slow it, silence it, cut it, or make it talk rubbish.

with Link(redis.port) as link:
    …                               a client of `link.port` reaches Redis
    link.delay_s = 0.05             every answer comes 50 ms later
    link.first_delay_s = 0.05       the first answer of each connection does
    link.state = LinkState.CUT      connections break, new ones break at once
"""

import asyncio
import threading
from enum import Enum
from types import TracebackType
from typing import Final, Self

from extauthz.demo.processes import LOOPBACK

RUBBISH: Final = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"
"""What a client of Redis hears when something else has taken the port."""
START_WITHIN_S: Final = 10.0


class LinkState(Enum):
    """What becomes of what is sent."""

    WHOLE = "whole"
    """It arrives, after `delay_s`."""
    SILENT = "silent"
    """Connections stay and open, and nothing arrives: a firewall that drops packets."""
    CUT = "cut"
    """Connections are reset, new ones too."""
    RUBBISH = "rubbish"
    """Each request is answered with `RUBBISH`."""


class Link:
    """Listens on a port of its own. With `recording`, `heard` is all that went through, both ways."""

    def __init__(self, target_port: int, *, recording: bool = False, port: int = 0) -> None:
        self.target_port = target_port
        self.port = port
        self.delay_s = 0.0
        self.first_delay_s = 0.0
        self.heard = bytearray()
        self._recording = recording
        self._state = LinkState.WHOLE
        self._open: set[asyncio.Transport] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(START_WITHIN_S), "the link did not start"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def state(self) -> LinkState:
        return self._state

    @state.setter
    def state(self, state: LinkState) -> None:
        self._state = state
        if state is LinkState.CUT:
            self._loop.call_soon_threadsafe(self._reset)

    def _run(self) -> None:
        self._server = self._loop.run_until_complete(self._loop.create_server(lambda: _Near(self), LOOPBACK, self.port))
        self.port = self._server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        self._server.close()
        self._reset()
        self._loop.run_until_complete(self._ended())
        self._loop.close()

    async def _ended(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _reset(self) -> None:
        for transport in tuple(self._open):
            transport.abort()

    def opened(self, transport: asyncio.Transport) -> None:
        """A side has connected."""
        self._open.add(transport)
        if self._state is LinkState.CUT:
            transport.abort()

    def closed(self, transport: asyncio.Transport) -> None:
        """A side is gone."""
        self._open.discard(transport)

    def record(self, data: bytes) -> None:
        """Something went through."""
        if self._recording:
            self.heard += data

    async def dial(self, near: "_Near") -> asyncio.Transport:
        """Connect to the target."""
        transport, _ = await self._loop.create_connection(lambda: _Far(self, near), LOOPBACK, self.target_port)
        return transport


class _Near(asyncio.Protocol):
    """The client's side."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.early = bytearray()
        self.far: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.link.opened(transport)
        if not transport.is_closing():
            self._dialling = asyncio.ensure_future(self._dial())

    async def _dial(self) -> None:
        try:
            self.far = await self.link.dial(self)
        except OSError:
            self.transport.abort()
            return
        self.far.write(bytes(self.early))
        if self.transport.is_closing():
            self.far.abort()

    def data_received(self, data: bytes) -> None:
        self.link.record(data)
        match self.link.state:
            case LinkState.RUBBISH:
                self.transport.write(RUBBISH)
            case LinkState.WHOLE if self.far is None:
                self.early += data
            case LinkState.WHOLE if self.far is not None:
                self.far.write(data)
            case _:
                return

    def connection_lost(self, exc: Exception | None) -> None:
        self.link.closed(self.transport)
        if self.far is not None:
            self.far.abort()


class _Far(asyncio.Protocol):
    """The server's side."""

    def __init__(self, link: Link, near: _Near) -> None:
        self.link = link
        self.near = near
        self.not_before = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.link.opened(transport)

    def data_received(self, data: bytes) -> None:
        self.link.record(data)
        loop = asyncio.get_running_loop()
        if not self.not_before:
            self.not_before = loop.time() + self.link.first_delay_s
        wait_s = max(self.link.delay_s, self.not_before - loop.time())
        if wait_s > 0:
            loop.call_later(wait_s, self._pass_on, data)
        else:
            self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        if self.link.state is LinkState.WHOLE:
            self.near.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.link.closed(self.transport)
        self.near.transport.abort()
