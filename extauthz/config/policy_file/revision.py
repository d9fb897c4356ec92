"""The revision of a policy: a digest of what the file means, equal for files that decide alike."""

import json
from hashlib import sha256
from typing import Any, Final

from extauthz.config.policy_file.policy_schema import PolicyShape

# Hex digits. 64 bits tell the revisions of one fleet apart; nobody gains by a collision that only a policy author
# could make.
REVISION_DIGITS: Final = 16

# Goes into the digest, so that a release that reads the same file in another way has revisions of its own.
_MEANING: Final = "extauthz-policy-1"


def revision_of(shape: PolicyShape) -> str:
    """Digest of every key that has a say in decisions or answers, defaults written out.

    Comments, layout, the order of keys, and where secrets come from make no difference; the order of lists does,
    because challenges and ties follow it.
    """
    meaning: dict[str, Any] = shape.model_dump(
        mode="json",
        exclude={"issuers": {"__all__": {"introspection": {"client_secret_file", "client_secret_env"}}}},
    )
    text = json.dumps([_MEANING, meaning], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()[:REVISION_DIGITS]
