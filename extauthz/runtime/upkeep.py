"""What a serving process does beside answering, each as a loop on its event loop until that stops."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from extauthz.pdp.policy import Policy
from extauthz.runtime.garbage_collection import LOOK_EVERY_S, Collector
from extauthz.runtime.key_health import KeyHealth
from extauthz.service.clock_watch import ClockWatch
from extauthz.service.keys.key_service import KeyService
from extauthz.service.ports import KeySetState
from extauthz.service.sessions.binding_keeper import STEP_S, BindingKeeper

REFRESH_STEP_S: Final = 1.0
"""How often key sets are looked over for being due."""
CLOCK_STEP_S: Final = 1.0
"""How often it is looked whether the wall clock was set."""

_log = logging.getLogger("extauthz")


async def keep_keys_fresh(
    keys: KeyService, policy: Callable[[], Policy], states: Callable[[], tuple[KeySetState, ...]], health: KeyHealth
) -> None:
    """Fetch the key sets of the policy, then refresh those that are due; `health` follows how they stand."""
    await keys.warm(policy().issuers.values())
    while True:
        health.look(states())
        await keys.refresh_due()
        health.look(states())
        await asyncio.sleep(REFRESH_STEP_S)


async def keep_bindings(keeper: BindingKeeper) -> None:
    """Keep the session bindings in the shared store."""
    while True:
        await keeper.step()
        await asyncio.sleep(STEP_S)


async def watch_clock(watch: ClockWatch) -> None:
    """Tell the operator when the clock was set."""
    while True:
        await asyncio.sleep(CLOCK_STEP_S)
        jump_s = watch.jump_s()
        if jump_s:
            _log.warning(
                "the clock of this host was set %s by %.0f s: revocations, sessions and caches live on by the time "
                "that passes; tokens are judged by the clock, so see to it that it is right",
                "ahead" if jump_s > 0 else "back",
                abs(jump_s),
            )


async def collect_garbage(collector: Collector) -> None:
    """Look at all objects where that is due (`runtime.garbage_collection`)."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        collector.step()
