"""What a rule denies, no handler shows, however it is spelt: deny patterns against what real servers make of names.

The handlers record what they are given, decoded as the SDK decodes it, and as an author decodes it. Everything is sent,
also what is refused: the record then shows which spellings are the denied thing to which server, and no permitted one
may be among them.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random, SystemRandom

import pytest

from extauthz.pdp.decision.decide import decide
from extauthz.pdp.decision.decision import Permit
from extauthz.pdp.mcp.read import read_operation
from extauthz.pdp.operation import Operation
from extauthz.pdp.policy import Resource
from extauthz.pdp.request import HttpRequest
from tests.differential.environments import COMMANDS
from tests.differential.recording import NAMED, TEMPLATES, Execution, RecordingServer
from tests.differential.respelled import (
    DENIED,
    PUBLIC,
    Respelled,
    beyond_uris,
    contents,
    policy,
    principal,
    public_policy,
    respelled_names,
    respelled_uris,
    same_text,
)
from tests.differential.test_executions import SHOWN, started

URIS, NAMES = 1_500, 200
LONG_URIS = 60_000
LEAST_SHOWN = 100
"""Requests by which an unprotected server shows something denied: else nothing would be proved."""
WITHIN_S = 600


_PRINCIPAL = principal()


def is_permitted(request: HttpRequest, by: Resource) -> bool:
    operation = read_operation(request)
    return isinstance(operation, Operation) and isinstance(decide(by, _PRINCIPAL, operation, {}), Permit)


def is_denied(template: str, content: str) -> bool:
    return same_text(content) in DENIED[template]


def is_not_public(template: str, content: str) -> bool:
    inside = PUBLIC[template](content) and not {".", ".."} & set(content.replace("\\", "/").split("/"))
    return not inside


Wrong = Callable[[str, str], bool]


def shown(execution: Execution, wrong: Wrong) -> Iterator[str]:
    """The contents that handlers show which were executed so, and that nobody may see."""
    (template,) = execution.names
    for way in execution.arguments:
        for content in contents(template, way):
            if wrong(template, content):
                yield content


def attack(server: RecordingServer, path: str, attacks: list[Respelled]) -> None:
    with server:
        for number, each in enumerate(attacks):
            server.send(number, path, each.sent)
        assert server.program.alive(), server.program.tail()


def passed(sdk: str, folder: Path, attacks: list[Respelled], by: Resource, wrong: Wrong) -> list[str]:
    """The permitted requests by which a handler showed something that nobody may see."""
    server = started(sdk, folder)
    attack(server, TEMPLATES, attacks)
    found: list[str] = []
    templates: Counter[str] = Counter()
    for execution in server.executions():
        each = attacks[int(execution.message)]
        for content in shown(execution, wrong):
            templates[execution.names[0]] += 1
            if is_permitted(each.request, by):
                found.append(f"{sdk}: {each.named!r} shows {content!r} of {execution.names[0]}: {execution.arguments}")
    permitted = sum(is_permitted(each.request, by) for each in attacks)
    print(
        f"{sdk}: {len(attacks)} sent, {permitted} permitted, {templates.total()} shown that nobody may see: {templates}"
    )
    assert templates.total() >= LEAST_SHOWN
    return found


@pytest.mark.e2e
@pytest.mark.timeout(WITHIN_S)
@pytest.mark.parametrize("sdk", COMMANDS)
def test_no_handler_shows_what_a_rule_denies(sdk: str, tmp_path: Path) -> None:
    assert passed(sdk, tmp_path, respelled_uris(Random(1), URIS), policy(), is_denied)[:SHOWN] == []


@pytest.mark.e2e
@pytest.mark.timeout(WITHIN_S)
@pytest.mark.parametrize("sdk", COMMANDS)
def test_no_handler_shows_what_no_rule_permits(sdk: str, tmp_path: Path) -> None:
    """A star takes up any run of characters, but nothing by which a handler comes to another resource."""
    assert passed(sdk, tmp_path, beyond_uris(Random(1), URIS), public_policy(), is_not_public)[:SHOWN] == []


@pytest.mark.e2e
@pytest.mark.parametrize("sdk", COMMANDS)
def test_no_server_carries_out_a_denied_tool_or_prompt_under_another_name(sdk: str, tmp_path: Path) -> None:
    """Names are exact to every SDK, so that exact rules are enough for them."""
    attacks = respelled_names(Random(1), NAMES)
    server = started(sdk, tmp_path)
    attack(server, NAMED, attacks)
    carried_out = [
        (attacks[int(execution.message)].named, execution)
        for execution in server.executions()
        if execution.names == ("admin",)
    ]
    assert len(carried_out) >= 2
    assert [each for each in carried_out if is_permitted(attacks[int(each[1].message)].request, policy())] == []


@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.timeout(WITHIN_S * 6)
@pytest.mark.parametrize("sdk", COMMANDS)
def test_no_handler_shows_what_a_rule_denies_at_length(sdk: str, tmp_path: Path) -> None:
    number = int(os.environ.get("EXTAUTHZ_DIFFERENTIAL_SEED") or SystemRandom().randrange(2**32))
    print(f"seed {number}")
    assert passed(sdk, tmp_path, respelled_uris(Random(number), LONG_URIS), policy(), is_denied)[:SHOWN] == []
    (tmp_path / "public").mkdir()
    beyond = beyond_uris(Random(number), LONG_URIS)
    assert passed(sdk, tmp_path / "public", beyond, public_policy(), is_not_public)[:SHOWN] == []
