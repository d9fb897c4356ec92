"""`extauthz render`: options to a file, and every mistake to one line that says how to mend it."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from extauthz.cli import run
from extauthz.cli.render import render
from extauthz.config.policy_file.policy_file import load_policy
from extauthz.pdp.answer.metadata import metadata_bytes
from extauthz.pdp.policy import Policy
from tests.support.envoy_examples import FOLDER

ONE = str(FOLDER / "one-resource" / "policy.yaml")
TWO = str(FOLDER / "two-resources" / "policy.yaml")


def policy(file: str) -> Policy:
    loaded = load_policy(file, with_secrets=False)
    assert isinstance(loaded, Policy), loaded
    return loaded


def test_the_bootstrap_goes_to_standard_output_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "envoy", "--policy", ONE]) == 0
    written = capsys.readouterr()
    assert yaml.safe_load(written.out)["static_resources"]
    assert written.err == ""


def test_the_policy_may_come_from_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTAUTHZ_POLICY", ONE)
    assert run(["render", "prm"]) == 0
    assert '"resource_name":"weather"' in capsys.readouterr().out


def test_every_option_has_its_place(tmp_path: Path) -> None:
    output = tmp_path / "envoy.yaml"
    arguments = [
        *("--listen", "[::1]:8443", "--admin", "127.0.0.1:1"),
        *("--authz", "unix:/run/a.sock", "--authz", "unix:/run/b.sock"),
        *("--tracing", "collector:4317", "--tls-cert", "/c.pem", "--tls-key", "/k.pem"),
        *(
            "--trusted-hops",
            "2",
            "--max-request-bytes",
            "1000",
            "--max-stream-seconds",
            "60",
            "--upstream-ca",
            "/ca.pem",
        ),
    ]
    assert run(["render", "envoy", "--policy", TWO, *arguments, "-o", str(output)]) == 0
    text = output.read_text(encoding="utf-8")
    for part in (
        "{address: '::1', port_value: 8443}",
        "{address: 127.0.0.1, port_value: 1}",
        "{path: /run/a.sock}",
        "{path: /run/b.sock}",
        "{address: collector, port_value: 4317}",
        "{filename: /c.pem}",
        "{filename: /k.pem}",
        "{filename: /ca.pem}",
        "xff_num_trusted_hops: 2",
        "max_request_bytes: 1000",
        "{max_stream_duration: 60s}",
    ):
        assert part in text, part


def test_tls_to_the_service_has_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--authz", "extauthz:9001", "--authz-ca", "/a.pem", "--authz-cert", "/c.pem", "--authz-key", "/k.pem"]
    assert run(["render", "envoy", "--policy", ONE, *options]) == 0
    written = capsys.readouterr().out
    assert all(file in written for file in ("/a.pem", "/c.pem", "/k.pem"))


def test_the_admin_interface_can_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "envoy", "--policy", ONE, "--admin", "none"]) == 0
    assert "admin" not in yaml.safe_load(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--listen", "8080"], "write host:port"),
        (["--listen", "none"], "write host:port"),
        (["--listen", "unix:/run/x"], "is a Unix socket (write HOST:PORT)"),
        (["--tracing", "unix:/run/x"], "is a Unix socket (write HOST:PORT)"),
        (["--authz", "127.0.0.1:99999"], "port 99999 does not exist"),
        (["--tls-cert", "/c.pem"], "--tls-cert and --tls-key belong together: give both"),
        (["--authz-ca", "/a.pem", "--authz-key", "/k.pem"], "--authz-cert and --authz-key belong together"),
        (["--authz-cert", "/c.pem", "--authz-key", "/k.pem"], "--authz-cert needs --authz-ca"),
        (["--trusted-hops", "-1"], "trusted-hops"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "envoy", "--policy", ONE, *arguments]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert said in written.err


def test_what_cannot_be_rendered_is_exit_code_1_with_every_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "policy.yaml"
    text = Path(ONE).read_text(encoding="utf-8")
    bare.write_text(text.replace("    upstream: http://weather:8000/mcp\n", ""), encoding="utf-8")
    output = tmp_path / "envoy.yaml"
    assert run(["render", "envoy", "--policy", str(bare), "--max-request-bytes", "0", "-o", str(output)]) == 1
    said = capsys.readouterr().err
    assert "largest request body 0" in said
    assert "resource 'weather' has no `upstream`" in said
    assert not output.exists()


@pytest.mark.parametrize("command", ["envoy", "prm"])
def test_a_broken_policy_is_exit_code_1_with_its_faults(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "policy.yaml"
    broken.write_text("version: 1\nresource: {}\n", encoding="utf-8")
    assert run(["render", command, "--policy", str(broken)]) == 1
    assert f"{broken}:2:1: " in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "missing" / "envoy.yaml"
    assert run(["render", "envoy", "--policy", ONE, "-o", str(output)]) == 1
    assert f"{output} cannot be written: No such file or directory" in capsys.readouterr().err


def test_prm_writes_one_document_per_line_as_it_is_served(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "prm", "--policy", TWO]) == 0
    resources = policy(TWO).resources
    assert capsys.readouterr().out.splitlines() == [metadata_bytes(one).decode() for one in resources.values()]


def test_prm_writes_the_document_of_one_resource(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "prm", "--policy", TWO, "--resource", "tickets"]) == 0
    assert capsys.readouterr().out == metadata_bytes(policy(TWO).resources["tickets"]).decode() + "\n"


def test_prm_of_an_unknown_resource_names_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "prm", "--policy", TWO, "--resource", "x"]) == 2
    assert "no resource 'x'" in (said := capsys.readouterr().err)
    assert "weather, tickets" in said


def test_all_that_render_can_write_is_listed() -> None:
    assert sorted(render.commands) == ["envoy", "prm"]


def test_no_other_command_pays_for_the_messages_of_envoy() -> None:
    """Importing them takes about 0.3 s; `serve` must be ready in 0.8 s."""
    program = (
        "import sys, extauthz.cli, extauthz.cli.serve, extauthz.cli.check, extauthz.pdp.answer.metadata;"
        "sys.exit('envoy_data_plane' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
