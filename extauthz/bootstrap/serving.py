"""A whole serving process: the service, what observes it, and the admin port."""

import logging
import os
import threading
from typing import Final

from extauthz.adapters.admin.server import AdminServer
from extauthz.adapters.grpc.tls import TlsFault
from extauthz.adapters.listening import ListenFault
from extauthz.adapters.telemetry.environment import TelemetryFault
from extauthz.adapters.telemetry.pipeline import Telemetry
from extauthz.bootstrap.admin import admin_actions
from extauthz.bootstrap.service import FINISH_S, Service
from extauthz.bootstrap.status import process_status
from extauthz.config.settings.known_secrets import policy_secrets
from extauthz.config.settings.settings import Settings
from extauthz.pdp.mcp.methods import METHODS
from extauthz.pdp.operation import END_METHOD, RESPONSE_METHOD, STREAM_METHOD
from extauthz.pdp.policy import Policy
from extauthz.pdp.redaction import Redactor
from extauthz.runtime.start_line import start_line

STDOUT: Final = 1
"""Where audit lines go. By number: a process whose standard output is closed still serves."""


_log = logging.getLogger("extauthz")


class StartFault(Exception):
    """The process cannot serve; the message says why and how to mend it."""


class Serving:
    """Built, then started, and once drained."""

    def __init__(self, settings: Settings, policy: Policy, redactor: Redactor, *, one_of_several: bool = False) -> None:
        """Build. `redactor` knows every secret, and learns those of later policies.

        `one_of_several`: other workers serve the same policy. Raises `StartFault`.
        """
        self._settings = settings
        self._redactor = redactor
        known = frozenset({*METHODS, STREAM_METHOD, END_METHOD, RESPONSE_METHOD})
        try:
            self._telemetry = Telemetry(os.environ, policy=policy, known_methods=known, audit_descriptor=STDOUT)
            self._service = Service(
                settings, policy, self._telemetry.observer, self._adopted, redactor, one_of_several=one_of_several
            )
        except (ListenFault, TelemetryFault, TlsFault, ValueError) as fault:
            raise StartFault(str(fault)) from fault
        self._telemetry.keys_from(self._service.key_states)
        self._telemetry.revocation_lag_from(self._service.revocation.lag_s)
        self._telemetry.revocation_counts_from(self._service.revocation.counts)
        self._admin = AdminServer(
            listen=str(settings.admin_listen),
            source=process_status(self._service, self._telemetry),
            exposition=self._telemetry.exposition,
            actions=admin_actions(settings.revocation, self._service),
            redact=redactor.cut,
        )

    def start(self) -> None:
        """Serve. Raises `StartFault`."""
        self._telemetry.start()
        try:
            self._admin.start()
            self._service.start()
        except ListenFault as fault:
            self._stop()
            raise StartFault(str(fault)) from fault
        _log.info(
            "%s",
            start_line(
                self._settings,
                self._service.policy,
                listen=str(self._service.server.address),
                admin=str(self._admin.address),
                exporters=self._telemetry.exporters,
            ),
        )

    def ask_reload(self) -> None:
        """Read the policy file again; returns at once."""
        self._service.reloader.ask()

    def drain(self, *, wait_s: float, hurry: threading.Event) -> None:
        """Stop without failing a call."""
        self._service.server.drain(wait_s=wait_s, finish_s=FINISH_S, hurry=hurry)
        self._stop()

    def _adopted(self, policy: Policy) -> None:
        self._redactor.learn(policy_secrets(policy))
        self._telemetry.adopt(policy)

    def _stop(self) -> None:
        self._service.stop()
        self._telemetry.stop()
        self._admin.stop()
