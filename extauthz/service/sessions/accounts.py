"""Whose account each cached binding is on: for bounds per principal, and for what may go where there is no room."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import TypeAlias

Account: TypeAlias = tuple[str, ...] | bytes
"""Issuer and subject, so that one user with many clients has one account; the owner's pseudonym where only the shared
store has named the owner."""


class Accounts:
    """Names by account. Every operation takes constant time. Not thread-safe."""

    __slots__ = ("_by_size", "_largest", "_names", "_of")

    def __init__(self) -> None:
        self._of: dict[Hashable, Account] = {}
        self._names: dict[Account, OrderedDict[Hashable, None]] = {}
        self._by_size: dict[int, dict[Account, None]] = {}
        self._largest = 0

    def __len__(self) -> int:
        """How many accounts have a name."""
        return len(self._names)

    def account(self, name: Hashable) -> Account | None:
        """The account that a name is on."""
        return self._of.get(name)

    def size(self, account: Account) -> int:
        """How many names are on an account."""
        return len(self._names.get(account, ()))

    def names(self, account: Account) -> Iterator[Hashable]:
        """The names on an account, the one put on it first before the others."""
        return iter(self._names.get(account, ()))

    def largest(self) -> Account:
        """An account that no other has more names than. There must be one."""
        return next(iter(self._by_size[self._largest]))

    def add(self, name: Hashable, account: Account) -> None:
        """Put a name that is on no account on one."""
        names = self._names.setdefault(account, OrderedDict())
        self._of[name] = account
        names[name] = None
        self._resized(account, len(names) - 1, len(names))

    def remove(self, name: Hashable) -> None:
        """Take a name off its account."""
        account = self._of.pop(name)
        names = self._names[account]
        del names[name]
        self._resized(account, len(names) + 1, len(names))
        if not names:
            del self._names[account]

    def clear(self) -> None:
        """Forget all names."""
        self.__init__()  # type: ignore[misc]  # the empty state is defined once

    def _resized(self, account: Account, before: int, after: int) -> None:
        if before:
            peers = self._by_size[before]
            del peers[account]
            if not peers:
                del self._by_size[before]
        if after:
            self._by_size.setdefault(after, {})[account] = None
        # Sizes change by one, so the next largest is one away.
        if after > self._largest or self._largest not in self._by_size:
            self._largest = after
