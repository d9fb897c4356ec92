"""What the processes tell each other of a token: that it was found valid by its issuer.

Valid means that its signature was verified with the issuer's keys and that, where the issuer has introspection, the
issuer said that the token is active. The statement holds no claim, scope or subject. Its reader holds the token
already, and judges the claims itself, at its own time: so the statement spares the signature check and the
introspection, and nothing else.
"""

from typing import Final, TypeAlias

from extauthz.service.asking import Asking
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.cache.statement import Statement, find_statement, leave_statement, store_key
from extauthz.service.call import Moment
from extauthz.service.needs import Write

TokenKey: TypeAlias = tuple[str, str, bytes]
"""Policy revision, resource and digest of the token: what is found out about a token is kept under this."""

KIND: Final = "token"
VALID: Final = "valid"


def stored_token_key(key: TokenKey) -> str:
    """The store's key: the policy's revision holds the terms of the issuer, the digest is that of the whole token."""
    return store_key(KIND, *key)


def find_valid(key: str, signer: Signer, moment: Moment) -> Asking[int | None]:
    """Until when (Unix seconds) the store has the token as valid; None when it says nothing."""
    return valid_until((yield from find_statement(key, signer, moment)))


def valid_until(statement: Statement | None) -> int | None:
    """What a statement of this kind says."""
    if statement is None or statement.words != (VALID,):  # guard: stored-valid
        return None
    return statement.until


def leave_valid(key: str, until: float, signer: Signer, now: float) -> tuple[Write, ...]:
    """Tell the other processes that the token was found valid, until then at the latest."""
    return leave_statement(key, (VALID,), until, signer, now)
