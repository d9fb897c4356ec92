"""`extauthz revoke` against a real admin port."""

import json
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from extauthz.cli.revoke import revoke
from extauthz.pdp.revocation.revocation import TOKEN_GRACE_S
from extauthz.pdp.token.signed_token import inspect, revocation_digests
from extauthz.pdp.token.token_fault import TokenFault
from extauthz.service.revocation import revocations
from tests.support.admin_port import ADMIN_TOKEN, AdminPort
from tests.support.policies import policy
from tests.support.tokens import ISSUER, SUBJECT, issuer, mint
from tests.support.world import CASDOOR, weather


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second for each server to notice that it is to stop would add up."""
    monkeypatch.setattr("extauthz.adapters.admin.server.LOOK_EVERY_S", 0.02)


@pytest.fixture
def port() -> Iterator[AdminPort]:
    with AdminPort(now=time.time()) as started:
        yield started


def run(*arguments: str, stdin: str | None = None, **environment: str | None) -> Result:
    usual = {
        "EXTAUTHZ_ADMIN_TOKEN": ADMIN_TOKEN,
        "EXTAUTHZ_ADMIN_TOKEN_FILE": None,
        "EXTAUTHZ_ADMIN_LISTEN": None,
    }
    return CliRunner(env={**usual, **environment}).invoke(revoke, list(arguments), input=stdin)


def told(port: AdminPort, *arguments: str) -> Any:
    result = run(*arguments, "--json", f"--admin={port.url}")
    assert result.exit_code == 0, result.output
    (document,) = json.loads(result.stdout)
    assert (document.pop("admin"), document.pop("status")) == (port.url, 200)
    return document


class TestOrdinary:
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["--jti", "admin/1"], ("jti", "admin/1", "")),
            (["--subject", SUBJECT], ("subject", SUBJECT, "")),
            (["--subject", SUBJECT, "--client", "ops-bot"], ("subject", SUBJECT, "ops-bot")),
            (["--user", "acme/alice"], ("user", "acme/alice", "")),
            (["--client", "ops-bot"], ("client", "ops-bot", "")),
            (["--organization", "acme"], ("organization", "acme", "")),
        ],
        ids=lambda value: value[0] if isinstance(value, list) else "",
    )
    def test_what_is_named_is_revoked(
        self, port: AdminPort, arguments: list[str], expected: tuple[str, str, str]
    ) -> None:
        result = run(*arguments, "--issuer=casdoor", f"--admin={port.url}")
        assert result.exit_code == 0, result.output
        assert port.in_force == {expected}
        assert result.stdout.startswith("revoked: ")
        assert "tell every other process" in result.stdout

    @pytest.mark.parametrize("alg", ["RS256", "ES256"])
    def test_a_token_is_revoked_by_digests_that_alone_leave_the_command(
        self, port: AdminPort, tmp_path: Path, alg: str
    ) -> None:
        token = mint(alg=alg, now=None)
        (tmp_path / "token.txt").write_text(token + "\n")
        result = run(f"--token-file={tmp_path / 'token.txt'}", f"--admin={port.url}")
        read = inspect(token)
        assert not isinstance(read, TokenFault)
        digests = {digest.hex() for digest in revocation_digests(read)}
        assert len(digests) == (2 if alg == "ES256" else 1)
        assert sha256(token.encode()).hexdigest() in digests
        assert port.in_force == {("token", digest, "") for digest in digests}
        assert {item.until for item in port.revocations.in_force(port.now)} == {read.claims["exp"] + TOKEN_GRACE_S}  # type: ignore[operator] # an int
        assert token.rpartition(".")[2] not in result.output

    def test_a_token_may_come_by_standard_input(self, port: AdminPort) -> None:
        assert run("--token-file=-", f"--admin={port.url}", stdin=mint(now=None)).exit_code == 0
        assert len(port.in_force) == 1

    @pytest.mark.parametrize("moment", ["1795437163", "2026-11-23T12:32:43Z", "2026-11-23T14:32:43+02:00"])
    def test_the_moment_may_be_given(self, port: AdminPort, moment: str) -> None:
        (item,) = told(port, "--subject", SUBJECT, "--before", moment)["revocations"]
        assert item["before"] == 1_795_437_163

    def test_left_out_it_is_the_present(self, port: AdminPort) -> None:
        (item,) = told(port, "--subject", SUBJECT)["revocations"]
        assert abs(item["before"] - port.now) < 60

    def test_what_is_revoked_is_listed_and_taken_back(self, port: AdminPort) -> None:
        assert run("--list", f"--admin={port.url}").stdout == "nothing is revoked\n"
        (item,) = told(port, "--subject", SUBJECT)["revocations"]
        assert told(port, "--list") == {"revocations": [item]}
        line = run("--list", f"--admin={port.url}").stdout
        assert line.startswith(f"{item['id']}  subject {SUBJECT} of {ISSUER} issued until 20")
        undone = run("--undo", item["id"], f"--admin={port.url}")
        assert undone.stdout.startswith(f"taken back: {item['id']}\n")
        assert port.in_force == set()

    def test_names_from_elsewhere_do_not_steer_the_terminal(self, port: AdminPort) -> None:
        told(port, "--jti", "a\x1b]0;title\x07\nb")
        shown = run("--list", f"--admin={port.url}").stdout
        assert shown.isascii()
        assert len(shown.splitlines()) == 1
        assert "\x1b" not in shown

    def test_the_address_and_the_admin_token_may_come_from_the_environment_and_a_file(
        self, port: AdminPort, tmp_path: Path
    ) -> None:
        (tmp_path / "token").write_text(ADMIN_TOKEN + "\n")
        result = run(
            "--list",
            EXTAUTHZ_ADMIN_LISTEN=str(port.server.address),
            EXTAUTHZ_ADMIN_TOKEN=None,
            EXTAUTHZ_ADMIN_TOKEN_FILE=str(tmp_path / "token"),
        )
        assert (result.exit_code, result.stdout) == (0, "nothing is revoked\n")

    def test_the_first_of_two_admin_tokens_is_used(self, port: AdminPort) -> None:
        assert run("--list", f"--admin={port.url}", EXTAUTHZ_ADMIN_TOKEN=f"{ADMIN_TOKEN},{'o' * 32}").exit_code == 0

    def test_a_unix_socket_works_as_well(self, tmp_path: Path) -> None:
        with AdminPort(now=time.time(), listen=f"unix:{tmp_path / 'admin.sock'}") as port:
            assert run("--jti=j", f"--admin=unix:{tmp_path / 'admin.sock'}").exit_code == 0
            assert port.in_force == {("jti", "j", "")}

    def test_several_processes_are_told_one_by_one(self, port: AdminPort) -> None:
        with AdminPort(now=time.time()) as other:
            both = (f"--admin={port.url}", f"--admin={other.url}")
            assert run("--jti=j", *both).exit_code == 0
            assert port.in_force == other.in_force == {("jti", "j", "")}
            (first,) = port.revocations.in_force(port.now)
            other.order("DELETE", f"/revocations/{next(iter(other.revocations.in_force(other.now))).id}")
            assert run("--undo", first.id, *both).exit_code == 0
            assert port.in_force == set()


USAGE = {
    "nothing": [],
    "two kinds": ["--jti=j", "--organization=acme"],
    "a kind and a listing": ["--jti=j", "--list"],
    "client beside another kind": ["--client=c", "--organization=acme"],
    "a moment for one token": ["--jti=j", "--before=now"],
    "an issuer for a listing": ["--list", "--issuer=casdoor"],
    "a moment that is none": ["--subject=s", "--before=yesterday"],
    "a moment beyond all moments": ["--subject=s", "--before=" + "9" * 5000],
    "a moment without a zone": ["--subject=s", "--before=2026-11-23T12:32:43"],
    "an id that is none": ["--undo=../livez"],
    "an address that is none": ["--list", "--admin=http://"],
}


class TestFailures:
    @pytest.mark.parametrize("arguments", USAGE.values(), ids=USAGE.keys())
    def test_wrong_usage_is_told_as_such(self, arguments: list[str]) -> None:
        result = run(*arguments)
        assert result.exit_code == 2, result.output

    @pytest.mark.parametrize(
        ("environment", "why"),
        [
            ({"EXTAUTHZ_ADMIN_TOKEN": None}, "set EXTAUTHZ_ADMIN_TOKEN"),
            ({"EXTAUTHZ_ADMIN_TOKEN": "short"}, "5 bytes"),
            ({"EXTAUTHZ_ADMIN_TOKEN": None, "EXTAUTHZ_ADMIN_TOKEN_FILE": "not-there"}, "cannot be read"),
            ({"EXTAUTHZ_ADMIN_TOKEN": "é" * 20}, "no header can carry"),
        ],
    )
    def test_without_an_admin_token_it_says_where_to_set_it(self, environment: dict[str, Any], why: str) -> None:
        result = run("--list", **environment)
        assert result.exit_code == 2
        assert why in result.output

    def test_a_file_without_a_token_is_told_without_its_content(self, port: AdminPort, tmp_path: Path) -> None:
        (tmp_path / "token.txt").write_text("not-a-token-but-secret")
        result = run(f"--token-file={tmp_path / 'token.txt'}", f"--admin={port.url}")
        assert result.exit_code == 1
        assert "holds no token" in result.output
        assert "secret" not in result.output

    def test_a_token_that_has_ended_needs_no_revoking(self, port: AdminPort, tmp_path: Path) -> None:
        (tmp_path / "token.txt").write_text(mint(now=time.time() - 7200))
        result = run(f"--token-file={tmp_path / 'token.txt'}", f"--admin={port.url}")
        assert (result.exit_code, port.in_force) == (1, set())
        assert "nothing to revoke" in result.output

    @pytest.mark.parametrize("ends", [0, -(2**53) + 1, -1e300, True])
    def test_whatever_end_a_token_names_is_no_fault_of_ours(self, port: AdminPort, tmp_path: Path, ends: float) -> None:
        (tmp_path / "token.txt").write_text(mint({"exp": ends}))
        result = run(f"--token-file={tmp_path / 'token.txt'}", f"--admin={port.url}")
        assert (result.exit_code, port.in_force) == (1, set())
        assert "nothing to revoke" in result.output

    @pytest.mark.parametrize("ends", [2**53 - 1, 1e300, "never", None])
    def test_a_token_without_an_end_that_can_be_kept_is_revoked_for_as_long_as_can_be(
        self, port: AdminPort, tmp_path: Path, ends: object
    ) -> None:
        (tmp_path / "token.txt").write_text(mint({"exp": ends}))
        result = run(f"--token-file={tmp_path / 'token.txt'}", f"--admin={port.url}")
        assert result.exit_code == 0, result.output
        assert len(port.in_force) == 1

    def test_a_service_whose_clock_is_behind_takes_the_longest_life_too(self, port: AdminPort, tmp_path: Path) -> None:
        port.now -= 60
        (tmp_path / "token.txt").write_text(mint({"exp": 2**53 - 1}))
        result = run(f"--token-file={tmp_path / 'token.txt'}", f"--admin={port.url}")
        assert result.exit_code == 0, result.output
        assert len(port.in_force) == 1

    def test_another_admin_token_is_refused_by_the_service(self, port: AdminPort) -> None:
        result = run("--list", f"--admin={port.url}", EXTAUTHZ_ADMIN_TOKEN="x" * 32)
        assert result.exit_code == 1
        assert "EXTAUTHZ_ADMIN_TOKEN" in result.stderr

    def test_a_service_that_takes_no_orders_says_how_it_would(self) -> None:
        with AdminPort(admin_tokens=()) as port:
            result = run("--list", f"--admin={port.url}")
        assert result.exit_code == 1
        assert "takes no orders: set EXTAUTHZ_ADMIN_TOKEN" in result.stderr

    def test_no_service_is_told_in_one_line(self, port: AdminPort) -> None:
        url = port.url
        port.server.stop()
        result = run("--list", f"--admin={url}")
        assert result.exit_code == 1
        assert "no answer from" in result.output
        assert "start the service" in result.output

    def test_a_process_that_does_not_answer_does_not_keep_the_others_from_being_told(self, port: AdminPort) -> None:
        with AdminPort() as gone:
            nobody = gone.url
        result = run("--jti=j", f"--admin={nobody}", f"--admin={port.url}")
        assert (result.exit_code, port.in_force) == (1, {("jti", "j", "")})
        assert f"extauthz: {nobody}: no answer from" in result.stderr

    def test_with_several_issuers_one_has_to_be_named(self) -> None:
        other = issuer(name="other", issuer="https://other.example.com")
        with AdminPort(now=time.time(), policy=policy(weather(issuers=(CASDOOR, other)))) as port:
            result = run("--jti=j", f"--admin={port.url}")
            assert result.exit_code == 1
            assert "name the issuer: `issuer` is one of casdoor, other" in result.stderr
            assert run("--jti=j", "--issuer=other", f"--admin={port.url}").exit_code == 0

    def test_one_process_of_several_that_fails_is_named(self, port: AdminPort, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(revocations, "MAX_REVOCATIONS", 0)
        result = run("--jti=j", f"--admin={port.url}")
        assert result.exit_code == 1
        assert f"extauthz: {port.url}: this process holds" in result.stderr

    def test_an_unknown_id_is_told(self, port: AdminPort) -> None:
        result = run("--undo=not-there-at-all", f"--admin={port.url}")
        assert result.exit_code == 1
        assert "no revocation in force has this id" in result.stderr
