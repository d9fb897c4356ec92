"""`extauthz serve`: answer Envoy's checks until told to stop."""

import logging
import os
import signal
import threading
from typing import Final

import click

from extauthz.bootstrap.serving import Serving, StartFault
from extauthz.cli.output import REDACTOR, learn_environment, tell
from extauthz.config.policy_file.fault import PolicyFaults
from extauthz.config.policy_file.policy_file import load_policy
from extauthz.config.settings.known_secrets import policy_secrets
from extauthz.config.settings.settings import Settings, SettingsFaults, Transport, read_settings
from extauthz.config.settings.variables import AskedVariables
from extauthz.pdp.policy import Policy
from extauthz.pdp.quoting import quoted
from extauthz.runtime.garbage_collection import leave_old_objects
from extauthz.runtime.interpreter import share_fairly
from extauthz.runtime.key_warnings import tell_of_shared_keys
from extauthz.runtime.log_lines import log_to_stderr
from extauthz.runtime.unshared_sessions import unshared_sessions
from extauthz.runtime.workers import Workers

DEFAULT_DRAIN_S: Final = 5.0
"""From NOT_SERVING to the end: two and a half rounds of the rendered proxy's health checks."""

_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})

_log = logging.getLogger("extauthz")


@click.command()
@click.option("--policy", metavar="FILE", help="The policy file. [env: EXTAUTHZ_POLICY; default: extauthz.yaml]")
@click.option("--listen", metavar="ADDRESS", help="Where Envoy asks. [env: EXTAUTHZ_LISTEN; default: 127.0.0.1:9001]")
@click.option(
    "--admin-listen",
    metavar="ADDRESS",
    help="Probes, metrics, status. [env: EXTAUTHZ_ADMIN_LISTEN; default: 127.0.0.1:9002]",
)
@click.option(
    "--workers", metavar="N|auto", help="Processes; ports count up, one per worker. [env: EXTAUTHZ_WORKERS; default: 1]"
)
@click.option("--transport", metavar="NAME", help="How checks come in. [env: EXTAUTHZ_TRANSPORT; default: grpcio]")
@click.option(
    "--drain-wait",
    type=click.FloatRange(0, 300),
    default=DEFAULT_DRAIN_S,
    show_default=True,
    help="Seconds from SIGTERM to the end of service, for the proxy to notice.",
)
@click.option("--parent-fd", type=int, hidden=True, help="Stop when this pipe closes.")
@click.pass_context
def serve(
    ctx: click.Context,
    *,
    policy: str | None,
    listen: str | None,
    admin_listen: str | None,
    workers: str | None,
    transport: str | None,
    drain_wait: float,
    parent_fd: int | None,
) -> None:
    """Answer Envoy's checks (envoy.service.auth.v3.Authorization) until SIGTERM.

    SIGHUP reads the policy file again; so does a change of the file. SIGTERM drains: health turns to NOT_SERVING,
    checks go on being answered, then calls under way are finished. A second signal, or Ctrl-C, cuts the waiting short.
    """
    learn_environment()
    log_to_stderr(REDACTOR)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = read_settings(
        os.environ, policy=policy, listen=listen, admin_listen=admin_listen, workers=workers, transport=transport
    )
    if isinstance(settings, SettingsFaults):
        raise click.UsageError(str(settings))
    _refuse_what_is_not_there(settings)
    variables = AskedVariables(os.environ)
    loaded = load_policy(settings.policy, env=variables)
    if isinstance(loaded, PolicyFaults):
        tell(*map(str, loaded.faults), err=True)
        count = len(loaded.faults)
        raise click.ClickException(f"the policy has {count} fault{'s' * (count != 1)}: mend the file and start again")
    _refuse_unknown_variables(settings, variables)
    REDACTOR.learn(policy_secrets(loaded))
    if parent_fd is None:
        tell_of_shared_keys(loaded.issuers.values())
    if parent_fd is None and settings.open_to_network:
        _log.warning(
            "anybody who reaches %s can ask for decisions and send floods: listen on loopback or a Unix socket, set"
            " EXTAUTHZ_TLS_CLIENT_CA, or let only the proxy reach the port",
            settings.listen,
        )
    if settings.workers > 1:
        if settings.redis is None and (refusal := unshared_sessions(loaded)):
            raise click.ClickException(refusal)
        ctx.exit(Workers(_commands(settings, drain_wait)).run())
    try:
        _run(settings, loaded, drain_wait, parent_fd)
    except StartFault as fault:
        raise click.ClickException(str(fault)) from fault


def _refuse_what_is_not_there(settings: Settings) -> None:
    if settings.transport is not Transport.GRPCIO:
        raise click.UsageError(f"transport {settings.transport} is not part of this version: use grpcio")
    if settings.shadow_policy is not None:
        raise click.UsageError("shadow policies are not part of this version: unset EXTAUTHZ_SHADOW_POLICY")


def _refuse_unknown_variables(settings: Settings, named: AskedVariables) -> None:
    unknown = [name for name in settings.unknown_variables if name not in named.asked]
    if unknown:
        several = "settings" if len(unknown) > 1 else "setting"
        raise click.UsageError(
            f"{', '.join(map(quoted, unknown))}: no such {several}, and not named by the policy: unset what is not "
            "for extauthz; docs/reference/settings.md has those that there are"
        )


def _commands(settings: Settings, drain_wait: float) -> list[list[str]]:
    """The arguments of each worker. Everything else it reads from the same environment."""
    return [
        [
            f"--policy={settings.policy}",
            f"--listen={settings.worker_listen(number)}",
            f"--admin-listen={settings.worker_admin_listen(number)}",
            "--workers=1",
            f"--drain-wait={drain_wait}",
        ]
        for number in range(settings.workers)
    ]


def _run(settings: Settings, policy: Policy, drain_wait: float, parent_fd: int | None) -> None:
    """Serve until SIGTERM or SIGINT, or until the parent is gone. Raises `StartFault`.

    Signals are blocked before the first thread starts and taken up here one by one. A handler would do worse: it runs
    in the main thread only, which does not wake when the system hands the signal to another one.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    leave_old_objects()
    share_fairly()
    serving = Serving(settings, policy, REDACTOR, one_of_several=parent_fd is not None)
    if parent_fd is not None:
        threading.Thread(target=_watch_parent, args=(parent_fd,), name="extauthz-parent", daemon=True).start()
    serving.start()
    while (told := signal.sigwait(_SIGNALS)) == signal.SIGHUP:
        serving.ask_reload()
    hurry = threading.Event()
    if told == signal.SIGINT:
        hurry.set()
    threading.Thread(target=_wait_for_second, args=(hurry,), name="extauthz-signals", daemon=True).start()
    serving.drain(wait_s=drain_wait, hurry=hurry)


def _wait_for_second(hurry: threading.Event) -> None:
    """A second signal cuts the waiting short."""
    signal.sigwait(_SIGNALS - {signal.SIGHUP})
    hurry.set()


def _watch_parent(pipe: int) -> None:
    """Nothing is ever written: reading returns when the parent is gone."""
    os.read(pipe, 1)
    _log.warning("the parent process is gone; stopping")
    os.kill(os.getpid(), signal.SIGTERM)
