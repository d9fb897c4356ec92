"""`extauthz check`, `schema` and `version` as a person or a pipeline calls them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import yaml
from jsonschema import Draft202012Validator

from extauthz import __version__
from extauthz.cli import run

DATA: Final = Path(__file__).parents[2] / "data" / "policies"
EXAMPLE: Final = str(DATA / "good" / "example.yaml")
MINIMAL: Final = str(DATA / "good" / "minimal.yaml")
BAD: Final = str(DATA / "bad" / "unknown-issuer.yaml")


@pytest.fixture(autouse=True)
def _no_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXTAUTHZ_DEBUG", raising=False)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(list(arguments))
    output = capsys.readouterr()
    return code, output.out, output.err


def test_a_good_file(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "check", EXAMPLE)
    assert (code, err) == (0, "")
    assert out.startswith(f"{EXAMPLE}: ok, 0 warnings; revision ")
    assert out.endswith(": 1 issuer, 1 resource, 4 rules\n")


def test_faults_are_lines_that_editors_jump_to(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "check", BAD)
    assert (code, err) == (1, "")
    assert out.splitlines() == [
        f'{BAD}:10:15: unknown issuer "dor" (did you mean "door"?)',
        f"{BAD}: 1 fault, 0 warnings",
    ]


def test_several_files_are_each_checked(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "check", EXAMPLE, BAD)
    assert code == 1
    assert f"{EXAMPLE}: ok" in out
    assert f"{BAD}: 1 fault" in out


def test_warnings_fail_only_a_strict_check(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "check", MINIMAL)
    assert code == 0
    assert f"{MINIMAL}:3:3: warning: " in out
    assert "ok, 2 warnings" in out
    assert said(capsys, "check", "--strict", MINIMAL)[0] == 1
    assert said(capsys, "check", "--strict", EXAMPLE)[0] == 0


OF_EVERY_TENANT: Final = "jwks_uri: https://door.example.com/.well-known/jwks"


@pytest.mark.parametrize(
    ("edits", "strict_code", "warning"),
    [
        ((), 0, ""),
        ((OF_EVERY_TENANT,), 1, ":5:15: warning: jwks_uri "),
        ((OF_EVERY_TENANT, "shared_keys: true"), 0, ""),
        ((OF_EVERY_TENANT, "shared_keys: false"), 1, ":5:15: warning: jwks_uri "),
        (("",), 1, ":3:3: warning: issuer casdoor has no jwks_uri"),
    ],
)
def test_keys_of_every_tenant_fail_a_strict_check(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, edits: tuple[str, ...], strict_code: int, warning: str
) -> None:
    own = re.search(r"jwks_uri: \S+/mcp-gateway/jwks", text := Path(EXAMPLE).read_text())
    assert own is not None
    policy = tmp_path / "p.yaml"
    policy.write_text(text.replace(own[0], "\n    ".join(edits)) if edits else text)
    for strict in (False, True):
        code, out, _ = said(capsys, "check", "--without-secrets", *(("--strict",) if strict else ()), str(policy))
        assert code == (strict_code if strict else 0)
        assert out.count("warning: ") == bool(warning)
        assert not warning or f"{policy}{warning}" in out


def test_json_is_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "check", "--json", BAD, MINIMAL)
    assert code == 1
    bad, minimal = json.loads(out)
    assert (bad["file"], bad["ok"], bad["revision"]) == (BAD, False, None)
    assert bad["faults"] == [
        {
            "line": 10,
            "column": 15,
            "path": "resources.weather.issuers[0]",
            "message": 'unknown issuer "dor"',
            "hint": 'did you mean "door"?',
        }
    ]
    assert minimal["ok"] is True
    assert len(minimal["revision"]) == 16
    assert len(minimal["warnings"]) == 2


def test_secrets_need_not_be_there_for_a_review(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    policy = str(shutil.copy(EXAMPLE, tmp_path))
    code, out, _ = said(capsys, "check", policy)
    assert code == 1
    assert "the secret file" in out
    assert said(capsys, "check", "--without-secrets", policy)[0] == 0


@pytest.mark.parametrize("arguments", [["check"], ["check", "no-such-file"], ["check", str(DATA)], ["check", "--nope"]])
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code, out, err = said(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("extauthz: ")
    assert err.count("\n") == 1


def test_standard_input() -> None:
    for text, code in ((Path(EXAMPLE).read_text(), 0), ("version: 2", 1)):
        done = subprocess.run(
            [sys.executable, "-m", "extauthz", "check", "--without-secrets", "-"],
            input=text.encode(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (code, b"")
        assert b"<stdin>" in done.stdout


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "extauthz", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


def test_the_schema_is_json_that_the_example_keeps(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "schema")
    assert code == 0
    Draft202012Validator(json.loads(out)).validate(yaml.safe_load(Path(EXAMPLE).read_text()))


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "version")[1].startswith(f"extauthz {__version__} (")
    assert said(capsys, "--version")[1] == f"extauthz {__version__}\n"
