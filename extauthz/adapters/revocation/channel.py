"""Keeps the process in step with the shared revocations: one task on the I/O loop, never a part of a check."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future
from threading import Event
from typing import Final

from extauthz.adapters.io_loop import IoLoop
from extauthz.pdp.revocation.revocation import Revocation
from extauthz.service.revocation.revocation_sharing import RevocationSharing
from extauthz.service.revocation.revocations import STALE_AFTER_S, Revocations
from extauthz.service.revocation.revoking import SPREAD_WITHIN_S

POLL_S: Final = 0.2
"""Pause between rounds. What one process writes, another has read 0.3 s later: well within the promised second."""
COMMAND_DEADLINE_S: Final = 0.5
"""Of one command, for the client that this channel has for itself: nobody waits for it but `share`."""
FIRST_ROUND_S: Final = 1.0
"""How long a starting process waits to be in step before it serves; then it serves as one that is not."""

_log = logging.getLogger("extauthz.revocation")


class RevocationChannel:
    """Started once. `clock` gives monotonic seconds."""

    def __init__(
        self,
        sharing: RevocationSharing,
        *,
        revocations: Revocations,
        loop: IoLoop,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sharing = sharing
        self._revocations = revocations
        self._loop = loop
        self._clock = clock
        self._first = Event()
        self._rounds: Future[None] | None = None
        self._complete_at = clock()
        self._fault = "Redis was not read yet"
        self._lost = False

    @property
    def state(self) -> str:
        """One sentence for the operator; empty when all is well."""
        behind = f"not in step with Redis: {self._fault}" if self._fault else ""
        waiting = f"{self._sharing.unshared} not yet in Redis" if self._sharing.unshared else ""
        return "; ".join(filter(None, (behind, waiting)))

    def start(self) -> None:
        """Begin the rounds, and wait for the first of them, but not for longer than `FIRST_ROUND_S`."""
        self._rounds = self._loop.submit(self.run())
        self._first.wait(FIRST_ROUND_S)

    def stop(self) -> None:
        """End the rounds."""
        if self._rounds is not None:
            self._rounds.cancel()

    def share(self, items: Iterable[Revocation]) -> bool:
        """Offer items that are in force here to the others, from any thread but the loop's; whether Redis has them."""
        if not self._loop.running:
            return False
        done = self._loop.submit(self._sharing.share(items))
        try:
            return done.result(SPREAD_WITHIN_S)
        except (TimeoutError, CancelledError):
            return False

    async def run(self) -> None:
        """Round after round, until cancelled."""
        while True:
            began = self._clock()
            self._fault = await self._round()
            ended = self._clock()
            if not self._fault:
                self._complete_at = began
            elif ended - self._complete_at >= STALE_AFTER_S:
                # By a clock that nobody sets, in case the other one was set back.
                self._revocations.doubt()
            self._tell(ended - self._complete_at)
            self._first.set()
            await asyncio.sleep(POLL_S)

    async def _round(self) -> str:
        try:
            return await self._sharing.round()
        except Exception as error:  # noqa: BLE001 - the outermost handler: the rounds must go on, whatever a reply held
            _log.error("a round of revocations failed: %s; please report this", type(error).__name__)
            return f"a fault of our own ({type(error).__name__})"

    def _tell(self, behind_s: float) -> None:
        lost = behind_s >= STALE_AFTER_S
        if lost and not self._lost:
            _log.error(
                "revocations: not in step with the other replicas for %.1f s: %s; the policy's "
                "`revocation.when_stale` says what counts meanwhile",
                behind_s,
                self._fault,
            )
        elif self._lost and not lost:
            _log.warning("revocations: in step with the other replicas again")
        self._lost = lost
