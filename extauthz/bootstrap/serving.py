"""A whole serving process: the service, what observes it, and the admin port."""

import threading

from extauthz.adapters.listening import ListenFault
from extauthz.adapters.server_tls import TlsFault
from extauthz.bootstrap.service import Service
from extauthz.config.settings import Settings
from extauthz.pdp.policy import Policy
from extauthz.service.details import CheckDetails
from extauthz.service.ports import CacheKind, CacheResult, FetchResult, ReloadResult, Tier


class StartFault(Exception):
    """The process cannot serve; the message says why and how to mend it."""


class _Silent:
    def checked(self, details: CheckDetails) -> None:
        pass

    def looked_up(self, tier: Tier, kind: CacheKind, result: CacheResult) -> None:
        pass

    def fetched(self, issuer: str, result: FetchResult) -> None:
        pass

    def reloaded(self, result: ReloadResult) -> None:
        pass


class Serving:
    """Built, then started, and once drained."""

    def __init__(self, settings: Settings, policy: Policy) -> None:
        """Build. Raises `StartFault`."""
        try:
            self._service = Service(settings, policy, _Silent())
        except (ListenFault, TlsFault, ValueError) as fault:
            raise StartFault(str(fault)) from fault

    def start(self) -> None:
        """Serve. Raises `StartFault`."""
        try:
            self._service.start()
        except ListenFault as fault:
            self._service.stop()
            raise StartFault(str(fault)) from fault

    def ask_reload(self) -> None:
        """Read the policy file again; safe in a signal handler."""
        self._service.reloader.ask()

    def drain(self, *, wait_s: float, hurry: threading.Event) -> None:
        """Stop without failing a call."""
        self._service.drain(wait_s=wait_s, hurry=hurry)
