import pytest

from extauthz.pdp.decision.decision import Deny, Permit
from extauthz.pdp.operation import Era, MessageKind, Operation, Target, TargetKind
from extauthz.pdp.reason import Reason
from extauthz.service.tokens.stored_decision import decision_key, pack, vouched_until
from tests.support.policies import rule
from tests.unit.pdp.answer.test_caller import ALICE

PERMIT = Permit(principal=ALICE, rule=rule(["*"]), cacheable=True)
BY_BASELINE = Permit(principal=ALICE, rule=None, cacheable=True)
DENY = Deny(reason=Reason.POLICY_DENIED, rule=rule(["*"]))
DECISIONS = (PERMIT, BY_BASELINE, DENY, Deny(reason=Reason.SCOPE_INSUFFICIENT, rule=rule(["*"])))


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_statement_vouches_for_the_same_decision(decision: Permit | Deny) -> None:
    assert vouched_until(pack(decision, 100), decision) == 100


@pytest.mark.parametrize("stored", DECISIONS)
@pytest.mark.parametrize("made", DECISIONS)
def test_a_statement_vouches_for_no_other_decision(stored: Permit | Deny, made: Permit | Deny) -> None:
    assert (vouched_until(pack(stored, 100), made) is None) == (stored is not made)


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"{", b"null", b"[]", b"7", b'"x"', b'{"a":1}'),
        *(b'[1,"allow","allowed",-1]', b'[1,"allow","allowed",-1,"x"]'),
        *(b'["allow","allowed",-1,100]', b'[0,"allow","allowed",-1,100]', b'[2,"allow","allowed",-1,100]'),
        *(b'[true,"allow","allowed",-1,"100"]', b'[1,true,"allowed",-1,100]', b'[1,1,"allowed",-1,100]'),
    ],
)
def test_an_authentic_statement_of_another_version_vouches_for_nothing(payload: bytes) -> None:
    assert vouched_until(payload, BY_BASELINE) is None


def test_no_claim_stands_in_a_statement() -> None:
    assert pack(PERMIT, 100) == b'[1,"allow","allowed",0,100]'


def operation(method: str = "tools/call", *names: str, era: Era = Era.MODERN) -> Operation:
    targets = tuple(Target(TargetKind.TOOL, name) for name in names)
    return Operation(kind=MessageKind.REQUEST, method=method, era=era, targets=targets)


def test_every_part_of_the_key_counts_and_no_two_part_lists_collide() -> None:
    """Unframed concatenation would let a part end where another begins."""
    keys = {
        decision_key("r", "w", b"d", operation("tools/call", "ab")),
        decision_key("r", "w", b"d", operation("tools/call", "a", "b")),
        decision_key("r", "w", b"d", operation("tools/call")),
        decision_key("r", "w", b"d", operation("tools/call", "ab", era=Era.LEGACY)),
        decision_key("r", "w", b"d", operation("tools/cal", "lab")),
        decision_key("r", "w", b"e", operation("tools/call", "ab")),
        decision_key("r", "x", b"d", operation("tools/call", "ab")),
        decision_key("s", "w", b"d", operation("tools/call", "ab")),
        decision_key("rw", "", b"d", operation("tools/call", "ab")),
    }
    assert len(keys) == 9
