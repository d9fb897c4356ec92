"""What the command does whatever the subcommand: finding it, and ending every failure in one line and a code."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from extauthz.cli import SUBCOMMANDS, Subcommand, run


@pytest.fixture(autouse=True)
def _no_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXTAUTHZ_DEBUG", raising=False)


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `extauthz version` fail."""

    @click.command()
    def version() -> None:
        raise error

    monkeypatch.setattr("extauthz.cli.version.version", version)


def test_help_names_every_subcommand_without_importing_one(capsys: pytest.CaptureFixture[str]) -> None:
    script = (
        "import sys; from extauthz.cli import run; run(['--help']); print([m for m in sys.modules if 'extauthz' in m])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert all(f"  {name} " in done.stdout for name in SUBCOMMANDS)
    assert done.stdout.splitlines()[-1] == "['extauthz', 'extauthz.cli']"


def test_the_command_starts_without_anything_heavy() -> None:
    script = "import sys; from extauthz.cli import run; run(['version']); print([*sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    loaded = done.stdout.splitlines()[-1]
    for heavy in ("pydantic", "yaml", "grpc", "httpx", "opentelemetry", "cel_expr_python", "redis", "cryptography"):
        assert f"'{heavy}'" not in loaded


def test_no_subcommand_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "meant"), [("chekc", "check"), ("rendr", "render"), ("server", "serve")])
def test_a_misspelt_subcommand_is_told_the_nearest(capsys: pytest.CaptureFixture[str], name: str, meant: str) -> None:
    assert run([name]) == 2
    assert (
        capsys.readouterr().err == f'extauthz: no command "{name}": did you mean "{meant}"? (see `extauthz --help`)\n'
    )


def test_a_subcommand_that_is_not_there_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SUBCOMMANDS, "absent", Subcommand("extauthz.cli.absent", "Not there."))
    assert run(["absent"]) == 1
    assert capsys.readouterr().err == (
        'extauthz: "absent" is not part of this installation (install a release that has it)\n'
    )
    assert run(["version"]) == 0


@pytest.mark.parametrize(("name", "package"), [("needy", "extauthz"), ("demo", "extauthz[demo]")])
def test_a_missing_package_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, package: str
) -> None:
    (tmp_path / "needy_command.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(SUBCOMMANDS, name, Subcommand("needy_command", ""))
    assert run([name]) == 1
    assert capsys.readouterr().err == (
        f"extauthz: \"{name}\" needs the package no_such_package (install it: pip install '{package}')\n"
    )
    monkeypatch.setenv("EXTAUTHZ_DEBUG", "1")
    with pytest.raises(ModuleNotFoundError):
        run([name])


def test_a_name_that_is_near_to_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["xyzzy"]) == 2
    assert capsys.readouterr().err == "extauthz: No such command 'xyzzy' (see `extauthz --help`)\n"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (click.ClickException("it went wrong (mend it)"), 1, "extauthz: it went wrong (mend it)\n"),
        (click.UsageError("not like this."), 2, "extauthz: not like this (see `extauthz version --help`)\n"),
        (click.Abort(), 130, "extauthz: interrupted\n"),
        (KeyboardInterrupt(), 130, "extauthz: interrupted\n"),
        (SystemExit(3), 3, ""),
        (SystemExit("in words"), 1, "extauthz: in words\n"),
    ],
)
def test_failures_are_one_line_and_a_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    failing(monkeypatch, error)
    assert run(["version"]) == code
    assert capsys.readouterr().err.lstrip("\n") == line


def test_a_fault_of_ours_is_no_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, RuntimeError("two\nlines"))
    assert run(["version"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("extauthz: RuntimeError: two lines (")
    assert told.count("\n") == 1


def test_debugging_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, RuntimeError("here"))
    monkeypatch.setenv("EXTAUTHZ_DEBUG", "1")
    with pytest.raises(RuntimeError, match="here"):
        run(["version"])
