"""What holding a scope amounts to: `includes`, followed to the end."""

from collections import deque
from collections.abc import Mapping, Sequence


def closures(includes: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    """For each scope, itself and everything that it includes, directly or not. Names without an entry are left out."""
    return {scope: frozenset({scope, *_below(scope, includes)}) for scope in includes}


def cycles(includes: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Every way in which scopes include themselves, once each, as `a, b, a`; the first in the mapping comes first."""
    found: list[tuple[str, ...]] = []
    told: set[str] = set()
    for scope in includes:
        came_from = _below(scope, includes)
        if scope in came_from and scope not in told:
            way = [scope]
            while len(way) == 1 or way[-1] != scope:
                way.append(came_from[way[-1]])
            told.update(way)
            found.append(tuple(reversed(way)))
    return tuple(found)


def _below(scope: str, includes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """What a scope includes, nearest first, each with the scope by which it was reached. Itself only in a cycle."""
    came_from: dict[str, str] = {}
    waiting = deque([scope])
    while waiting:
        holder = waiting.popleft()
        for included in includes.get(holder, ()):
            if included in includes and included not in came_from:
                came_from[included] = holder
                waiting.append(included)
    return came_from
