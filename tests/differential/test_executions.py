"""Whatever is let through, each real server executes exactly the operation that was read, or nothing.

The servers are the official SDKs' (`servers/`), with handlers that only record. There is no list of exceptions.
"""

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, TypeVar

import pytest
from pydantic import AnyUrl, TypeAdapter, ValidationError

from extauthz.pdp.mcp.read import read_operation
from extauthz.pdp.operation import MessageKind, Operation, Unreadable
from extauthz.pdp.request import HttpRequest
from extauthz.pdp.uri.uris import uri_fault
from tests.differential.attack_cases import attack_messages
from tests.differential.environments import COMMANDS
from tests.differential.grammar import mutated, mutated_uri, near
from tests.differential.recording import EXACT, NAMED, Execution, RecordingServer, Sent
from tests.e2e.client_environments import UnavailableError

Made = TypeVar("Made")

# One message in this many goes to the server with named things, the others to the one that takes any name.
NAMED_EVERY = 3
# Messages generated; about a third of them is let through, and each server is sent all of these.
MESSAGES = 64_000
LONG_MESSAGES = int(os.environ.get("EXTAUTHZ_DIFFERENTIAL_MESSAGES", "256000"))
LEAST_SENT = 20_000
# The grammar is slow and the mutations are quick: so many of each message.
MUTATIONS_OF_EACH = 16
ATTACKS_OF_EACH, LONG_ATTACKS_OF_EACH = 20, 120
URIS = 40_000
SHOWN = 20
# The slowest server takes half a minute on an idle core.
WITHIN_S, LONG_WITHIN_S = 600, 3600
PLAIN = {"content-type": "application/json"}


def generated(count: int, number: int) -> list[tuple[Operation, Sent]]:
    """The messages that are let through, of `count`; `number` seeds."""
    random = Random(number)
    trees = near(-(-count // MUTATIONS_OF_EACH), number)
    return permitted_of([mutated(each, random) for each in trees for _ in range(MUTATIONS_OF_EACH)])


def permitted_of(requests: list[tuple[HttpRequest, Sent]]) -> list[tuple[Operation, Sent]]:
    """The messages that are let through, with the operation that was read."""
    read = [(read_operation(request), sent) for request, sent in requests]
    return [
        (outcome, replace(sent, endless=outcome.method == "subscriptions/listen"))
        for outcome, sent in read
        if isinstance(outcome, Operation)
    ]


def canonical(value: Any) -> str:
    """JSON values with numbers as doubles, so that 1 and 1.0 are the same and 1 and true are not."""

    def numbers(inner: Any) -> Any:
        match inner:
            case dict():
                return {name: numbers(each) for name, each in inner.items()}
            case list():
                return [numbers(each) for each in inner]
            case int() if not isinstance(inner, bool):
                return float(inner) + 0.0
            case float():
                return inner + 0.0
            case _:
                return inner

    return json.dumps(numbers(value), sort_keys=True)


def fault(operation: Operation, execution: Execution) -> str:
    """How an execution is not the operation; empty when it is."""
    if operation.kind is MessageKind.RESPONSE:
        return "a response was executed"
    if execution.method != operation.method:
        return f"method {execution.method!r} instead of {operation.method!r}"
    if execution.names not in honoured(operation):
        return f"names {execution.names!r} instead of {[target.name for target in operation.targets]!r}"
    if (
        execution.arguments is not None
        and operation.arguments_exact
        and canonical(execution.arguments) != canonical(dict(operation.arguments))
    ):
        return "other arguments"
    return ""


def honoured(operation: Operation) -> list[tuple[str, ...]]:
    """What an operation can be executed with: all that it names.

    `subscriptions/listen` asks for the kinds of notifications that the server supports, and it acknowledges which (MCP
    2026-07-28, `SubscriptionsAcknowledgedNotification`): whole kinds may be missing, tasks where an SDK has none.
    """
    kinds = {target.kind for target in operation.targets}
    listens = operation.method == "subscriptions/listen"
    missing = [set(), *({kind} for kind in kinds), kinds] if listens else [set()]
    return [tuple(target.name for target in operation.targets if target.kind not in kinds) for kinds in missing]


# What the servers are known to make of messages that are refused: the record must show it, or it would show nothing.
SMUGGLED = {
    "Python 2.x": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_forecast","name":"admin"}}',
    "Python 1.30.0": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_forecast","name":"admin"}}',
    "TypeScript 2.4.0": b'[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"admin"}}]',
    "TypeScript 1.32.2": b'[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"admin"}}]',
    "Go 1.8.0": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_forecast","name":"admin"}}',
    "Go 1.3.0": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_forecast","Name":"admin"}}',
}


def compare(server: RecordingServer, permitted: list[tuple[Operation, Sent]]) -> list[str]:
    """What a server executed otherwise than we read it."""
    faults = []
    times: Counter[str] = Counter()
    for execution in server.executions():
        times[execution.message] += 1
        number = int(execution.message) if execution.message.isdecimal() else -1
        if not 0 <= number < len(permitted):
            faults.append(f"{server.sdk}: executed {execution} for no message that was sent")
            continue
        operation, sent = permitted[number]
        found = fault(operation, execution) or ("executed twice" if times[execution.message] > 1 else "")
        if found:
            faults.append(f"{server.sdk}: {found}\n  {sent.lines}\n  {sent.body!r}\n  {execution}")
    return faults


def parsed(parser: TypeAdapter[AnyUrl], uri: str) -> str | None:
    """A URI as the parser writes it; None when it refuses."""
    try:
        return str(parser.validate_python(uri))
    except ValidationError:
        return None


def started(sdk: str, folder: Path) -> RecordingServer:
    """A server with this SDK."""
    return RecordingServer(sdk, unless_missing(sdk, COMMANDS[sdk]), folder)


def unless_missing(what: str, make: Callable[[], Made]) -> Made:
    """A program of the environments. Where it cannot be had, the test is skipped; in CI it must be there."""
    try:
        return make()
    except UnavailableError as error:
        if os.environ.get("CI"):
            pytest.fail(f"{what} is not there, and in CI it must be: {error}")
        pytest.skip(f"{what}: {error}")


def run(server: RecordingServer, permitted: list[tuple[Operation, Sent]]) -> list[str]:
    """Send everything, and say what was executed otherwise than read."""
    with server:
        for number, (_, sent) in enumerate(permitted):
            server.send(number, NAMED if number % NAMED_EVERY == 0 else EXACT, sent)
        assert server.program.alive(), server.program.tail()
    executed = Counter(execution.method for execution in server.executions())
    print(f"{server.sdk}: {len(permitted)} permitted, {executed.total()} executed: {dict(executed.most_common())}")
    return compare(server, permitted)


@pytest.fixture(scope="module")
def many() -> list[tuple[Operation, Sent]]:
    """Messages of the grammar and of the attack corpus, the same each time."""
    return generated(MESSAGES, number=1) + permitted_of(attack_messages(Random(1), ATTACKS_OF_EACH))


@pytest.fixture(scope="module")
def many_more() -> list[tuple[Operation, Sent]]:
    """Others each time; EXTAUTHZ_DIFFERENTIAL_SEED says which."""
    number = int(os.environ.get("EXTAUTHZ_DIFFERENTIAL_SEED") or SystemRandom().randrange(2**32))
    permitted = generated(LONG_MESSAGES, number)
    attacks = attack_messages(Random(number), LONG_ATTACKS_OF_EACH)
    print(f"seed {number}: {LONG_MESSAGES} of the grammar, {len(attacks)} changed attacks")
    return permitted + permitted_of(attacks)


@pytest.mark.e2e
@pytest.mark.timeout(WITHIN_S)
@pytest.mark.parametrize("sdk", COMMANDS)
def test_each_server_executes_what_was_read(sdk: str, many: list[tuple[Operation, Sent]], tmp_path: Path) -> None:
    server = started(sdk, tmp_path)
    assert len(many) >= LEAST_SENT
    assert run(server, many)[:SHOWN] == []
    executed = {execution.method for execution in server.executions()}
    assert executed >= {"tools/call", "prompts/get", "resources/read", "completion/complete"}


def test_uris_that_are_let_through_are_not_rewritten_by_the_parser_of_the_python_sdk() -> None:
    """Many more than a server can be sent: pydantic's `AnyUrl` is what the Python SDK 1.x reads URIs with."""
    random, parser = Random(1), TypeAdapter(AnyUrl)
    taken = [uri for uri in (mutated_uri(random) for _ in range(URIS)) if uri and not uri_fault(uri)]
    assert len(taken) > URIS / 20
    assert [(uri, read) for uri in taken if (read := parsed(parser, uri)) not in (uri, None)] == []


@pytest.mark.e2e
@pytest.mark.parametrize("sdk", COMMANDS)
def test_the_record_shows_what_is_smuggled_past_a_lenient_reader(sdk: str, tmp_path: Path) -> None:
    """Else an empty list of faults would say nothing."""
    body = SMUGGLED[sdk]
    request = HttpRequest(method="POST", scheme="https", authority="h", path="/mcp", headers=PLAIN, body=body)
    assert isinstance(read_operation(request), Unreadable)
    with started(sdk, tmp_path) as server:
        server.send(0, NAMED, Sent(lines=tuple(PLAIN.items()), body=body))
    assert [execution.names for execution in server.executions()] == [("admin",)]


@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.timeout(LONG_WITHIN_S)
@pytest.mark.parametrize("sdk", COMMANDS)
def test_each_server_executes_what_was_read_at_length(
    sdk: str, many_more: list[tuple[Operation, Sent]], tmp_path: Path
) -> None:
    assert run(started(sdk, tmp_path), many_more)[:SHOWN] == []
