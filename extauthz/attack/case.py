"""What one case of the corpus is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias


class Expected(StrEnum):
    """What a gateway has to do with the request."""

    REFUSE = "refuse"
    ALLOW = "allow"


class Evidence(StrEnum):
    """What in an answer shows that the request got through."""

    RESULT = "result"
    """A JSON-RPC `result`: the server has carried it out."""
    ACCEPTED = "accepted"
    """Any 2xx without a JSON-RPC error: for messages that have no result."""
    CORS = "cors"
    """A 2xx that allows the origin asked for (`access-control-allow-origin`)."""
    SWITCHED = "switched"
    """101: the connection now speaks something else. Ignoring an upgrade is allowed (RFC 9110 §7.8)."""


class Era(StrEnum):
    """How a client of the protocol speaks: with `initialize`, or with version and names in every request."""

    LEGACY = "legacy"
    """MCP 2024-11-05 to 2025-11-25."""
    MODERN = "modern"
    """MCP 2026-07-28."""


class SessionUse(StrEnum):
    """Which `Mcp-Session-Id` a request of the initialize-based era carries, where the server gives them."""

    SHARED = "shared"
    OWN = "own"
    """One opened for this case alone: the request ends it or changes it."""
    NONE = "none"


BOTH_ERAS: Final = (Era.LEGACY, Era.MODERN)

HeaderLines: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]
"""Each name with its lines, in order; no lines: the header that is usually there is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent, with `${...}` where values of the run stand (see `compose`)."""

    method: str = "POST"
    target: str = "${path}"
    headers: HeaderLines = ()
    body: str | None = None
    """Text; None: no body."""
    encoding: str = "utf-8"
    """How the text becomes bytes: a codec of Python, as `utf-16-le`, or `latin-1` for bytes that are not UTF-8."""
    mirror: tuple[str, str] = ("tools/call", "${tool}")
    """`Mcp-Method` and `Mcp-Name` of the modern era; empty: the header is left out."""
    session: SessionUse = SessionUse.SHARED
    chunked: bool = False
    http_version: str = "HTTP/1.1"
    half_close: bool = False
    """Whether the sending side is closed behind the bytes: for a body that is shorter than announced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request and what has to become of it."""

    group: str
    """The class of attack: the name of the file it stands in."""
    name: str
    why: str
    """What an attacker gains, or for a control why it has to pass; one sentence."""
    source: str
    """Advisory, section of a specification, or `measured` for what real servers were seen to do."""
    expected: Expected
    statuses: frozenset[int]
    """HTTP statuses that say what is wrong, 0 for no answer at all. Others refuse as well, and are told."""
    reason: str
    """The reason code by which extauthz refuses it; `proxy` where Envoy does before anybody is asked."""
    evidence: Evidence = Evidence.RESULT
    eras: tuple[Era, ...] = ()
    """In which eras it is sent, each time; empty: once, in whichever the target speaks."""
    servers: Mapping[str, str] = field(default_factory=dict)
    """What known servers were seen to do with it when nothing stands before them."""
    needs: frozenset[str] = frozenset()
    """Values of the run without which it means nothing."""
    request: Request


@dataclass(frozen=True, slots=True)
class Attempt:
    """A case in one era."""

    case: Case
    era: Era

    @property
    def id(self) -> str:
        """`group/name`, and the era where the case has several."""
        own = f"{self.case.group}/{self.case.name}"
        return f"{own}/{self.era}" if len(self.case.eras) > 1 else own


def attempts(cases: tuple[Case, ...], served: frozenset[Era]) -> tuple[Attempt, ...]:
    """The cases in the eras that a target serves; those for another era are left out."""
    found: list[Attempt] = []
    for case in cases:
        if case.eras:
            found.extend(Attempt(case, era) for era in case.eras if era in served)
        elif served:
            found.append(Attempt(case, Era.MODERN if Era.MODERN in served else Era.LEGACY))
    return tuple(found)
