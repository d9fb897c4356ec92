"""`extauthz version`."""

import platform

import click

from extauthz import __version__


@click.command()
def version() -> None:
    """Print the version, and the Python that it runs on."""
    click.echo(f"extauthz {__version__} ({platform.python_implementation()} {platform.python_version()})")
