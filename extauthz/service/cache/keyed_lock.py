"""One check at a time per key: a check that comes second waits for the first and then looks into the cache again.

Many checks with the same new token come at once when a client opens its streams. The first finds out about the token;
the others wait (as a need: the procedure itself never does), look into the cache again, and do for themselves only what
is not there. So an outcome that must not be cached is never handed on either.
"""

import threading
from collections.abc import Callable, Hashable
from typing import TypeVar

from extauthz.service.asking import Asking, ask
from extauthz.service.call import Moment
from extauthz.service.needs import NeedLock

Found = TypeVar("Found")


class KeyedLock:
    """The keys that checks are finding out about. Thread-safe; costs a microsecond when no other check comes."""

    __slots__ = ("_lock", "_taken")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: dict[Hashable, threading.Event | None] = {}

    def take(self, key: Hashable) -> threading.Event | None:
        """None: the lock is yours, and you `end` it whatever happens. Else what is set when its holder has ended."""
        with self._lock:
            if key not in self._taken:
                self._taken[key] = None
                return None
            ended = self._taken[key]
            if ended is None:
                ended = self._taken[key] = threading.Event()
            return ended

    def end(self, key: Hashable) -> None:
        """Give the lock back: those who wait go on."""
        with self._lock:
            ended = self._taken.pop(key)
        if ended is not None:
            ended.set()

    def find(
        self, key: Hashable, moment: Moment, cached: Callable[[], Found | None], find_out: Callable[[], Asking[Found]]
    ) -> Asking[Found]:
        """What is cached, or else what can be found out, by one check at a time.

        After another's lock nobody waits for a second one: what the other found was not to be cached.
        """
        other_ended = self.take(key)
        if other_ended is not None:
            yield from ask(NeedLock(ended=other_ended), moment)
        try:
            # Also with the lock held: another check may have ended between the caller's look and this one.
            found = cached()
            return (yield from find_out()) if found is None else found
        finally:
            if other_ended is None:
                self.end(key)
