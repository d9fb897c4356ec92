"""`extauthz demo` as a user runs it: reaches its end state, says what went otherwise, and leaves nothing running."""

import io
import re
import signal
import socket
from pathlib import Path

import pytest
from rich.console import Console

from extauthz.demo.processes import LOOPBACK, free_port
from extauthz.demo.system import Addresses, System, demo_policy
from extauthz.demo.walk.narrator import Narrator
from extauthz.demo.walk.run import walk
from extauthz.demo.walk.steps import STEPS
from tests.e2e.running_demo import UP, WITHIN_S, gone, processes_of, started_demo, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

STARTING = "✓ demo issuer"
JWT = re.compile(r"eyJ[A-Za-z0-9_-]+\.")


def test_once_goes_through_every_step_and_ends_with_0(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    with started_demo(folder, "--once", "--port", "0") as (process, output):
        assert process.wait(WITHIN_S) == 0, output()
        text = output()
    assert text.count("✓ as expected") == len(STEPS)
    assert f"All {len(STEPS)} steps went as they should." in text
    assert "\x1b" not in text, "colours in a file"
    assert not JWT.search(text), "a token in the output"
    assert "www-authenticate: Bearer scope=" in text
    assert 'error="insufficient_scope"' in text
    assert "extauthz.check" in text
    assert gone(folder) == {}
    assert list(folder.iterdir()) == []


def test_it_stays_up_until_ctrl_c_and_then_nothing_is_left(tmp_path: Path) -> None:
    folder, port = tmp_path / "tmp", free_port()
    with started_demo(folder, "--port", str(port)) as (process, output):
        wait_for(process, output, UP)
        socket.create_connection((LOOPBACK, port), timeout=5).close()
        assert not JWT.search(output()), "a token in the output"
        (token_file,) = folder.glob("*/token")
        assert token_file.stat().st_mode & 0o077 == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130, output()
    assert gone(folder) == {}
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["int", "term", "hup"],
)
def test_a_signal_in_the_middle_of_starting_stops_everything(tmp_path: Path, number: int, status: int) -> None:
    folder = tmp_path / "tmp"
    with started_demo(folder, "--port", "0") as (process, output):
        wait_for(process, output, STARTING)
        process.send_signal(number)
        assert process.wait(30) == status, output()
        assert "Traceback" not in output()
    assert gone(folder) == {}
    assert list(folder.iterdir()) == []


def test_when_it_is_killed_its_programs_end_too(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    with started_demo(folder, "--port", "0") as (process, output):
        wait_for(process, output, UP)
        assert len(processes_of(folder)) > 4
        process.kill()
        process.wait()
    assert gone(folder) == {}


def test_a_busy_port_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()
        port = listener.getsockname()[1]
        folder = tmp_path / "tmp"
        with started_demo(folder, "--once", "--port", str(port)) as (process, output):
            assert process.wait(WITHIN_S) == 1
            assert f"port {port} is in use" in output()
            assert "--port" in output()
            assert "Traceback" not in output()
        assert gone(folder) == {}


def lax_policy(addresses: Addresses) -> str:
    return demo_policy(addresses).replace("effect: deny", "scopes: [weather:read]")


def test_a_step_that_goes_otherwise_is_shown_with_both_sides(tmp_path: Path) -> None:
    """A policy that allows what the demo expects to be forbidden."""
    seen = io.StringIO()
    narrator = Narrator(Console(file=seen, width=100))
    with System(tmp_path, policy=lax_policy) as system:
        stage, failed = walk(system, narrator)
    assert [step.title for step in failed] == ["Calls that no token helps"]
    assert "expected: status: 403" in seen.getvalue()
    assert "seen:     200" in seen.getvalue()
    assert stage.tokens
    assert f"1 of {len(STEPS)} steps went otherwise: Calls that no token helps" in seen.getvalue()
