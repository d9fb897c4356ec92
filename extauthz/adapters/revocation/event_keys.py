"""What judging an event lacks, obtained on the I/O loop for a thread of the admin port."""

from typing import Final, Protocol

from extauthz.adapters.io_loop import IoLoop
from extauthz.service.needs import Answer, KeysUnavailable, Need

EVENT_WAIT_S: Final = 3.0
"""For the keys that an event needs: a connection to the admin port lasts for little longer."""


class Resolves(Protocol):
    """`service.check.resolver.NeedResolver`, as far as it is used here."""

    async def resolve(self, need: Need) -> Answer:
        """The answer to a need."""
        ...


class EventKeyResolver:
    """`service.revocation.events.KeyResolver`: waits for `wait_s` at most."""

    def __init__(self, loop: IoLoop, need_resolver: Resolves, *, wait_s: float = EVENT_WAIT_S) -> None:
        self._loop = loop
        self._need_resolver = need_resolver
        self._wait_s = wait_s

    def __call__(self, need: Need) -> Answer:
        """The answer to a need; that keys cannot be had, when they do not come in time."""
        work = self._loop.submit(self._need_resolver.resolve(need))
        try:
            return work.result(self._wait_s)
        except TimeoutError:
            work.cancel()
            return KeysUnavailable(f"they did not come within {self._wait_s:g} s")
