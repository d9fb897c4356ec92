"""Every case of the corpus through the check procedure: the verdict, and the reason by which it comes about."""

from functools import cache

import pytest

from extauthz.attack.case import BOTH_ERAS, Attempt, Expected, SessionUse, attempts
from extauthz.attack.compose import compose
from extauthz.attack.corpus import load_corpus
from extauthz.attack.target import Values
from tests.attacks.deciding import RULES_WITHOUT_DENIAL, SESSION, TARGET, check_request, values, world
from tests.support.world import mint

ATTEMPTS = [attempt for attempt in attempts(load_corpus(), frozenset(BOTH_ERAS)) if attempt.case.reason != "proxy"]


@cache
def run_values() -> Values:
    return values()


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.id)
def test_each_case_has_the_verdict_and_the_reason_that_it_names(attempt: Attempt) -> None:
    procedure = world()
    session = "" if attempt.case.request.session is SessionUse.NONE else SESSION
    if "tokens/other-user-session" in attempt.id:
        opened = compose(
            next(one for one in ATTEMPTS if one.id == "controls/call/legacy"), TARGET, run_values(), session
        )
        assert procedure.ask(check_request(opened)).allowed
    answer = procedure.ask(check_request(compose(attempt, TARGET, run_values(), session)))
    assert (attempt.case.reason, attempt.case.expected is Expected.ALLOW) == (
        answer.reason,
        answer.allowed or answer.status == 204,
    )
    if attempt.case.expected is Expected.REFUSE:
        assert answer.status in attempt.case.statuses


def test_each_forbidden_call_would_be_permitted_if_only_the_policy_said_so() -> None:
    """Else the cases about it would be refused for another reason than the one they are there for."""
    procedure = world()
    permitted = Values(tool="get_forecast", arguments='{"city": "Rome"}', forbidden="get_station", token=mint())
    forbidden = next(one for one in ATTEMPTS if one.id == "targets/forbidden/modern")
    assert procedure.ask(check_request(compose(forbidden, TARGET, permitted))).reason == "allowed"


RESPELT = [one for one in ATTEMPTS if one.case.group == "uris" and one.case.reason == "policy_denied"]


@pytest.mark.parametrize("attempt", RESPELT, ids=lambda attempt: attempt.id)
def test_each_respelt_uri_would_be_permitted_if_no_rule_denied_it(attempt: Attempt) -> None:
    """Else these cases would be refused for how they look, and say nothing about rules."""
    answer = world(RULES_WITHOUT_DENIAL).ask(check_request(compose(attempt, TARGET, run_values(), SESSION)))
    assert answer.reason == "allowed"
