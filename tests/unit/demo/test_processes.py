"""Child programs are waited for, reported on, stopped, and never left behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from extauthz.demo.processes import (
    LOOPBACK,
    Probe,
    Program,
    ProgramError,
    accepts_tcp,
    answers_http,
    free_port,
    port_is_free,
    serves_grpc,
)

WAIT_S = 20.0


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def is_running(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def until_gone(pid: int) -> bool:
    deadline = time.monotonic() + WAIT_S
    while is_running(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


SLEEPS = "import time; print('started', flush=True); time.sleep(600)"
DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('started', flush=True); time.sleep(600)"
)
LISTENS = """
import socket, sys, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", {port})); s.listen()
time.sleep(600)
"""
PARENT_OF_ONE = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def wrote(log: Path, text: str) -> Probe:
    return lambda: text in log.read_text(encoding="utf-8")


def test_ports_given_to_many_callers_differ_and_are_free() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    assert all(port_is_free(port) for port in ports)


def test_a_port_given_out_is_not_given_to_another_process() -> None:
    port = free_port()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, pytest.raises(OSError, match="in use"):
        other.bind(f"\0extauthz-port-{port}")


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()
        assert not port_is_free(listener.getsockname()[1])


def test_a_program_is_ready_when_its_port_accepts_and_gone_after_the_block(tmp_path: Path) -> None:
    port = free_port()
    with Program(
        "listener", python(LISTENS.format(port=port)), log=tmp_path / "log", ready=accepts_tcp(port)
    ) as program:
        socket.create_connection((LOOPBACK, port), timeout=5).close()
        pid = program.pid
        assert program.alive()
    assert not program.alive()
    assert not is_running(pid)
    assert port_is_free(port)


def test_an_early_end_is_an_error_with_the_status_and_the_end_of_the_output(tmp_path: Path) -> None:
    code = "print('line one'); print('cannot read the policy'); raise SystemExit(3)"
    program = Program("broken", python(code), log=tmp_path / "log", ready=lambda: False)
    with pytest.raises(ProgramError, match=r"(?s)broken ended with status 3 .*cannot read the policy"), program:
        pass
    assert not program.alive()


def test_a_program_that_never_gets_ready_is_stopped_and_reported(tmp_path: Path) -> None:
    program = Program("slow", python(SLEEPS), log=tmp_path / "log", ready=lambda: False, start_within_s=0.2)
    with pytest.raises(ProgramError, match=r"slow was not ready within 0\.2 s"), program:
        pass
    assert not is_running(program.pid)


def test_an_executable_that_is_missing_is_an_error_that_names_the_program(tmp_path: Path) -> None:
    with (
        pytest.raises(ProgramError, match="ghost cannot be started"),
        Program("ghost", [str(tmp_path / "none")], log=tmp_path / "log"),
    ):
        pass


def test_a_program_that_does_not_heed_sigterm_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = Program("deaf", python(DEAF), log=log, ready=wrote(log, "started"), stop_within_s=0.2)
    with program:
        pass
    assert program.stop() == -signal.SIGKILL


def test_stopping_takes_the_grandchildren_along(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Program("parent", python(PARENT_OF_ONE), log=log, ready=wrote(log, "\n")) as program:
        grandchild = int(program.output())
        assert is_running(grandchild)
    assert until_gone(grandchild)


def test_stop_may_be_called_again_and_before_the_start(tmp_path: Path) -> None:
    program = Program("twice", python(SLEEPS), log=tmp_path / "log")
    assert program.stop() is None
    program.start()
    first = program.stop()
    assert program.stop() == first


def test_a_program_can_be_started_again_after_its_end(tmp_path: Path) -> None:
    program = Program("again", python("print('x')"), log=tmp_path / "log")
    for _ in range(2):
        program.start()
        assert program.wait(WAIT_S) == 0
    assert program.output() == "x\nx\n"


def test_starting_a_running_program_is_refused(tmp_path: Path) -> None:
    with Program("one", python(SLEEPS), log=tmp_path / "log") as program, pytest.raises(ProgramError, match="already"):
        program.start()


def test_an_interrupt_in_the_middle_of_starting_loses_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    born: list[int] = []
    real = subprocess.Popen

    def interrupted(*arguments: Any, **options: Any) -> "subprocess.Popen[bytes]":
        process = real(*arguments, **options)
        born.append(process.pid)
        os.kill(os.getpid(), signal.SIGINT)
        return process

    program = Program("born late", python(SLEEPS), log=tmp_path / "log")
    with Program("makes the watchdog", python(SLEEPS), log=tmp_path / "other"):
        monkeypatch.setattr(subprocess, "Popen", interrupted)
        with pytest.raises(KeyboardInterrupt), program:
            pass
    assert len(born) == 1
    assert until_gone(born[0])


def test_programs_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from typing import Any
from extauthz.demo.processes import Program
log = Path({str(tmp_path / "log")!r})
arguments = [{sys.executable!r}, "-I", "-S", "-c", {DEAF!r}]
child = Program("orphan", arguments, log=log, ready=lambda: "started" in log.read_text())
child.start()
child.wait_until_ready()
print(child.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        orphan = int(parent.stdout.readline())
        assert is_running(orphan)
    finally:
        parent.kill()
        parent.communicate()
    assert until_gone(orphan)


def test_the_repr_shows_no_argument_and_no_environment(tmp_path: Path) -> None:
    program = Program("quiet", ["/x", "hunter2"], log=tmp_path / "log", environment={"SECRET": "hunter2"})
    assert "hunter2" not in repr(program)


def test_the_environment_given_replaces_ours(tmp_path: Path) -> None:
    code = "import os; print(sorted(k for k in os.environ if k != 'LC_CTYPE'))"
    program = Program("env", python(code), log=tmp_path / "log", environment={"ONLY": "this"})
    program.start()
    program.wait(WAIT_S)
    assert program.output() == "['ONLY']\n"


def test_an_http_probe_says_yes_only_to_the_status_asked_for(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "served").mkdir()
    arguments = [
        sys.executable,
        "-m",
        "http.server",
        str(port),
        "--bind",
        LOOPBACK,
        "--directory",
        str(tmp_path / "served"),
    ]
    with Program("http", arguments, log=tmp_path / "log", ready=answers_http(f"http://{LOOPBACK}:{port}/")):
        assert not answers_http(f"http://{LOOPBACK}:{port}/none")()
    assert not answers_http(f"http://{LOOPBACK}:{port}/")()


@pytest.mark.parametrize(("status", "ready"), [(1, True), (2, False)], ids=["serving", "not serving"])
def test_a_grpc_probe_says_yes_only_to_serving(status: int, ready: bool) -> None:
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    def check(request: bytes, context: grpc.ServicerContext) -> bytes:
        return bytes([8, status])

    server = grpc.server(ThreadPoolExecutor(1))
    handler = grpc.unary_unary_rpc_method_handler(check)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})])
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    server.start()
    try:
        assert serves_grpc(f"{LOOPBACK}:{port}")() is ready
    finally:
        server.stop(0).wait()


def test_a_grpc_probe_says_no_to_a_port_without_a_server() -> None:
    assert not serves_grpc(f"{LOOPBACK}:{free_port()}")()
