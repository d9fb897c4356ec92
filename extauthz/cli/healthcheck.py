"""`extauthz healthcheck`: asks the admin port of a running service, for container health checks and for people.

Uses nothing but the standard library, so that it answers in a tenth of a second.
"""

import http.client
import json
import os
from typing import Final

import click

from extauthz.adapters.listening import ListenFault, parse_listen
from extauthz.cli.admin_client import DEFAULT_ADMIN, AdminConnection
from extauthz.service.endpoint import TcpEndpoint, UnixEndpoint

TIMEOUT_S: Final = 2.0
"""Below the three seconds that the image's HEALTHCHECK gives."""
MAX_ANSWER_BYTES: Final = 64 * 1024


@click.command()
@click.option(
    "--admin-listen",
    metavar="ADDRESS",
    envvar="EXTAUTHZ_ADMIN_LISTEN",
    default=DEFAULT_ADMIN,
    help=f"Where the service's admin port is. [env: EXTAUTHZ_ADMIN_LISTEN; default: {DEFAULT_ADMIN}]",
)
@click.option("--live", is_flag=True, help="Ask only whether it is alive, not whether it is ready.")
def healthcheck(*, admin_listen: str, live: bool) -> None:
    """Ask a running service whether it is ready. Exit code 0: it is; 1: it is not, and why."""
    try:
        address = parse_listen(admin_listen)
    except ListenFault as fault:
        raise click.UsageError(str(fault)) from fault
    try:
        status, body = _get(address, "/livez" if live else "/readyz")
    except (OSError, http.client.HTTPException) as error:
        why = (os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "") or type(error).__name__
        raise click.ClickException(
            f"no answer from {address} ({why}): start the service, or name its admin port with --admin-listen"
        ) from error
    if status != http.client.OK:
        raise click.ClickException(f"not ready: {_why(body) or f'HTTP status {status} from {address}'}")
    click.echo("alive" if live else "ready")


def _get(address: TcpEndpoint | UnixEndpoint, path: str) -> tuple[int, bytes]:
    connection = AdminConnection(address, timeout_s=TIMEOUT_S)
    try:
        connection.request("GET", path, headers={"Host": "localhost"})
        response = connection.getresponse()
        return response.status, response.read(MAX_ANSWER_BYTES)
    finally:
        connection.close()


def _why(body: bytes) -> str:
    """The components that are not ready, in words; empty when the answer is not of that form."""
    try:
        components = json.loads(body)["components"]
        return "; ".join(
            f"{one['name']}{': ' + one['detail'] if one.get('detail') else ''}"
            for one in components
            if not one["ready"]
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
