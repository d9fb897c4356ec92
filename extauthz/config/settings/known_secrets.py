"""Every secret that a process may know, for cutting them out of what leaves it (`pdp.redaction`)."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from extauthz.config.settings.secret import MAX_SECRET_BYTES
from extauthz.config.settings.variables import SECRET_VARIABLES
from extauthz.files import read_regular_file
from extauthz.pdp.policy import Policy

_USER_INFORMATION: Final = re.compile(r"://[^/?#@]*?:([^/?#]*)@")
_IN_QUERY: Final = re.compile(r"[?&](?:sentinel_)?password=([^&#]*)")


def environment_secrets(env: Mapping[str, str]) -> Iterator[str]:
    """Those of our own variables, and of the files that they name. Raises nothing: what is wrong, others tell."""
    for name in SECRET_VARIABLES:
        yield from _several(env.get(name, ""))
        file = env.get(f"{name}_FILE", "").strip()
        content = read_regular_file(Path(file), MAX_SECRET_BYTES) if file else b""
        if isinstance(content, bytes):
            yield from _several(content.decode("utf-8", "replace"))
    url = env.get("EXTAUTHZ_REDIS_URL", "")
    for found in (*_USER_INFORMATION.findall(url), *_IN_QUERY.findall(url)):
        yield found
        yield unquote(found)


def policy_secrets(policy: Policy) -> Iterator[str]:
    """Those that a policy names, and holds once it was read."""
    for issuer in policy.issuers.values():
        if issuer.introspection is not None:
            yield issuer.introspection.client_secret


def _several(text: str) -> Iterator[str]:
    """The whole, which a password is, and its parts, which rotated secrets are."""
    yield text.strip("\r\n")
    yield text.strip()
    for part in re.split(r"[,\n]", text):
        yield part.strip()
