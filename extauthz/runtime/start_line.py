"""The one line that a started process says of itself: what it listens to, what it asks, what it exports."""

from typing import Final

from extauthz import __version__
from extauthz.adapters.redis.url import read_redis_url
from extauthz.config.settings.settings import RedisSettings, Settings, TlsSettings
from extauthz.pdp.policy import Policy

MAX_NAMES: Final = 8
"""Issuers that are named; more are counted."""


def start_line(settings: Settings, policy: Policy, *, listen: str, admin: str, exporters: tuple[str, ...]) -> str:
    """Names and addresses, no secrets. `listen` and `admin` are where the process listens in the end."""
    issuers = [issuer.issuer for issuer in policy.issuers.values()]
    more = f" and {len(issuers) - MAX_NAMES} more" if len(issuers) > MAX_NAMES else ""
    return (
        f"extauthz {__version__} serving on {listen} ({_tls(settings.tls)}), admin on {admin}, "
        f"policy {policy.source} (revision {policy.revision}), issuers {', '.join(issuers[:MAX_NAMES])}{more}, "
        f"Redis {_redis(settings.redis)}, exporters {', '.join(exporters) or 'none'}"
    )


def _tls(tls: TlsSettings | None) -> str:
    if tls is None:
        return "no TLS"
    return "TLS" if tls.client_ca is None else "mutual TLS"


def _redis(redis: RedisSettings | None) -> str:
    return "none, memory only" if redis is None else str(read_redis_url(redis.url.reveal()))
