"""The session drill: a thief who knows session ids floods the processes, so that they cannot ask whose these are.

Two real processes with one healthy Redis. The owner's sessions are bound at the first; the thief comes to both with
them, among as many ids of its own as keep every look-up busy. Before "could not ask" was told apart from "nobody's",
up to 114 of 150 were taken.
"""

import threading
import time
from collections import Counter

import pytest

from extauthz.pdp.answer.verdict import RETRY_AFTER_S
from extauthz.pdp.reason import Reason
from tests.chaos.load import Ask, Client, Told
from tests.chaos.rig import Rig
from tests.support.checks import check_request
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("chaos")]

SESSIONS = 150
OWN_PER_STOLEN = 4
"""Of five of the thief's calls four are about ids that nobody has: each needs a look-up of its own."""
SAMPLE = 5
"""Sessions with which the owner comes to the process that does not know them, while the flood goes on."""


def ask(token: str, session: str, kind: str) -> Ask:
    data = check_request(token=token, headers={"mcp-session-id": session})
    return Ask(kind=kind, data=data, reason=Reason.ALLOWED, fresh=True)


def outcomes(answers: list[Told], kind: str) -> Counter[str]:
    return Counter(told.outcome for told in answers if told.ask.kind == kind)


class Flood:
    """Of one process, until the block ends; at least every stolen id once."""

    def __init__(self, rig: Rig, port: int, sessions: list[str], in_flight: int) -> None:
        self._client = Client(port)
        self._in_flight = in_flight
        self._rig = rig
        self._stolen = [ask(rig.deck.thief, session, "stolen") for session in sessions]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flood", daemon=True)
        self.answers: list[Told] = []

    def __enter__(self) -> "Flood":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while True:
            number = self._rig.deck.number()
            own = [
                ask(self._rig.deck.thief, f"thief-{number}-{place}", "own")
                for place in range(OWN_PER_STOLEN * SESSIONS)
            ]
            mixed = [
                each
                for place, stolen in enumerate(self._stolen)
                for each in (*own[place * OWN_PER_STOLEN : (place + 1) * OWN_PER_STOLEN], stolen)
            ]
            self.answers += self._client.all(mixed, at_once=self._in_flight)
            if self._stop.is_set():
                return


@pytest.mark.parametrize("in_flight", [40, 120, 600])
def test_a_flood_takes_no_session_and_locks_no_owner_out(rig: Rig, in_flight: int) -> None:
    knows, does_not = rig.replicas[:2]
    owner = rig.deck.owner
    sessions = [f"drill-{in_flight}-{rig.deck.number()}" for _ in range(SESSIONS)]
    for session in sessions:
        data = ask(owner, session, "bind").data
        eventually(lambda data=data: knows.client.ask(data).allowed, "Redis binds the session")  # type: ignore[misc]

    uses = [ask(owner, session, "owner") for session in sessions]
    longest_s = 0.0
    with (
        Flood(rig, does_not.served.port, sessions, in_flight) as at_other,
        Flood(rig, knows.served.port, sessions, in_flight // 4) as at_own,
    ):
        known = knows.client.all(uses, at_once=4)
        for session in sessions[:SAMPLE]:
            data = ask(owner, session, "owner").data
            began_s = time.perf_counter()
            eventually(
                lambda data=data: does_not.client.ask(data).allowed,  # type: ignore[misc]
                "the owner is served where its session is new",
                RETRY_AFTER_S,
            )
            longest_s = max(longest_s, time.perf_counter() - began_s)

    for flood in (at_other, at_own):
        stolen = outcomes(flood.answers, "stolen")
        assert stolen.total() >= SESSIONS
        assert stolen[Reason.ALLOWED] == 0, stolen
        assert stolen.keys() <= {Reason.SESSION_UNKNOWN, Reason.DEADLINE_EXCEEDED, "gRPC RESOURCE_EXHAUSTED"}
    assert outcomes(known, "owner") == {Reason.ALLOWED: SESSIONS}, "what a process knows it does not ask for"
    print(f"{in_flight} in flight: {outcomes(at_other.answers, 'stolen')}, {longest_s * 1e3:.0f} ms")
    for session in sessions:
        data = ask(owner, session, "owner").data
        eventually(lambda data=data: does_not.client.ask(data).allowed, "afterwards all are the owner's")  # type: ignore[misc]
