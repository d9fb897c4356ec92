"""Conditions read what servers read: where a handler gets what a deny rule is about, the rule is never passed.

The handlers are those of the Python SDK (pydantic, and JSON read out of texts) and of Go's `encoding/json`. What they
get is asked of them, not assumed; the calls are changed in all ways that some server is known to take as the same.
"""

import asyncio
import json
import os
import random
import subprocess
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from extauthz.pdp.policy import Truth
from tests.differential.environments import go_arguments
from tests.e2e.client_environments import UnavailableError
from tests.support.conditions import other_members, other_names, other_values, truth


class Denied(NamedTuple):
    """A member, its denied value, and conditions that hold for it."""

    member: str
    value: Any
    conditions: tuple[str, ...]

    def got(self, arguments: dict[str, Any] | None) -> bool:
        """Whether a handler acts on the denied value."""
        if arguments is None or self.member not in arguments:
            return False
        found = arguments[self.member]
        return type(found) is type(self.value) and bool(found == self.value)


DENIED: Final = (
    Denied(
        "force",
        True,
        ("args.force == true", "args.force != false", "!(args.force == false)", "args.force ? true : false"),
    ),
    Denied("force", False, ("args.force == false", "!args.force", "args.force in [false]")),
    Denied("dryrun", False, ("args.dryrun == false", "args['dryrun'] != true", "!has(args.dryrun) || !args.dryrun")),
    Denied(
        "account",
        666,
        ("args.account == 666", "args.account > 600", "args.account in [1, 666]", "args['account'] == 666"),
    ),
    Denied("account", 0, ("args.account == 0", "args.account < 1", "args.account != 1")),
    Denied(
        "account", 1, ("args.account == 1", "args.exists(k, k == 'account' && args[k] == 1)", "args.account % 2 == 1")
    ),
    Denied("quoted", 666, ("args.quoted == 666", "args.quoted + 1 == 667", "-args.quoted < 0")),
    Denied(
        "amount",
        1.5,
        ("args.amount == 1.5", "args.amount >= 1.5", "args.amount * 2.0 == 3.0", "args == {'amount': 1.5}"),
    ),
    Denied(
        "task",
        "disk",
        ("args.task == 'disk'", "args.task.startsWith('di')", "args.task.matches('^d')", "'task' in args"),
    ),
    Denied(
        "listed",
        [1, 2],
        ("args.listed == [1, 2]", "2 in args.listed", "args.listed.exists(x, x == 2)", "args.listed.size() == 2"),
    ),
    Denied(
        "listed",
        [],
        ("args.listed == []", "args.listed.size() == 0", "args.listed.all(x, x > 0)", "!(1 in args.listed)"),
    ),
    Denied("tags", ["disk"], ("'disk' in args.tags", "args.tags[0] == 'disk'", "args.tags.exists(x, x == 'disk')")),
    Denied(
        "options",
        {"disk": 1},
        ("args.options.disk == 1", "has(args.options.disk)", "args.options == {'disk': 1}", "'disk' in args.options"),
    ),
)


EACH: Final = pytest.mark.parametrize("denied", DENIED, ids=[f"{denied.member}={denied.value}" for denied in DENIED])


def changed_calls(denied: Denied, count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Arguments that some server may read as the denied ones: each change alone, and several at random."""
    plain: dict[str, Any] = {denied.member: denied.value}
    yield from (arguments for _, arguments in other_members(plain))
    draw = random.Random(seed)
    names = (denied.member, *other_names(denied.member))
    values = [denied.value, *other_values(denied.value), json.dumps(denied.value), f" {json.dumps(denied.value)} "]
    values += [None, "", 0, False, [], {}, "x", 7]
    for _ in range(count):
        chosen = [(draw.choice(names), draw.choice(values)) for _ in range(draw.randrange(1, 4))]
        yield {**dict(chosen), **({"memo": "x"} if draw.random() < 0.3 else {})}


def passed(denied: Denied, arguments: dict[str, Any]) -> list[str]:
    """Conditions of deny rules that do not catch these arguments."""
    return [text for text in denied.conditions if truth(text, arguments) is Truth.FALSE]


def judge(denied: Denied, calls: list[dict[str, Any]], got: list[dict[str, Any] | None]) -> None:
    """Whatever a handler got as denied is caught; and some of it was written otherwise, or nothing was proved."""
    acted = [arguments for arguments, read in zip(calls, got, strict=True) if denied.got(read)]
    assert [(arguments, texts) for arguments in acted if (texts := passed(denied, arguments))] == []
    assert any(arguments != {denied.member: denied.value} for arguments in acted) or denied.value in ("disk", ["disk"])


@EACH
def test_the_condition_holds_for_what_it_denies(denied: Denied) -> None:
    assert [truth(text, {denied.member: denied.value}) for text in denied.conditions] == [Truth.TRUE] * len(
        denied.conditions
    )


# --- Python ----------------------------------------------------------------------------------------------------------

TYPES: Final[dict[str, Any]] = {
    "force": bool,
    "dryrun": bool,
    "account": int,
    "quoted": int,
    "amount": float,
    "task": str,
    "listed": list[int],
    "tags": list[str],
    "options": dict[str, int],
}


def ask_python(denied: Denied, count: int, seed: int) -> None:
    """A server with one tool, which has one parameter."""
    calls = list(changed_calls(denied, count, seed))
    server, got = MCPServer("typed"), []
    namespace: dict[str, Any] = {"got": got, "Kind": TYPES[denied.member]}
    exec(f"async def tool({denied.member}: Kind = None) -> None: got.append({denied.member})", namespace)
    server.add_tool(namespace["tool"], name="tool")

    async def ask() -> list[dict[str, Any] | None]:
        answers: list[dict[str, Any] | None] = []
        for arguments in calls:
            got.clear()
            try:
                await server.call_tool("tool", arguments)
            except ToolError:
                answers.append(None)
            else:
                answers.append({denied.member: got[0]} if got else None)
        return answers

    judge(denied, calls, asyncio.run(ask()))


@EACH
def test_what_the_python_sdk_hands_over_as_denied_is_caught(denied: Denied) -> None:
    ask_python(denied, 60, 1)


@pytest.mark.long
@EACH
def test_what_the_python_sdk_hands_over_as_denied_is_caught_in_many_calls(denied: Denied) -> None:
    ask_python(denied, 5_000, 2)


# --- Go --------------------------------------------------------------------------------------------------------------


def ask_go(denied: Denied, count: int, seed: int) -> None:
    try:
        command = go_arguments()
    except UnavailableError as error:
        if os.environ.get("CI"):
            pytest.fail(f"Go is not there, and in CI it must be: {error}")
        pytest.skip(f"Go: {error}")
    calls = list(changed_calls(denied, count, seed))
    lines = "".join(json.dumps(arguments) + "\n" for arguments in calls)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True, timeout=60)
    judge(denied, calls, [json.loads(line) for line in done.stdout.splitlines()])


@EACH
def test_what_go_decodes_as_denied_is_caught(denied: Denied) -> None:
    ask_go(denied, 500, 1)


@pytest.mark.long
@EACH
def test_what_go_decodes_as_denied_is_caught_in_many_calls(denied: Denied) -> None:
    ask_go(denied, 50_000, 2)
