"""One run: find out what the target speaks, send the attempts in turn, judge each answer."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from extauthz.attack.case import Attempt, Case, Era, Evidence, Expected, Request, SessionUse, attempts
from extauthz.attack.compose import CannotComposeError, compose
from extauthz.attack.exchange import Connector, UnreachableError
from extauthz.attack.judge import Answer, Verdict, judge
from extauthz.attack.target import Values

SESSION_HEADER: Final = "mcp-session-id"

_INITIALIZE: Final = (
    '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},'
    '"clientInfo":{"name":"extauthz-attack","version":"1"}}}'
)
_DISCOVER: Final = '{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{${meta-only}}}'
_INITIALIZED: Final = '{"jsonrpc":"2.0","method":"notifications/initialized"}'


class NothingServedError(Exception):
    """The target answers neither era's first question: there is nothing to attack, or everything is refused."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt. `seen` is what came back, or for a skipped one what is missing."""

    attempt: Attempt
    verdict: Verdict
    seen: str


@dataclass(frozen=True, slots=True)
class Served:
    """What the target speaks."""

    eras: frozenset[Era]
    session: str
    """A session id, empty when the server has given none."""


def _ask(name: str, body: str, method: str, evidence: Evidence = Evidence.RESULT) -> Case:
    return Case(
        group="probe",
        name=name,
        why="",
        source="",
        expected=Expected.ALLOW,
        statuses=frozenset(),
        reason="allowed",
        evidence=evidence,
        request=Request(body=body, mirror=(method, "")),
    )


class Runner:
    """Sends attempts, at most `rate` a second. `now` and `wait` are a clock in seconds and what waits for it."""

    def __init__(
        self,
        connector: Connector,
        values: Values,
        rate: float,
        *,
        now: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connector = connector
        self._values = values
        self._interval_s = 1 / rate
        self._now = now
        self._wait = wait
        self._next = now()

    def probe(self) -> Served:
        """Which eras are served. Raises NothingServedError, UnreachableError."""
        discover = self._send(Attempt(_ask("discover", _DISCOVER, "server/discover"), Era.MODERN), "")
        first = self._send(Attempt(_ask("initialize", _INITIALIZE, "initialize"), Era.LEGACY), "")
        eras = set[Era]()
        for era, (verdict, _, _) in ((Era.MODERN, discover), (Era.LEGACY, first)):
            if verdict is Verdict.PASSED:
                eras.add(era)
        if not eras:
            raise NothingServedError(
                f"server/discover was answered with {discover[1]}, initialize with {first[1]}: nothing works there, so "
                "nothing can be learnt (is the URL that of an MCP endpoint, and does the token permit these?)"
            )
        session = first[2].header(SESSION_HEADER) if Era.LEGACY in eras else ""
        if Era.LEGACY in eras:
            self._initialized(session)
        return Served(frozenset(eras), session)

    def outcomes(self, chosen: tuple[Attempt, ...], served: Served) -> Iterator[Outcome]:
        """Send each attempt. Raises UnreachableError when the target goes away, naming the attempt before it."""
        last = "the first questions"
        for attempt in chosen:
            try:
                session = served.session
                if attempt.case.request.session is SessionUse.OWN and attempt.era is Era.LEGACY:
                    session = self._own_session()
                verdict, seen, _ = self._send(attempt, session)
            except CannotComposeError as error:
                yield Outcome(attempt, Verdict.SKIPPED, f"needs {error}")
                continue
            except UnreachableError as error:
                raise UnreachableError(f"{error} (after {last})") from error
            last = attempt.id
            yield Outcome(attempt, verdict, seen)

    def _own_session(self) -> str:
        _, _, answer = self._send(Attempt(_ask("initialize", _INITIALIZE, "initialize"), Era.LEGACY), "")
        session = answer.header(SESSION_HEADER)
        if session:
            self._initialized(session)
        return session

    def _initialized(self, session: str) -> None:
        case = _ask("initialized", _INITIALIZED, "notifications/initialized", Evidence.ACCEPTED)
        self._send(Attempt(case, Era.LEGACY), session)

    def _send(self, attempt: Attempt, session: str) -> tuple[Verdict, str, Answer]:
        request = compose(attempt, self._connector.target, self._values, session)
        now = self._now()
        if now < self._next:
            self._wait(self._next - now)
        self._next = max(now, self._next) + self._interval_s
        answer = self._connector.exchange(request, whole=attempt.case.evidence is Evidence.RESULT)
        verdict, seen = judge(attempt.case, answer)
        return verdict, seen, answer


def choose(cases: tuple[Case, ...], only: tuple[str, ...]) -> tuple[Case, ...]:
    """The cases whose `group/name` fits one of the patterns (`*` any characters); all when there are none."""
    if not only:
        return cases
    return tuple(case for case in cases if any(fnmatchcase(f"{case.group}/{case.name}", pattern) for pattern in only))


def run(
    runner: Runner, cases: tuple[Case, ...], told: Callable[[Outcome], None] = lambda _: None
) -> tuple[Outcome, ...]:
    """Probe, then everything in the eras that the target serves. `told` hears of each outcome at once."""
    served = runner.probe()
    found: list[Outcome] = []
    for outcome in runner.outcomes(attempts(cases, served.eras), served):
        told(outcome)
        found.append(outcome)
    return tuple(found)
