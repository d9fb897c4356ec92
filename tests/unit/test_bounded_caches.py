"""Nothing that a caller chooses fills the memory of the process, whichever cache it lands in.

`functools.lru_cache` bounds entries and not bytes, and keeps its keys. So every use is listed here with the reason why
its keys cannot be large; a new use, and a reason for one that is gone, fail. What the reasons say is then tried: floods
of invented names through the functions that remember.
"""

import ast
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

import extauthz
from extauthz.adapters.telemetry.audit import line
from extauthz.adapters.telemetry.labels import LabelBounds
from extauthz.adapters.telemetry.observer import MAX_RECENT, TelemetryObserver
from extauthz.adapters.telemetry.recorder import MAX_PENDING, Recorder
from extauthz.adapters.telemetry.tally import Tally
from extauthz.pdp.answer.verdict import Forward
from extauthz.pdp.operation import Target, TargetKind
from extauthz.pdp.reason import Outcome, Reason
from extauthz.pdp.token.base64url import encode_base64url
from extauthz.pdp.token.jose import read_jws
from extauthz.service.call import Call
from extauthz.service.check.codec import encode
from extauthz.service.details import MAX_TOLD_CHARS, MAX_TOLD_NAMES_CHARS, MAX_TOLD_TARGETS, told_targets
from tests.support import tokens
from tests.support.checks import check_request, message
from tests.support.decided import ALICE, decided
from tests.support.policies import policy, rule
from tests.support.world import World, weather

PACKAGE: Final = Path(extauthz.__file__).parent
MIB: Final = 1024 * 1024

ALLOWED: Final = {
    "pdp/token/jose.py:_remembered_header": "256 entries; only parts of up to 512 bytes are looked up",
    "service/check/codec.py:_kept_identity_part": "4,096 entries; identities of up to 1,024 characters, and none of "
    "the client's header names",
    "adapters/telemetry/audit.py:_kept_who_text": "4,096 entries; `_may_be_kept`: 512 printable ASCII characters",
    "adapters/telemetry/audit.py:_kept_why_text": "as _kept_who_text",
    "adapters/telemetry/audit.py:_kept_what_text": "as _kept_who_text, and at most 4 targets",
    "adapters/cel/standard.py:_program": "functions of the language and types of its values: some hundred pairs",
    "adapters/telemetry/audit.py:_second": "8 entries, by the second",
}
"""Memos whose function takes arguments, and why their keys are small. Those of functions without any are one value."""

_MEMOS: Final = frozenset({"lru_cache", "cache", "cached_property"})


def _names(tree: ast.Module) -> tuple[dict[str, str], set[str]]:
    """What `functools`' memos are called in a module, and what the module itself is called there."""
    names: dict[str, str] = {}
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "functools":
            names |= {one.asname or one.name: one.name for one in node.names if one.name in _MEMOS}
        if isinstance(node, ast.Import):
            modules |= {one.asname or one.name for one in node.names if one.name == "functools"}
    return names, modules


def _is_memo(node: ast.AST, names: dict[str, str], modules: set[str]) -> bool:
    if isinstance(node, ast.Call):
        return _is_memo(node.func, names, modules)
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name) and node.value.id in modules and node.attr in _MEMOS
    return isinstance(node, ast.Name) and node.id in names


def memos(source: str) -> Iterator[tuple[str, bool]]:
    """The name of each memo in a module, and whether its function takes arguments."""
    tree = ast.parse(source)
    names, modules = _names(tree)
    claimed: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if _is_memo(decorator, names, modules):
                    claimed |= {id(one) for one in ast.walk(decorator)}
                    every = node.args
                    taken = [*every.posonlyargs, *every.args, *every.kwonlyargs, every.vararg, every.kwarg]
                    yield node.name, any(one is not None for one in taken)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if _is_memo(node.value, names, modules) and isinstance(target, ast.Name):
                claimed |= {id(one) for one in ast.walk(node.value)}
                yield target.id, True
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and id(node) not in claimed and _is_memo(node, names, modules):
            yield f"line {node.lineno}", True


def test_every_memo_of_a_function_with_arguments_is_listed_with_its_reason() -> None:
    found = {
        f"{file.relative_to(PACKAGE)}:{name}"
        for file in sorted(PACKAGE.rglob("*.py"))
        for name, takes_arguments in memos(file.read_text())
        if takes_arguments
    }
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from functools import lru_cache\n@lru_cache(5)\ndef f(a): ...", [("f", True)]),
        ("from functools import lru_cache\n@lru_cache\ndef f(*, a): ...", [("f", True)]),
        ("from functools import cache as c\n@c\ndef f(*a): ...", [("f", True)]),
        ("import functools\n@functools.lru_cache(maxsize=None)\ndef f(**a): ...", [("f", True)]),
        ("import functools as ft\nclass A:\n  @ft.cache\n  def f(self): ...", [("f", True)]),
        ("from functools import cached_property\nclass A:\n  @cached_property\n  def f(self): ...", [("f", True)]),
        ("from functools import cache\n@cache\nasync def f(a): ...", [("f", True)]),
        ("from functools import lru_cache\ng = lru_cache(maxsize=1)(f)", [("g", True)]),
        ("from functools import cache\ng: int = cache(f)", [("g", True)]),
        ("from functools import cache\nuse(cache(f))", [("line 2", True)]),
        ("import functools\nd = {'x': functools.lru_cache(f)}", [("line 2", True)]),
        ("from functools import cache\n@cache\ndef f(): ...", [("f", False)]),
        ("from functools import partial\n@partial\ndef f(a): ...", []),
        ("cache = {}\ndef f(a): return cache[a]", []),
    ],
)
def test_every_way_to_write_one_is_found(source: str, expected: list[tuple[str, bool]]) -> None:
    assert list(memos(source)) == expected


# --- floods ------------------------------------------------------------------------------------------------------

FLOOD: Final = 10_000
TOKEN: Final = tokens.mint({"scope": "weather:read"})


def grown(feed: Callable[[int], object], count: int = FLOOD) -> int:
    """Bytes that stay after invented input was fed `count` times."""
    feed(-1)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            feed(number)
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def invented(number: int, chars: int) -> str:
    return f"{number:08}" + "n" * (chars - 8)


def targets(number: int, count: int, chars: int) -> tuple[Target, ...]:
    return tuple(Target(TargetKind.RESOURCE, f"{number}-{index}-" + "u" * chars) for index in range(count))


@pytest.mark.parametrize(
    "fields",
    [
        lambda number: {"targets": targets(number, 4, 100)},
        lambda number: {"targets": targets(number, 4, 2_000)},
        lambda number: {"targets": targets(number, 5, 10)},
        lambda number: {"method": invented(number, 256)},
        lambda number: {"detail": invented(number, 100), "outcome": Outcome.DENY},
        lambda number: {"detail": invented(number, 50_000), "outcome": Outcome.DENY},
        lambda number: {"protocol_version": invented(number, 20_000)},
        lambda number: {"principal": replace(ALICE, subject=invented(number, 5_000))},
        lambda number: {"principal": replace(ALICE, roles=frozenset({invented(number, 5_000)}))},
    ],
)
def test_audit_lines_keep_little_of_what_callers_choose(fields: Callable[[int], dict[str, object]]) -> None:
    assert grown(lambda number: line(decided(**fields(number))), 6_000) < 10 * MIB


@pytest.mark.parametrize("chars", [20, 400, 20_000])
def test_answers_keep_none_of_the_clients_header_names(chars: int) -> None:
    def feed(number: int) -> None:
        removed = (f"x-auth-{invented(number, chars)}", "authorization")
        encode(Forward(identity=(("x-auth-subject", "u1"),), decision=("d", "1"), remove_headers=removed), {})

    assert grown(feed) < 64 * 1024


@pytest.mark.parametrize("chars", [20, 1_000, 20_000])
def test_answers_keep_a_bounded_part_of_identities(chars: int) -> None:
    def feed(number: int) -> None:
        identity = (("x-auth-subject", invented(number, chars)),)
        encode(Forward(identity=identity, decision=("d", "1"), remove_headers=("authorization",)), {})

    assert grown(feed) < 14 * MIB


@pytest.mark.parametrize("chars", [20, 200, 5_000])
def test_token_headers_are_kept_up_to_a_bound(chars: int) -> None:
    def feed(number: int) -> None:
        header = encode_base64url(f'{{"alg":"RS256","kid":"{invented(number, chars)}"}}'.encode())
        read_jws(header + b".e30.AAAA")

    assert grown(feed) < MIB


def test_counts_know_only_names_of_the_policy() -> None:
    tally = Tally(LabelBounds.of(policy(weather(rules=(rule(["tools/call"], tools=["get_*", "known"]),))), frozenset()))
    for number in range(FLOOD):
        name = invented(number, 40)
        tally.checked(decided(resource=name, method=name, targets=targets(number, 1, 40), protocol_version=name))
        tally.checked(decided(targets=(Target(TargetKind.TOOL, name),), detail=name, request_id=name, rule=name))
    counts = tally.counts()
    assert len(counts.checks) <= 3
    assert len(counts.durations) == 1


def asked(number: int, count: int, chars: int) -> bytes:
    """A request that names as much as the reader lets through."""
    params = {
        "notifications": {"resourceSubscriptions": [target.name for target in targets(number, count, chars)]},
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"},
    }
    body = message("subscriptions/listen", params, request_id=invented(number, 200))
    headers = {"mcp-protocol-version": "2026-07-28", "mcp-method": "subscriptions/listen"}
    return check_request(body, token=TOKEN, headers=headers)


def test_observers_are_told_little_of_a_large_request() -> None:
    world = World()
    large = asked(1, 8, 8_000)
    checked = world.check(large)
    details = checked.details(Call(0, None, "t" * 10_000, "s" * 10_000), 1)
    assert len(large) > 64_000
    assert details.reason is Reason.OPERATION_UNCOVERED
    assert details.shortened
    assert [len(target.name) for target in details.targets] == [MAX_TOLD_CHARS, MAX_TOLD_NAMES_CHARS - MAX_TOLD_CHARS]
    assert '"shortened":true' in line(details).decode()
    assert len(details.traceparent) <= MAX_TOLD_CHARS
    assert details.tracestate == ""
    texts = [details.detail, details.method, details.protocol_version, str(details.request_id)]
    assert all(len(text) <= MAX_TOLD_CHARS for text in texts)


@pytest.mark.parametrize(
    ("count", "chars", "kept"),
    [(1, 10, 1), (1, 500, 1), (32, 20, 32), (33, 20, 32), (33, 2, 32), (2, 600, 2), (3, 600, 2), (256, 8_000, 2)],
)
def test_targets_are_told_up_to_a_bound_and_what_was_left_out_is_said(count: int, chars: int, kept: int) -> None:
    named = targets(1, count, chars)
    made = told_targets(named)
    assert len(made) == kept <= MAX_TOLD_TARGETS
    assert sum(len(target.name) for target in made) <= MAX_TOLD_NAMES_CHARS
    assert all(full.name.startswith(cut.name) for full, cut in zip(named, made, strict=False))
    assert (made is named) == (count * chars < 800 and count <= MAX_TOLD_TARGETS)


def test_a_full_queue_and_the_status_page_hold_a_bounded_amount() -> None:
    """The recorder's thread is not started: nothing empties the queue."""
    world = World()
    lost: list[int] = []
    recorder = Recorder(write=lambda _: None, finish=lambda: None, lost=lost.append)
    observer = TelemetryObserver(Tally(LabelBounds.of(world.policy, frozenset())))
    observer.record_with(recorder, all_of=True, spans=None)

    def feed(number: int) -> None:
        details = world.check(asked(number, 8, 8_000)).details(Call(0), 1)
        assert details.shortened
        world.shared_state.caches.decisions.clear()
        observer.checked(details)

    assert grown(feed, 100) < 100 * 5_000
    assert len(observer.recent()) == MAX_RECENT
    told = decided()
    for _ in range(MAX_PENDING + 10):
        recorder.add(told)
    assert sum(lost) >= 10


def test_decisions_are_counted_with_the_names_that_they_are_kept_under() -> None:
    """A target takes more than the characters of its name."""
    world = World()

    def feed(number: int) -> None:
        world.check(asked(number, 200, 2))

    stays = grown(feed, 100)
    decisions = world.shared_state.caches.decisions
    assert len(decisions) >= 100
    assert 0.8 * decisions.size_bytes <= stays <= 1.1 * decisions.size_bytes
