from extauthz.pdp.reason import Reason
from extauthz.pdp.token.token_fault import TokenFault


def test_faults_are_equal_by_what_they_say() -> None:
    assert TokenFault(Reason.TOKEN_EXPIRED, "a") == TokenFault(Reason.TOKEN_EXPIRED, "a")
    assert TokenFault(Reason.TOKEN_EXPIRED, "a") != TokenFault(Reason.TOKEN_ISSUER, "a")
