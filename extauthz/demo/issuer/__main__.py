"""`python -m extauthz.demo.issuer`: the demo issuer by itself, until Ctrl-C or SIGTERM. NOT FOR PRODUCTION."""

import signal
import sys
import threading

import click

from extauthz.demo.issuer.realm import demo_realm
from extauthz.demo.issuer.server import DemoIssuer
from extauthz.demo.issuer.tokens import LIFETIME_S
from extauthz.demo.processes import ProgramError


@click.command()
@click.option("--port", default=8000, show_default=True, help="TCP port on 127.0.0.1; 0 takes a free one.")
@click.option("--lifetime", "lifetime_s", default=LIFETIME_S, show_default=True, help="Life of access tokens, seconds.")
@click.option("--algorithm", default="RS256", show_default=True, help="RS256, RS512, ES256, ES384 or ES512.")
@click.option("--consents", is_flag=True, help="Answer sign-ins at once in the name of `login_hint`, without a page.")
def main(port: int, lifetime_s: int, algorithm: str, *, consents: bool) -> None:
    """A Casdoor-compatible issuer for trying things out. It has no passwords: never let others reach it."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, lambda *_: ended.set())
    try:
        with DemoIssuer(demo_realm(algorithm), port=port, lifetime_s=lifetime_s, consents=consents) as issuer:
            click.echo(f"NOT FOR PRODUCTION: demo issuer at {issuer.url} (keys: {issuer.jwks_uri})")
            for application in issuer.realm.applications:
                click.echo(f"client {application.client_id} secret {application.client_secret}")
            ended.wait()
    except ProgramError as error:
        click.echo(f"{error}. Choose another port with --port.", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
