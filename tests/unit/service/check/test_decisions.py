"""Decisions of step 6: what they are cached under, and what the store may say of them."""

from dataclasses import replace

import pytest

from extauthz.pdp.answer.caller import Caller
from extauthz.pdp.decision.decision import Deny, Permit
from extauthz.pdp.operation import Era, MessageKind, Operation, Target, TargetKind
from extauthz.pdp.policy import CacheTerms, Effect, Sharing
from extauthz.pdp.principal import VerifiedToken
from extauthz.pdp.reason import Reason
from extauthz.pdp.request import HttpRequest
from extauthz.service.asking import drive
from extauthz.service.cache.bounded_cache import BoundedCache
from extauthz.service.cache.keyed_lock import KeyedLock
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.cache.statement import Statement, leave_statement
from extauthz.service.call import Moment
from extauthz.service.check import decisions
from extauthz.service.check.decisions import (
    DecisionLookup,
    DecisionQuestion,
    decision_key,
    permit_of,
    stored_decision_key,
    words_of,
)
from extauthz.service.needs import Resolved
from extauthz.service.tokens.stored_token import TokenKey
from tests.support.policies import policy, resource, rule
from tests.unit.pdp.answer.test_caller import ALICE

READ, PURGE = rule(["tools/call"], tools=["get_*"]), rule(["tools/call"], tools=["purge"], effect=Effect.DENY)
WEATHER = resource((READ, PURGE))
TOKEN = VerifiedToken(principal=ALICE, issued_at=0, expires_at=1_000, token_id="", digests=(b"d" * 32,))
CALLER = Caller.of(TOKEN, WEATHER)
KEY: TokenKey = ("r", "w", b"d")


def operation(method: str = "tools/call", *names: str, **more: object) -> Operation:
    targets = tuple(Target(TargetKind.TOOL, name) for name in names)
    return Operation(kind=MessageKind.REQUEST, method=method, era=Era.MODERN, targets=targets)._replace(**more)


OPERATIONS = (
    operation("tools/call", "ab"),
    operation("tools/call", "a", "b"),
    operation("tools/call", "b", "a"),
    operation("tools/call"),
    operation("tools/cal", "lab"),
    operation("tools/call", "ab", era=Era.LEGACY),
    operation("tools/call", "ab", kind=MessageKind.NOTIFICATION),
    operation("tools/call", "ab", known=False),
    operation("tools/call", "ab", baseline=True),
    operation("tools/call", targets=(Target(TargetKind.PROMPT, "ab"),)),
)
TOKENS: tuple[TokenKey, ...] = (KEY, ("s", "w", b"d"), ("r", "x", b"d"), ("r", "w", b"e"), ("rw", "", b"d"))


def test_every_part_of_the_key_counts_in_memory_and_in_the_store_alike() -> None:
    keys = [decision_key(token, each) for token in TOKENS for each in OPERATIONS]
    assert len(set(keys)) == len(TOKENS) * len(OPERATIONS)
    assert len({stored_decision_key(key) for key in keys}) == len(keys)


def test_what_decides_nothing_is_in_no_key() -> None:
    """The id, the session and the arguments: a decision that reads these is cached nowhere."""
    one, other = operation("m", "x"), operation("m", "x", request_id=7, session_id="s", arguments={"a": 1})
    assert decision_key(KEY, one) == decision_key(KEY, other)


def test_another_version_finds_no_decision_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    key = decision_key(KEY, operation("m"))
    before = stored_decision_key(key)
    monkeypatch.setattr(decisions, "__version__", "99.0.0")
    assert stored_decision_key(key) != before


def permit(index: int | None) -> Permit:
    return Permit(principal=ALICE, rule=None if index is None else WEATHER.rules[index], cacheable=True)


@pytest.mark.parametrize("made", [permit(0), permit(None)])
def test_a_permit_is_read_as_the_one_that_was_written(made: Permit) -> None:
    assert permit_of(Statement(words_of(made), 100), WEATHER, CALLER) == made


@pytest.mark.parametrize(
    "words",
    [
        *((), ("allow",), ("allow", "0"), ("allow", None), ("allow", True), ("allow", 0.0), ("allow", 0, 0)),
        *(("deny", 0), ("indeterminate", 0), (True, 0), (1, 0), (0, "allow"), ("Allow", 0), (["allow"], 0)),
        *(("allow", 1), ("allow", 2), ("allow", -2), ("allow", 10**9)),
    ],
    ids=repr,
)
def test_nothing_else_is_read_as_a_permit(words: tuple[object, ...]) -> None:
    """Index 1 is the deny rule, 2 and the rest are no rules."""
    assert permit_of(Statement(words, 100), WEATHER, CALLER) is None


def test_a_statement_holds_no_claim_and_no_scope() -> None:
    assert words_of(permit(0)) == ("allow", 0)
    assert words_of(permit(None)) == ("allow", -1)


def test_the_permit_is_for_the_principal_that_the_reader_found_itself() -> None:
    other = Caller.of(replace(TOKEN, principal=replace(ALICE, subject="bob")), WEATHER)
    read = permit_of(Statement(("allow", 0), 100), WEATHER, other)
    assert read is not None
    assert read.principal.subject == "bob"


def refusal_read(words: tuple[object, ...], scopes: frozenset[str] = frozenset()) -> Permit | Deny:
    """What a process without the scope makes of a statement in the store."""
    caller = Caller.of(replace(TOKEN, principal=replace(ALICE, scopes=scopes)), WEATHER)
    key = decision_key(KEY, CALL)
    signer = Signer([b"s" * 32])
    (write,) = leave_statement(stored_decision_key(key), words, 900.0, signer, 0.0)  # type: ignore[arg-type]
    question = DecisionQuestion(
        key, policy(NEEDY, cache=CacheTerms(shared=Sharing.ALWAYS)), NEEDY, caller, CALL, REQUEST, Moment(0.0, None)
    )
    lookup = DecisionLookup(BoundedCache(10, 10_000), KeyedLock(), signer, lambda until, now: until)
    return drive(lookup.find(question), lambda need: Resolved(answer=write.value, now=0.0)).decision


NEEDY = resource((rule(["tools/call"], ["weather:read"], tools=["get_*"]),))
CALL = operation("tools/call", "get_x")
REQUEST = HttpRequest(method="POST", scheme="https", authority="mcp.example.com", path="/weather/mcp", headers={})


def test_a_refusal_is_stated_by_its_reason_and_read_with_the_readers_own_scopes() -> None:
    stated = words_of(Deny(reason=Reason.SCOPE_INSUFFICIENT, required=("weather:read",), missing=("weather:read",)))
    assert stated == ("deny", "scope_insufficient")
    read = refusal_read(stated)
    assert isinstance(read, Deny)
    assert (read.reason, read.missing) == (Reason.SCOPE_INSUFFICIENT, ("weather:read",))


@pytest.mark.parametrize(
    "words", [("deny", "policy_denied"), ("deny",), ("deny", 0), ("deny", "allowed"), ("allow", 9)]
)
def test_no_statement_refuses_otherwise_than_the_policy(words: tuple[object, ...]) -> None:
    read = refusal_read(words)
    assert isinstance(read, Deny)
    assert read.reason is Reason.SCOPE_INSUFFICIENT
    assert isinstance(refusal_read(words, frozenset({"weather:read"})), Permit)
