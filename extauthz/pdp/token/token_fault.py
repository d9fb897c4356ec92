"""Why a token was refused, as a value."""

from dataclasses import dataclass

from extauthz.pdp.reason import Reason


@dataclass(frozen=True, slots=True)
class TokenFault:
    """The first rule that a token breaks.

    `reason` is one of the `token_*` reasons. `detail` is one sentence for the operator: what is wrong and how to mend
    it. It may name the organization and the client that a *signed* token names, and nothing else that stands in one.
    """

    reason: Reason
    detail: str
