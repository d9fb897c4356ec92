"""`extauthz demo`: the whole system on loopback, narrated. Imports what it shows only after its packages are there."""

import importlib
import signal
import sys
from types import FrameType
from typing import Final, NoReturn

import click

from extauthz.demo.packages import PackagesError, ensure
from extauthz.demo.processes import port_is_free

DEFAULT_PORT: Final = 8080
EXIT_INTERRUPTED: Final = 130


@click.command()
@click.option("--once", is_flag=True, help="Walk through and exit: 0 when every step went as it should, else 1.")
@click.option(
    "--port",
    default=DEFAULT_PORT,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="Where Envoy listens, on 127.0.0.1; 0 takes a free port.",
)
def demo(port: int, *, once: bool) -> None:
    """Try everything on this machine: Envoy, the service, Valkey, a demo issuer and a real MCP server.

    Walks through what a client sees, from no token to an allowed call, and through what is refused. Then it stays up
    until Ctrl-C. Everything listens on loopback only and ends with this command.
    """
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup has its way
        signal.signal(signal.SIGHUP, _end)
    if port and not port_is_free(port):
        message = f"port {port} is in use by another program. Choose another one: extauthz demo --port {port + 1}"
        raise click.ClickException(message)
    try:
        ensure(click.echo)
        walk = importlib.import_module("extauthz.demo.walk.run")
        sys.exit(walk.run(port=port, once=once))
    except PackagesError as error:
        click.echo(f"extauthz demo: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("\nStopped: nothing is left running.", err=True)
        sys.exit(EXIT_INTERRUPTED)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    """Unwind as for Ctrl-C, so that everything is stopped."""
    sys.exit(128 + number)
