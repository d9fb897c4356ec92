"""What commands print of names that others chose: nothing that steers a terminal, forges a line, or is a secret."""

import ast
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from extauthz.cli import run
from extauthz.cli.revoke import _tell as tell_revocations
from extauthz.cli.revoke import _Told, revoke
from tests.unit.cli.test_explain import POLICY, WRITE

CLI = Path(__file__).parents[3] / "extauthz" / "cli"
STEERING = "\x1b]0;owned\x07\x1b[2Jname\u202e\x9b31m\x7f"
FORGED = f"x\nok    policy       allowed\r{STEERING}"

WAYS_AROUND = {
    "output.py": "it is the way",
    "__init__.py": "help, and lines that are made safe there",
    "schema.py": "our own text",
    "version.py": "our own text",
    "healthcheck.py": "two words of ours",
    "render.py": "a configuration, byte for byte, of values that the policy check has let through",
    "demo.py": "the walk-through colours its own lines",
}


def is_safe(text: str) -> bool:
    return all(char.isprintable() or char == "\n" for char in text)


def printing_calls(file: Path) -> list[str]:
    calls = [node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    return [ast.unparse(call) for call in calls if ast.unparse(call) in PRINTING]


PRINTING = {"click.echo", "click.secho", "print", "sys.stdout.write", "sys.stderr.write"}


def test_no_command_prints_by_another_way() -> None:
    around = {file.name for file in CLI.glob("*.py") if printing_calls(file)}
    assert around == set(WAYS_AROUND)


@pytest.fixture
def policy(tmp_path: Path) -> str:
    file = tmp_path / "p.yaml"
    file.write_text(POLICY)
    return str(file)


@pytest.mark.parametrize("name", [STEERING, FORGED])
@pytest.mark.parametrize("where", ["tool", "claim", "header", "uri", "args"])
def test_explain(capsys: pytest.CaptureFixture[str], policy: str, name: str, where: str) -> None:
    claims = WRITE if where != "claim" else json.dumps({"scope": name, "sub": name, "azp": name, "owner": name})
    arguments = {
        "tool": ("--tool", name),
        "claim": ("--tool", "purge"),
        "header": ("--tool", "purge", "--header", f"x-auth-{name}: {name}", "--header", f"origin: {name}"),
        "uri": ("--method", "resources/read", "--uri", name),
        "args": ("--tool", "set_alert", "--args", json.dumps({"city": name})),
    }[where]
    run(["explain", "--policy", policy, "--claims", claims, *arguments])
    shown = capsys.readouterr()
    assert is_safe(shown.out + shown.err)
    assert "\nok    policy       allowed" not in shown.out.replace("\nok    policy       allowed:", "")


def test_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "f\x1b[2J\nok"
    folder.mkdir()
    file = folder / "p.yaml"
    yaml_name = json.dumps(STEERING)
    file.write_text(POLICY.replace("get_*", STEERING.replace("\x7f", "")).replace("purge", "x"))
    broken = folder / "q.yaml"
    broken.write_text(f"version: 1\n{yaml_name}: {{{yaml_name}: {yaml_name}}}\nissuers: {{{yaml_name}: 1}}\n")
    for option in ((), ("--json",)):
        run(["check", str(file), str(broken), "--without-secrets", *option])
        shown = capsys.readouterr()
        assert is_safe(shown.out + shown.err)


def test_usage_errors(capsys: pytest.CaptureFixture[str], policy: str) -> None:
    for arguments in (
        [FORGED],
        ["explain", "--policy", FORGED],
        ["explain", "--policy", policy, "--resource", FORGED],
        ["explain", "--policy", policy, "--header", FORGED],
        ["explain", "--policy", policy, "--claims", f"@{FORGED}"],
        ["render", "prm", "--policy", policy, "-o", f"/nowhere/{FORGED}"],
        ["attack", FORGED],
        ["attack", "http://127.0.0.1:1", "--only", FORGED],
        ["revoke", "--undo", FORGED],
        ["healthcheck", "--admin-listen", FORGED],
        ["check", FORGED],
    ):
        assert run(arguments) in (1, 2)
        shown = capsys.readouterr()
        assert is_safe(shown.out + shown.err)
        assert "Traceback" not in shown.err


def test_what_a_service_says_of_revocations(capsys: pytest.CaptureFixture[str]) -> None:
    item: dict[str, Any] = dict.fromkeys(("id", "by", "value", "client", "issuer", "source"), FORGED)
    odd: list[dict[str, Any]] = [{**item, "before": 1, "until": 1e300}, {}, {"id": FORGED}]
    for found in ([{**item, "before": 1, "until": 2}], odd):
        tell_revocations(
            [_Told(admin=FORGED, status=200, answer={"revocations": found, "spread": FORGED, "undone": FORGED})]
        )
        shown = capsys.readouterr().out
        assert is_safe(shown)
        assert shown.count("\n") == len(found) + 2


SECRET = "EXTAUTHZ-admin-token-of-forty-characters"


def test_errors_and_tracebacks_hold_no_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from extauthz.cli import _failed, _traceback

    secrets = {
        "EXTAUTHZ_ADMIN_TOKEN": SECRET,
        "EXTAUTHZ_CACHE_SECRET": f"{'c' * 32},{'d' * 32}",
        "EXTAUTHZ_REDIS_URL": "redis://svc:p%40ss-of-the-url@h/0?sentinel_password=sentinel+word",
        "EXTAUTHZ_REDIS_PASSWORD": "hunter2",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    text = f"{SECRET} {'c' * 32} {'d' * 32} p%40ss-of-the-url p@ss-of-the-url sentinel+word 'hunter2'"
    _failed(text, 1)
    error = RuntimeError(text)
    _traceback(RuntimeError, error, None)
    shown = capsys.readouterr().err
    assert shown.count("[secret]") == 2 * 7
    for secret in text.split():
        assert secret.strip("'") not in shown
    assert "RuntimeError" in shown


def test_revoke_does_not_show_the_token_that_it_sends() -> None:
    shown = CliRunner(env={"EXTAUTHZ_ADMIN_TOKEN": SECRET}).invoke(revoke, ["--list", f"--admin=http://{SECRET}:1"])
    assert SECRET not in shown.output


# --- usage errors, not tracebacks ------------------------------------------------------------------------------

DEEP = "[" * 100_000
NESTED = '{"a": ' + '{"a": ' * 300 + "1" + "}" * 301


@pytest.mark.parametrize("option", ["--claims", "--args"])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (DEEP, "nested more than 200 levels deep"),
        ('{"a": ' + DEEP, "nested more than 200 levels deep"),
        (NESTED, "nested more than 200 levels deep"),
        ("{", "is not JSON"),
        ('{"a": NaN}', "NaN is not a number of JSON"),
        ('{"a": -Infinity}', "is not a number of JSON"),
        ("[]", "is not a JSON object"),
        ('{"a": 1' + "0" * 5_000 + "}", "is not JSON"),
    ],
)
def test_json_that_cannot_be_decided_about(
    capsys: pytest.CaptureFixture[str], policy: str, option: str, text: str, says: str
) -> None:
    for given in (text, "@" + written(Path(policy).parent, text)):
        arguments = {option: given} if option == "--claims" else {"--claims": WRITE, option: given}
        pairs = [word for pair in arguments.items() for word in pair]
        assert run(["explain", "--policy", policy, "--tool", "set_alert", *pairs]) == 2
        shown = capsys.readouterr().err
        assert says in shown
        assert shown.count("\n") == 1


def written(folder: Path, text: str) -> str:
    (folder / "given.json").write_text(text)
    return str(folder / "given.json")


def test_surrogates_and_deep_but_possible_values_are_decided_about(policy: str) -> None:
    city = '{"city": "\\ud800", "x": ' + "[" * 150 + "]" * 150 + "}"
    assert run(["explain", "--policy", policy, "--claims", WRITE, "--tool", "set_alert", "--args", city]) == 0
    assert run(["explain", "--policy", policy, "--tool", "x", "--claims", '{"sub": "\\ud800", "n": 1e400}']) in (0, 2)


@pytest.mark.parametrize("at", ["nan", "inf", "-inf", "-1", "1e300", "99999999999999", "x", "", "1\x1b[2J"])
def test_moments_that_are_none(capsys: pytest.CaptureFixture[str], policy: str, at: str) -> None:
    assert run(["explain", "--policy", policy, "--claims", WRITE, "--tool", "purge", f"--at={at}"]) == 2
    shown = capsys.readouterr().err
    assert "is not a moment" in shown
    assert shown.count("\n") == 1
    assert is_safe(shown)


@pytest.mark.parametrize("at", ["0", "1780000000", "1780000000.5", "253402300799"])
def test_moments(policy: str, at: str) -> None:
    assert run(["explain", "--policy", policy, "--claims", WRITE, "--tool", "purge", "--at", at]) == 0


# --- files of commands -----------------------------------------------------------------------------------------


def test_inputs_that_are_no_files_do_not_block(capsys: pytest.CaptureFixture[str], tmp_path: Path, policy: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    fifo = str(tmp_path / "fifo")
    explain = ["explain", "--policy", policy, "--tool", "purge"]
    for arguments in (
        [*explain, "--token-file", fifo],
        [*explain, "--claims", f"@{fifo}"],
        [*explain, "--token", "a.b.c", "--jwks", fifo],
        [*explain, "--claims", WRITE, "--body", fifo],
        ["explain", "--policy", fifo, "--tool", "purge"],
        ["check", fifo],
        ["render", "envoy", "--policy", fifo],
        ["attack", "http://127.0.0.1:1", "--token-file", fifo],
        ["attack", "http://127.0.0.1:1", "--tokens", fifo],
        ["attack", "https://127.0.0.1:1", "--ca-file", fifo],
    ):
        assert run(arguments) in (1, 2), arguments
        shown = capsys.readouterr()
        assert "it is a FIFO, not a regular file" in shown.out + shown.err


def test_a_pipe_that_the_shell_has_opened_can_be_read(capsys: pytest.CaptureFixture[str], policy: str) -> None:
    reading, writing = os.pipe()
    os.write(writing, POLICY.encode())
    os.close(writing)
    assert run(["check", f"/dev/fd/{reading}"]) == 0
    os.close(reading)
    assert ": ok, " in capsys.readouterr().out


def test_output_goes_to_the_path_that_is_named_or_nowhere(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, policy: str
) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "out").symlink_to("precious")
    (tmp_path / "dangling").symlink_to("made")
    for name in ("out", "dangling"):
        assert run(["render", "prm", "--policy", policy, "-o", str(tmp_path / name)]) == 1
        assert "is a link, which is not followed" in capsys.readouterr().err
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "made").exists()
