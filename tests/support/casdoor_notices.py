"""What Casdoor sends beside logout tokens, in the form that its source gives it (object/notification.go, record.go)."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any, Final

from tests.support.tokens import NOW, SUBJECT

SSO_SECRET: Final = "0123456789abcdef0123456789abcdef01234567"
WEBHOOK_SECRET: Final = "webhook-secret-of-tests-0123456789"
HASHES: Final = ("a" * 64, "b" * 64)


def sso_logout(*, secret: str = SSO_SECRET, **members: Any) -> dict[str, Any]:
    """A notification, signed as `generateLogoutSignature` does; a `signature` that is given stays."""
    notice = {
        "owner": "acme",
        "name": "alice",
        "displayName": "Alice Liddell",
        "email": "alice@acme.test",
        "phone": "4155550100",
        "id": SUBJECT,
        "event": "sso-logout",
        "sessionIds": ["8cae5b9a567780780584e3aad7f1c9e1"],
        "accessTokenHashes": list(HASHES),
        "nonce": "5f6d1d3c-8d0e-4b52-9f39-0a7c5b2a1e11",
        "timestamp": NOW,
        **members,
    }
    sessions, hashes = (",".join(map(str, notice[name] or [])) for name in ("sessionIds", "accessTokenHashes"))
    head = "|".join(str(notice[name]) for name in ("owner", "name", "nonce", "timestamp"))
    signature = hmac.new(secret.encode(), f"{head}|{sessions}|{hashes}".encode(), hashlib.sha256).hexdigest()
    return {"signature": signature, **notice}


def record(action: str, *, posted: Any = "", at: float = NOW, **members: Any) -> dict[str, Any]:
    """The audit record of a request that succeeded, by the global admin unless `organization` and `user` say other."""
    return {
        "id": 4711,
        "owner": "built-in",
        "name": "0c9f7b0e-1c54-4b0e-9a53-2f9e3f1f9a10",
        "createdTime": datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds"),
        "organization": "built-in",
        "clientIp": "10.0.0.7",
        "user": "admin",
        "method": "POST",
        "requestUri": f"/api/{action}",
        "action": action,
        "language": "en",
        "object": posted if isinstance(posted, str) else json.dumps(posted),
        "response": '{status:"ok", msg:""}',
        "statusCode": 200,
        "detail": "",
        "isTriggered": False,
        "extendedUser": None,
        **members,
    }
