"""The `extauthz` command: finds the subcommand, and turns every failure into one line and an exit code.

Subcommands are imported when they are called, so that `serve` starts without what `render` needs.
Exit codes: 0 done, 1 findings or a failure, 2 wrong usage, 130 interrupted.
"""

import os
import sys
from importlib import import_module
from types import TracebackType
from typing import Any, Final, NamedTuple, NoReturn

import click

from extauthz import __version__

EXIT_FINDINGS: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130


class Subcommand(NamedTuple):
    """Where a subcommand stands, and its line in `extauthz --help`."""

    module: str
    help: str


SUBCOMMANDS: Final = {
    "serve": Subcommand("extauthz.cli.serve", "Answer Envoy's checks."),
    "demo": Subcommand("extauthz.cli.demo", "The whole system on this machine, narrated."),
    "check": Subcommand("extauthz.cli.check", "Validate policy files, with all faults at once."),
    "explain": Subcommand("extauthz.cli.explain", "Decide one request offline, and say why."),
    "render": Subcommand("extauthz.cli.render", "Write the proxy's configuration from the policy file."),
    "revoke": Subcommand("extauthz.cli.revoke", "Tell a running service which tokens count no more."),
    "attack": Subcommand("extauthz.cli.attack", "Attack an MCP gateway with everything known, and report."),
    "schema": Subcommand("extauthz.cli.schema", "Print the JSON Schema of the policy file."),
    "healthcheck": Subcommand("extauthz.cli.healthcheck", "Ask a running service whether it is ready."),
    "version": Subcommand("extauthz.cli.version", "Print the version."),
}
"""Each is the object of its own name in its module."""


class LazyGroup(click.Group):
    """A group whose subcommands are imported when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's interface
        """Names, in the order of the table."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Import a subcommand. Raises `click.ClickException` when something that it needs is not installed."""
        entry = SUBCOMMANDS.get(cmd_name)
        if entry is None:
            return None
        try:
            command = getattr(import_module(entry.module), cmd_name)
        except ModuleNotFoundError as error:
            if debugging():
                raise
            if error.name == entry.module:
                message = f'"{cmd_name}" is not part of this installation (install a release that has it)'
            else:
                extra = "extauthz[demo]" if cmd_name == "demo" else "extauthz"
                message = f"\"{cmd_name}\" needs the package {error.name} (install it: pip install '{extra}')"
            raise click.ClickException(message) from error
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.module}.{cmd_name} is no click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Add the nearest name to the message about an unknown one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches  # noqa: PLC0415 - only for a misspelt name

            close = get_close_matches(args[0], SUBCOMMANDS, n=1)
            if not close:
                raise
            raise click.UsageError(f'no command "{args[0]}": did you mean "{close[0]}"?', ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """The list of subcommands, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in SUBCOMMANDS.items()])


def debugging() -> bool:
    """Whether `EXTAUTHZ_DEBUG` asks for tracebacks."""
    return os.environ.get("EXTAUTHZ_DEBUG", "") not in ("", "0")


@click.group(
    cls=LazyGroup,
    help="Envoy external authorization for MCP servers.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def extauthz() -> None:
    """Do nothing beside the subcommand."""


def main() -> NoReturn:
    """Entry point: run the command line and exit."""
    sys.excepthook = _traceback
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; the exit code. Never raises, unless `EXTAUTHZ_DEBUG` is set."""
    try:
        result: Any = extauthz.main(args=arguments, prog_name="extauthz", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return EXIT_USAGE
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "extauthz"
        return _failed(f"{error.format_message().rstrip('.')} (see `{where} --help`)", EXIT_USAGE)
    except click.ClickException as error:
        return _failed(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _failed("interrupted", EXIT_INTERRUPTED)
    except SystemExit as error:
        if isinstance(error.code, str):
            return _failed(error.code, EXIT_FINDINGS)
        return error.code or 0
    except BrokenPipeError:
        # Whoever read the output has gone; nothing more can be said, not even when Python flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FINDINGS
    except Exception as error:
        if debugging():
            raise
        hint = "this is a fault of extauthz: set EXTAUTHZ_DEBUG=1 for where it happened"
        return _failed(f"{type(error).__name__}: {' '.join(str(error).split())} ({hint})", EXIT_FINDINGS)
    return result if isinstance(result, int) else 0


def _failed(message: str, code: int) -> int:
    from extauthz.cli.output import learn_environment, safe  # noqa: PLC0415 - only when there is an error

    learn_environment()
    click.echo(safe(f"extauthz: {message}"), err=True)
    return code


def _traceback(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    """With `EXTAUTHZ_DEBUG`: as Python's own, without secrets."""
    import traceback  # noqa: PLC0415 - only when there is an error

    from extauthz.cli.output import learn_environment, safe  # noqa: PLC0415 - likewise

    learn_environment()
    click.echo(safe("".join(traceback.format_exception(kind, error, at)).rstrip("\n")), err=True)
