"""Revocations for tests: about alice of `tests.support.tokens`, in force at its `NOW`.

revocation()                                    everything of the subject that was issued until NOW
revocation(by=RevokedBy.JTI, value="j1")        any field can be another
revocation(by=RevokedBy.TOKEN, value=…)         a digest has no issuer
"""

import itertools
from typing import Any

from extauthz.pdp.revocation.revocation import DEFAULT_LIFE_S, Revocation, RevokedBy
from tests.support.tokens import ISSUER, NOW, SUBJECT

_numbers = itertools.count(1)


def revocation(**fields: Any) -> Revocation:
    by = fields.get("by", RevokedBy.SUBJECT)
    ordinary = {
        "id": f"revocation-{next(_numbers)}",
        "by": by,
        "issuer": "" if by is RevokedBy.TOKEN else ISSUER,
        "value": SUBJECT,
        "before": 0 if by in (RevokedBy.TOKEN, RevokedBy.JTI) else NOW,
        "until": NOW + DEFAULT_LIFE_S,
        "source": "admin",
    }
    return Revocation(**(ordinary | fields))
