"""The session bindings that one process remembers."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeAlias

from extauthz.service.cache.bounded_cache import BoundedCache, Entry
from extauthz.service.sessions.session_binding import Binding

_Owner: TypeAlias = tuple[str, str, str] | bytes


class Bindings(BoundedCache[Binding]):
    """A memory in which no owner has more than `max_of_one`: beyond that its own oldest goes.

    Session ids cost nothing to invent. Without this, whoever has one token could push everybody's bindings out, and
    then take a session whose id is known.

    A binding lasts until wall clock and passing time both say that it has ended: a clock that is set ahead must not
    hand sessions to others.
    """

    __slots__ = ("_max_of_one", "_of")

    def __init__(
        self, max_entries: int, max_bytes: int, max_of_one: int, *, monotonic: Callable[[], float] | None = None
    ) -> None:
        super().__init__(max_entries, max_bytes, monotonic=monotonic, lasts_longer=True)
        self._max_of_one = max_of_one
        self._of: dict[_Owner, OrderedDict[Hashable, None]] = {}

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._of.clear()
        super().clear()

    def _put(self, key: Hashable, entry: Entry[Binding]) -> None:
        super()._put(key, entry)
        if key not in self._entries:
            return
        names = self._of.setdefault(_owner(entry.value), OrderedDict())
        names[key] = None
        if len(names) > self._max_of_one:
            self._forget(next(iter(names)))

    def _forget(self, key: Hashable) -> None:
        owner = _owner(self._entries[key].value)
        super()._forget(key)
        names = self._of.get(owner)
        if names is not None:
            names.pop(key, None)
            if not names:
                del self._of[owner]


def _owner(binding: Binding) -> _Owner:
    return binding.owner if binding.local is None else binding.local
