"""What is decided on headers alone, each server executes as decided or not at all, whatever the body says.

That is the server's doing, not ours: docs/explanation/header-only.md, step 6. Servers that speak 2026-07-28 are held to
it with every generated body; those that do not are shown to be no servers for `header_only`.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import pytest

from extauthz.pdp.mcp.header_only import SETTLED_METHODS
from extauthz.pdp.mcp.read import read_operation
from extauthz.pdp.operation import Operation, Unreadable
from extauthz.pdp.request import HttpRequest
from tests.differential.environments import COMMANDS
from tests.differential.grammar import Near, field_value, message_of, message_text, mutated, near
from tests.differential.recording import EXACT, NAMED, Execution, RecordingServer, Sent
from tests.differential.test_executions import NAMED_EVERY, SHOWN, started
from tests.property.test_mcp_reading import CAPABILITIES, MODERN, VERSION

VERIFYING = ("Python 2.x", "TypeScript 2.4.0", "Go 1.8.0")
"""The SDKs that compare headers and body, as 2026-07-28 obliges them to."""
HEEDLESS = tuple(sdk for sdk in COMMANDS if sdk not in VERIFYING)
OPENING = ("Python 1.30.0", "TypeScript 1.32.2")
LYING = (("content-type", "application/json"), ("mcp-method", "tools/call"), ("mcp-name", "get_forecast"))
"""Headers of a call that is permitted, for a body that says otherwise."""
SHORT_MESSAGES = 600
LONG_MESSAGES = int(os.environ.get("EXTAUTHZ_DIFFERENTIAL_MESSAGES", "64000")) // 3
LEAST_EXECUTED = 40
THINGS = {
    "tools/call": ("get_forecast", "admin", "set_alert"),
    "prompts/get": ("get_forecast", "admin", "Admin"),
    "resources/read": ("weather://berlin", "secret://x", "file:///public/a"),
}


@dataclass(frozen=True, slots=True)
class Decided:
    """What headers say, with the body that comes along."""

    operation: Operation
    sent: Sent
    agrees: bool
    """Whether the body, read as strictly as ever, is the same operation."""


def decided(count: int, number: int, of_each: int) -> list[Decided]:
    """So many requests, those of them that headers settle; bodies are right, nearly right, or of anything else."""
    random = Random(number)
    found: list[Decided] = []
    for each in near(-(-count // of_each), number):
        for _ in range(of_each):
            headers, body = dict(each.headers), _body(each, random)
            if random.random() < 0.5 or "mcp-method" not in headers:
                method = random.choice([*THINGS, *THINGS, *sorted(SETTLED_METHODS)])
                thing = random.choice(THINGS.get(method, ("",)))
                headers = {"mcp-method": method} | ({"mcp-name": field_value(thing)} if thing else {})
                body = _message(method, thing, random) if random.random() < 0.4 else body
            settled = {**headers, "content-type": "application/json", "mcp-protocol-version": MODERN}
            request, sent = message_of(tuple(settled.items()), body)
            outcome = read_operation(without_body(request), SETTLED_METHODS)
            if isinstance(outcome, Operation):
                found.append(Decided(outcome, sent, _same(read_operation(request), outcome)))
    return found


def _body(each: Near, random: Random) -> bytes:
    kind = random.random()
    if kind < 0.4:
        return message_text(each.message, random)
    if kind < 0.7:
        return mutated(each, random)[1].body
    method = random.choice(list(THINGS))
    return _message(method, random.choice(THINGS[method]), random)


def _message(method: str, thing: str, random: Random) -> bytes:
    """A plain message, as each era would have it or as none would."""
    member = "uri" if method == "resources/read" else "name"
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {member: thing} if thing else {}}
    return json.dumps(random.choice(_ERAS)(message)).encode()


def _as_modern(message: dict[str, Any]) -> Any:
    params = {**message["params"], "_meta": {VERSION: MODERN, CAPABILITIES: {}}}
    return {**message, "params": params}


def _as_older(message: dict[str, Any]) -> Any:
    return {**message, "params": {**message["params"], "_meta": {VERSION: "2025-11-25", CAPABILITIES: {}}}}


_ERAS: tuple[Callable[[dict[str, Any]], Any], ...] = (
    _as_modern,
    _as_modern,
    _as_older,
    lambda message: message,
    lambda message: [message],
    lambda message: [_as_modern(message)],
    lambda message: {name: value for name, value in _as_modern(message).items() if name != "id"},
)


def without_body(request: HttpRequest) -> HttpRequest:
    return request._replace(body=b"", body_size=0)


def _same(read: object, operation: Operation) -> bool:
    """Whether this is what was read from the headers, but for the arguments."""
    return isinstance(read, Operation) and (read.method, read.targets) == (operation.method, operation.targets)


def otherwise(execution: Execution, operation: Operation) -> bool:
    """Whether a server executed something else than the headers said."""
    names = tuple(target.name for target in operation.targets)
    return (execution.method, execution.names) != (operation.method, names)


def run(server: RecordingServer, requests: list[Decided]) -> tuple[list[str], int]:
    """Send everything; what was executed otherwise than the headers say, and how much was executed at all."""
    with server:
        for number, each in enumerate(requests):
            server.send(number, NAMED if number % NAMED_EVERY == 0 else EXACT, each.sent)
        assert server.program.alive(), server.program.tail()
    executions = server.executions()
    faults = [
        f"{server.sdk}: {each.sent.lines}\n  {each.sent.body!r}\n  {execution}"
        for execution in executions
        if otherwise(execution, (each := requests[int(execution.message)]).operation)
    ]
    agreeing = sum(each.agrees for each in requests)
    print(
        f"{server.sdk}: {len(requests)} decided on headers, {agreeing} of them with a body that says the same; "
        f"{len(executions)} executed, {len(faults)} of them not what the headers say"
    )
    return faults, len(executions)


@pytest.fixture(scope="module")
def some() -> list[Decided]:
    """Requests for a short run, the same each time."""
    return decided(SHORT_MESSAGES, number=1, of_each=5)


@pytest.fixture(scope="module")
def many() -> list[Decided]:
    """Requests for a long run; EXTAUTHZ_DIFFERENTIAL_SEED says which."""
    number = int(os.environ.get("EXTAUTHZ_DIFFERENTIAL_SEED") or SystemRandom().randrange(2**32))
    requests = decided(LONG_MESSAGES, number=number, of_each=8)
    print(f"seed {number}: {LONG_MESSAGES} generated, {len(requests)} decided on headers")
    return requests


@pytest.mark.e2e
@pytest.mark.parametrize("sdk", VERIFYING)
def test_servers_of_2026_07_28_execute_what_the_headers_say_or_nothing(
    sdk: str, some: list[Decided], tmp_path: Path
) -> None:
    faults, executed = run(started(sdk, tmp_path), some)
    assert faults == []
    assert executed >= LEAST_EXECUTED


@pytest.mark.e2e
@pytest.mark.parametrize("sdk", HEEDLESS)
def test_servers_of_older_revisions_execute_nothing_that_headers_settle(
    sdk: str, some: list[Decided], tmp_path: Path
) -> None:
    """They refuse the version, so `header_only` permits nothing there; but see below."""
    assert run(started(sdk, tmp_path), some) == ([], 0)


@pytest.mark.e2e
@pytest.mark.parametrize("sdk", OPENING)
def test_some_servers_of_older_revisions_open_sessions_whatever_the_headers_say(sdk: str, tmp_path: Path) -> None:
    """Why `header_only` is not for them: their `initialize` comes through under the name of another method."""
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).encode()
    with started(sdk, tmp_path) as server:
        assert server.send(0, EXACT, Sent(lines=(*LYING, ("mcp-protocol-version", MODERN)), body=body)) == 200


@pytest.mark.e2e
@pytest.mark.parametrize("sdk", VERIFYING)
def test_without_the_version_servers_go_by_the_body(sdk: str, tmp_path: Path) -> None:
    """Else the comparison above would show nothing, and any version would do."""
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"admin"}}'
    with started(sdk, tmp_path) as server:
        for number, lines in enumerate((LYING, (*LYING, ("mcp-protocol-version", "2025-11-25")))):
            request, sent = message_of(lines, body)
            assert isinstance(read_operation(without_body(request), SETTLED_METHODS), Unreadable)
            server.send(number, NAMED, sent)
    assert [execution.names for execution in server.executions()] == [("admin",), ("admin",)]


@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("sdk", VERIFYING)
def test_servers_of_2026_07_28_execute_what_the_headers_say_at_length(
    sdk: str, many: list[Decided], tmp_path: Path
) -> None:
    assert run(started(sdk, tmp_path), many)[0][:SHOWN] == []
