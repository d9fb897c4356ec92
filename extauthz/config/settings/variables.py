"""Which `EXTAUTHZ_*` variables there are, and which of the others somebody else has set.

A setting that is misspelt would silently be off, so an unknown one is a fault. Two kinds are not: what Kubernetes sets
in every container for a Service whose name begins with extauthz, of which `EXTAUTHZ_PORT` is told by its value
(`9001` is a slip, `tcp://10.0.0.1:9001` is Kubernetes); and what the policy names, such as a client secret.
"""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final

PREFIX: Final = "EXTAUTHZ_"

SECRET_VARIABLES: Final = (
    "EXTAUTHZ_REDIS_PASSWORD",
    "EXTAUTHZ_CACHE_SECRET",
    "EXTAUTHZ_ADMIN_TOKEN",
    "EXTAUTHZ_CASDOOR_SSO_SECRET",
    "EXTAUTHZ_CASDOOR_WEBHOOK_SECRET",
)
"""Each is there a second time with `_FILE` behind its name."""

KNOWN_VARIABLES: Final = (
    "EXTAUTHZ_POLICY",
    "EXTAUTHZ_SHADOW_POLICY",
    "EXTAUTHZ_LISTEN",
    "EXTAUTHZ_ADMIN_LISTEN",
    "EXTAUTHZ_WORKERS",
    "EXTAUTHZ_TRANSPORT",
    "EXTAUTHZ_REDIS_URL",
    *SECRET_VARIABLES,
    *(f"{name}_FILE" for name in SECRET_VARIABLES),
    "EXTAUTHZ_TLS_CERT",
    "EXTAUTHZ_TLS_KEY",
    "EXTAUTHZ_TLS_CLIENT_CA",
    "EXTAUTHZ_TLS_CLIENT_SAN",
    "EXTAUTHZ_FAST_PATH",
    "EXTAUTHZ_DEBUG",
)
"""Every variable of ours."""

_NEAR: Final = 0.8
"""How alike a misspelt variable is to the one that was meant (difflib ratio): one or two letters off."""

_KUBERNETES: Final = re.compile(
    rf"{PREFIX}(?:[A-Z0-9_]+?_)??"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_[0-9]{1,5}_(?:TCP|UDP|SCTP)_(?:ADDR|PORT|PROTO)"
    r"|(?P<link>PORT(?:_[0-9]{1,5}_(?:TCP|UDP|SCTP))?))"
)
"""Kubernetes, "Accessing the Service", environment variables."""
_LINK: Final = re.compile(r"(?:tcp|udp|sctp)://(?:[0-9.]+|\[?[0-9A-Fa-f:]+\]?):[0-9]{1,5}")


def is_of_kubernetes(name: str, value: str) -> bool:
    """Whether Kubernetes sets this variable for a Service named extauthz, or extauthz-something."""
    found = _KUBERNETES.fullmatch(name)
    return found is not None and (found["link"] is None or _LINK.fullmatch(value) is not None)


def unknown_variables(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Variables with our prefix that are not settings, with the setting that was probably meant, or nothing."""
    for name in sorted(env):
        if not name.upper().startswith(PREFIX) or name in KNOWN_VARIABLES or is_of_kubernetes(name, env[name]):
            continue
        # Compared without the prefix, which would make everything look near.
        close = get_close_matches(_bare(name), map(_bare, KNOWN_VARIABLES), n=1, cutoff=_NEAR)
        yield name, PREFIX + close[0] if close else ""


class AskedVariables(Mapping[str, str]):
    """An environment that remembers which variables somebody asked it for (the policy file, that is)."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._env[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._env)

    def __len__(self) -> int:
        return len(self._env)


def _bare(variable: str) -> str:
    return variable.upper().removeprefix(PREFIX)
