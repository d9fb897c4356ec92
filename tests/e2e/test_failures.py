"""What fails, and what the client sees then: through real Envoy, with the programs really killed, frozen and broken."""

import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import pytest

from extauthz.demo.issuer import JwksAnswer
from extauthz.demo.system import System
from extauthz.demo.walk.messages import tool_call
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

ACCEPT = "application/json, text/event-stream"


def post(system: System, token: str, tool: str = "get_forecast") -> httpx.Response:
    message = tool_call(1, tool, city="Oslo")
    headers = {"content-type": "application/json", "accept": ACCEPT, "authorization": f"Bearer {token}"}
    return httpx.post(
        f"{system.url}/mcp", content=message.body, headers={**headers, **message.headers}, timeout=15, trust_env=False
    )


def token(system: System, *scopes: str) -> str:
    granted = scopes or ("weather:read",)
    return system.issuer.token("alice", resource=f"{system.url}/mcp", scopes=list(granted)).access_token


@dataclass
class Load:
    """Calls from two threads until told to stop, counted by status."""

    call: Callable[[], int]
    seen: Counter[int] = field(default_factory=Counter)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Load":
        self._threads = [threading.Thread(target=self._run) for _ in range(2)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.seen[self.call()] += 1

    def until(self, status: int, more: int) -> None:
        """Wait until `status` was seen so many times more."""
        goal = self.seen[status] + more
        eventually(lambda: self.seen[status] >= goal, f"{status} is answered {more} times more", within_s=60)


def test_the_service_killed_in_mid_load_is_503_never_an_allow_and_mends_by_itself(own_system: System) -> None:
    allowed, refused = token(own_system), token(own_system, "other")
    with (
        Load(lambda: post(own_system, allowed).status_code) as good,
        Load(lambda: post(own_system, refused).status_code) as bad,
    ):
        good.until(200, 20)
        own_system.extauthz.kill()
        good.until(503, 20)
        own_system.extauthz.start()
        own_system.extauthz.wait_until_ready()
        good.until(200, 20)
    assert set(good.seen) <= {200, 503}
    assert set(bad.seen) <= {403, 503}


def test_a_frozen_service_is_503_within_the_time_that_envoy_waits(own_system: System) -> None:
    granted = token(own_system)
    assert post(own_system, granted).status_code == 200
    own_system.extauthz.signal(signal.SIGSTOP)
    try:
        assert post(own_system, granted).status_code == 503
    finally:
        own_system.extauthz.signal(signal.SIGCONT)
    eventually(lambda: post(own_system, granted).status_code == 200, "it answers again", within_s=30)


def test_a_broken_policy_on_reload_keeps_the_last_good_one(own_system: System) -> None:
    granted = token(own_system)
    own_system.policy_file.write_text("version: 1\nresources: {}\n")
    own_system.extauthz.signal(signal.SIGHUP)
    eventually(lambda: "was not loaded" in own_system.extauthz.output(), "the fault is logged")
    assert post(own_system, granted).status_code == 200
    assert post(own_system, token(own_system, "other")).status_code == 403
    metrics = httpx.get(f"http://127.0.0.1:{own_system.admin_port}/metrics", trust_env=False).text
    assert 'extauthz_policy_reloads_total{result="failed"} ' in metrics


def test_redis_killed_is_nothing_but_a_metric(own_system: System) -> None:
    assert own_system.valkey is not None
    granted, other = token(own_system), token(own_system, "other")
    assert post(own_system, granted).status_code == 200
    own_system.valkey.kill()
    for _ in range(10):
        assert post(own_system, granted).status_code == 200
        assert post(own_system, token(own_system)).status_code == 200
        assert post(own_system, other).status_code == 403
    metrics = httpx.get(f"http://127.0.0.1:{own_system.admin_port}/metrics", trust_env=False).text
    assert 'result="unavailable"' in metrics


def test_an_unreachable_issuer_harms_nobody_while_keys_are_held_and_a_new_process_says_503(own_system: System) -> None:
    granted = token(own_system)
    assert post(own_system, granted).status_code == 200
    own_system.issuer.answer_jwks(JwksAnswer.SERVER_ERROR)
    assert post(own_system, token(own_system)).status_code == 200
    assert own_system.valkey is not None
    own_system.valkey.kill()
    own_system.extauthz.kill()
    own_system.extauthz.start()
    # It is not ready, and never will be without a key: whoever asks it all the same is told.
    eventually(lambda: "keys_unavailable" in post(own_system, granted).text, "the new process answers")
    answer = post(own_system, granted)
    assert answer.status_code == 503
    assert "www-authenticate" not in answer.headers
