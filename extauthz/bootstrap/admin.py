"""What can be done at the admin port of a serving process, from its settings."""

import secrets
import time
from collections.abc import Iterable

from extauthz.adapters.admin.actions import AdminActions
from extauthz.adapters.revocation.event_log import LoggedEvents
from extauthz.bootstrap.service import Service
from extauthz.config.settings.secret import Secret
from extauthz.config.settings.settings import RevocationSettings
from extauthz.service.revocation.events import Events, EventSecrets


def admin_actions(settings: RevocationSettings, service: Service) -> AdminActions:
    """The actions, which are refused as far as their secrets are not set."""
    events = Events(
        policy=lambda: service.policy,
        ring=service.ring,
        resolve_keys=service.event_keys,
        revoker=service.revoker,
        secrets=EventSecrets(
            sso=_revealed(settings.casdoor_sso_secrets), webhook=_revealed(settings.casdoor_webhook_secrets)
        ),
        log=LoggedEvents(time.monotonic),
        clock=time.time,
        monotonic=time.monotonic,
        new_id=_new_id,
    )
    return AdminActions(
        admin_tokens=_revealed(settings.admin_tokens),
        policy=lambda: service.policy,
        revoker=service.revoker,
        events=events,
        new_id=_new_id,
        clock=time.time,
    )


def _new_id() -> str:
    """An id of a revocation: 128 random bits, so that ids of all processes are distinct and none can be guessed."""
    return secrets.token_hex(16)


def _revealed(several: Iterable[Secret]) -> tuple[bytes, ...]:
    return tuple(each.reveal().encode() for each in several)
