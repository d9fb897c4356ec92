"""Child programs on loopback: started, waited for, stopped, and never left behind.

A `Program` runs in a process group of its own. What stops it is, in this order: leaving its `with` block; `stop()`;
or, when this process dies without a chance to do either (SIGKILL, a crash), the watchdog, a small process that holds
one end of a pipe and kills every group it was told of when the other end closes.
"""

import atexit
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self, TypeAlias
from urllib.parse import urlsplit

import grpc

Probe: TypeAlias = Callable[[], bool]
"""Whether the program is ready. Called again and again until it says yes; must return within about a second."""

LOOPBACK: Final = "127.0.0.1"
START_WITHIN_S: Final = 30.0
"""Envoy needs 0.3 s and Python programs 1 s on an idle core; the rest is room for a machine that is busy."""
STOP_WITHIN_S: Final = 10.0
"""From SIGTERM to SIGKILL."""
PROBE_TIMEOUT_S: Final = 1.0
POLL_INTERVAL_S: Final = 0.02
TAIL_LINES: Final = 30
"""How much of a log goes into an error message: one screen."""

# Ports are taken from below the range from which the kernel gives ports to outgoing connections.
LOWEST_PORT: Final = 12_000
EPHEMERAL_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
DEFAULT_EPHEMERAL_START: Final = 32_768
PORT_ATTEMPTS: Final = 200


class ProgramError(Exception):
    """A program did not start, was not ready in time, or ended early. Says which, why, and the end of its log."""


def free_port() -> int:
    """A TCP port on loopback that nobody has, and that no other caller on this machine is given while we live.

    Envoy binds with SO_REUSEPORT, so two programs that are given one port would both start and share its
    connections. The reservation is a socket in Linux's abstract namespace, which ends with this process.
    """
    try:
        end = int(EPHEMERAL_RANGE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        end = DEFAULT_EPHEMERAL_START
    if end <= LOWEST_PORT:
        end = 65_536
    chooser = random.SystemRandom()
    for _ in range(PORT_ATTEMPTS):
        port = chooser.randrange(LOWEST_PORT, end)
        if port_is_free(port) and _reserve(port):
            return port
    raise ProgramError(f"no free TCP port on {LOOPBACK} between {LOWEST_PORT} and {end} in {PORT_ATTEMPTS} attempts")


def port_is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a program could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True


def _reserve(port: int) -> bool:
    if not sys.platform.startswith("linux"):
        return True
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        holder.bind(f"\0extauthz-port-{port}")
    except OSError:
        holder.close()
        return False
    # Left open: the descriptor, and with it the reservation, ends with the process.
    holder.detach()
    return True


def accepts_tcp(port: int, host: str = LOOPBACK) -> Probe:
    """Ready when a connection is accepted."""

    def probe() -> bool:
        try:
            socket.create_connection((host, port), timeout=PROBE_TIMEOUT_S).close()
        except OSError:
            return False
        return True

    return probe


def answers_http(url: str, status: int = 200) -> Probe:
    """Ready when a GET of `url` (http) is answered with `status`."""

    split = urlsplit(url)
    target = split.path + (f"?{split.query}" if split.query else "")

    def probe() -> bool:
        connection = HTTPConnection(split.netloc, timeout=PROBE_TIMEOUT_S)
        try:
            connection.request("GET", target or "/")
            return connection.getresponse().status == status
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    return probe


def serves_grpc(target: str, service: str = "") -> Probe:
    """Ready when `grpc.health.v1.Health/Check` of `service` says SERVING (field 1, value 1)."""

    def probe() -> bool:
        with grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            name = service.encode()
            request = bytes([0x0A, len(name)]) + name if name else b""
            try:
                answer: bytes = check(request, timeout=PROBE_TIMEOUT_S)
            except grpc.RpcError:
                return False
            return answer == b"\x08\x01"

    return probe


class Program:
    """One child program. Use it as a context manager, or `start()`, `wait_until_ready()` and `stop()`.

    `arguments` is the command line, its first item an executable's path. Standard output and error go to the file
    `log`, standard input is empty. `environment` replaces the whole environment; None means ours.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        log: Path,
        ready: Probe | None = None,
        environment: Mapping[str, str] | None = None,
        start_within_s: float = START_WITHIN_S,
        stop_within_s: float = STOP_WITHIN_S,
    ) -> None:
        self.name = name
        self.arguments = tuple(arguments)
        self.log = log
        self._ready = ready
        self._environment = dict(environment) if environment is not None else None
        self._start_within_s = start_within_s
        self._stop_within_s = stop_within_s
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline = 0.0

    def __enter__(self) -> Self:
        """Start and wait until ready."""
        try:
            self.start()
            self.wait_until_ready()
        except BaseException:  # Ctrl-C too must leave nothing running; it goes on from here
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop."""
        self.stop()

    def __repr__(self) -> str:
        """The name only: a command line or an environment may hold a secret."""
        return f"Program({self.name})"

    @property
    def pid(self) -> int:
        """Process id (and process group id). Raises ProgramError when it was not started."""
        return self._started().pid

    def start(self) -> None:
        """Start without waiting. Raises ProgramError when the executable cannot be run or it runs already.

        When a signal's exception (Ctrl-C) comes in between, the program may run: `stop()` ends it.
        """
        if self._process is not None and not self._exited():
            raise ProgramError(f"{self.name} is running already (process {self._process.pid})")
        errors: list[OSError] = []
        born = threading.Event()
        # Signal handlers run in the main thread only: in a thread, nothing comes between the child's birth and our
        # knowing its process id.
        birth = threading.Thread(target=self._spawn, args=(errors, born), name=f"start {self.name}")
        try:
            birth.start()
            born.wait()
        finally:
            # Also when the exception came out of `start` itself, before the thread had begun.
            born.wait(self._start_within_s)
        if errors:
            raise ProgramError(f"{self.name} cannot be started: {errors[0]}") from errors[0]
        self._deadline = time.monotonic() + self._start_within_s

    def _spawn(self, errors: list[OSError], born: threading.Event) -> None:
        try:
            self._process = self._born()
            _watchdog().watch(self._process.pid)
        except OSError as error:
            errors.append(error)
        finally:
            born.set()

    def _born(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as output:
            return subprocess.Popen(
                self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Return when the probe says yes. Raises ProgramError when the program ended, or time ran out."""
        self._started()
        while True:
            if self._exited():
                raise ProgramError(f"{self.name} ended with status {self._reap()} before it was ready{self._quoted()}")
            if self._ready is None or self._ready():
                return
            if time.monotonic() >= self._deadline:
                raise ProgramError(f"{self.name} was not ready within {self._start_within_s:g} s{self._quoted()}")
            time.sleep(POLL_INTERVAL_S)

    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and not self._exited()

    def signal(self, number: int) -> None:
        """Send a signal to the program itself. Nothing happens when it has ended."""
        if self.alive():
            os.kill(self.pid, number)

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; the exit status, negative for a signal. Raises ProgramError when it goes on running."""
        deadline = time.monotonic() + timeout_s
        while not self._exited():
            if time.monotonic() >= deadline:
                raise ProgramError(f"{self.name} was still running after {timeout_s:g} s{self._quoted()}")
            time.sleep(POLL_INTERVAL_S)
        return self._reap()

    def stop(self) -> int | None:
        """SIGTERM, and SIGKILL when that was not enough; then whatever is left of its process group is killed.

        Returns the exit status (negative for a signal), None when it was never started. May be called again.
        """
        if self._process is None:
            return None
        self.signal(signal.SIGTERM)
        try:
            return self.wait(self._stop_within_s)
        except ProgramError:
            return self.kill()

    def kill(self) -> int:
        """SIGKILL to the whole process group, at once. Returns the exit status."""
        if not self._exited():
            os.killpg(self.pid, signal.SIGKILL)
        return self._reap()

    def output(self) -> str:
        """All it has written so far."""
        try:
            return self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines that it has written."""
        return "\n".join(self.output().splitlines()[-lines:])

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise ProgramError(f"{self.name} was not started")
        return self._process

    def _quoted(self) -> str:
        text = self.tail()
        return f"; the end of its output:\n{text}" if text else "; it wrote nothing"

    def _exited(self) -> bool:
        """Whether it has ended. Does not reap, so that its process group id stays ours until the group is gone."""
        process = self._started()
        if process.returncode is not None:
            return True
        try:
            return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # reaped by somebody else
            return True

    def _reap(self) -> int:
        process = self._started()
        status: int | None = process.returncode
        if status is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
            _watchdog().forget(process.pid)
        return status


# Reads "+pgid" and "-pgid" lines; at the end of input kills what is left. Runs without our package: nothing to import.
_WATCHDOG_PROGRAM: Final = """
import os, signal, sys, time
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
def send(number):
    for group in list(groups):
        try:
            os.killpg(group, number)
        except OSError:
            groups.discard(group)
send(signal.SIGTERM)
deadline = time.monotonic() + 5
while groups and time.monotonic() < deadline:
    time.sleep(0.05)
    send(0)
send(signal.SIGKILL)
"""


class _Watchdog:
    """The process that outlives us by a moment. One for this process, started with its first program."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WATCHDOG_PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C at the terminal is not for it
        )
        atexit.register(self._end)

    def watch(self, group: int) -> None:
        """Kill this process group when we are gone."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """The group is gone."""
        self._tell(f"-{group}\n")

    def ours(self) -> bool:
        """False in a forked copy of the process that started it."""
        return self._owner == os.getpid() and self._process.poll() is None

    def _end(self) -> None:
        if self.ours() and self._process.stdin is not None:
            self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=PROBE_TIMEOUT_S)

    def _tell(self, line: str) -> None:
        pipe: IO[bytes] | None = self._process.stdin
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.write(line.encode("ascii"))
                pipe.flush()


_watchdogs: list[_Watchdog] = []


def _watchdog() -> _Watchdog:
    if not _watchdogs or not _watchdogs[-1].ours():
        _watchdogs.append(_Watchdog())
    return _watchdogs[-1]
