"""How long every check would stand still when Python's cycle collector looks at everything: why there is a `Collector`.

python -m tests.bench pauses
"""

import gc
import time
from collections.abc import Sequence
from typing import Final

from extauthz.bootstrap import serving
from tests.bench.machine import machine
from tests.support.checks import check_request
from tests.support.world import World, mint

TOKENS: Final = (0, 1_000, 5_000, 20_000)
SESSIONS_OF_EACH: Final = 2


def main(arguments: Sequence[str]) -> None:
    """Measure and print; takes no arguments."""
    if arguments:
        raise SystemExit("make bench ARGS=pauses takes nothing else")
    print(f"machine: {machine()}; {serving.__name__} and all that it imports is loaded")
    world, made = World(), 0
    gc.collect()
    for tokens in TOKENS:
        for number in range(made, tokens):
            token = mint(sub=f"user-{number}", jti=f"pause/{number}")
            for session in range(SESSIONS_OF_EACH):
                headers = {"mcp-session-id": f"{number}/{session}"}
                assert world.check(check_request(token=token, headers=headers)).status == 0
        made = tokens
        begin = time.perf_counter()
        found = gc.collect()
        took_ms = (time.perf_counter() - begin) * 1000
        caches = world.shared_state.caches
        held = f"{len(caches.callers):>6} tokens {len(caches.bindings):>6} sessions"
        print(f"{held} {len(gc.get_objects()):>8} objects: {took_ms:5.0f} ms, cycles found: {found}")
