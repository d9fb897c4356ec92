"""Process settings: flags before environment before defaults, and all faults at once."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.config.settings.secret import Secret
from extauthz.config.settings.settings import (
    KNOWN_VARIABLES,
    RevocationSettings,
    Settings,
    SettingsFaults,
    Transport,
    available_cpus,
    read_settings,
)
from extauthz.config.settings.variables import AskedVariables
from extauthz.service.endpoint import (
    Endpoint,
    TcpEndpoint,
    UnixEndpoint,
)

SECRET = "s" * 32
OTHER = "t" * 32


def good(env: dict[str, str] | None = None, **flags: str | int) -> Settings:
    found = read_settings(env or {}, **flags)  # type: ignore[arg-type]  # flags by name, as click hands them over
    assert isinstance(found, Settings), str(found)
    return found


def faults(env: dict[str, str], **flags: str | int) -> dict[str, str]:
    found = read_settings(env, **flags)  # type: ignore[arg-type]  # flags by name, as click hands them over
    assert isinstance(found, SettingsFaults)
    assert all(fault.hint for fault in found.faults)
    return {fault.setting: fault.message for fault in found.faults}


# --- ordinary ----------------------------------------------------------------------------------------------------


def test_nothing_set_gives_the_documented_defaults() -> None:
    assert good() == Settings(
        policy=Path("extauthz.yaml"),
        listen=TcpEndpoint("127.0.0.1", 9001),
        admin_listen=TcpEndpoint("127.0.0.1", 9002),
        workers=1,
        transport=Transport.GRPCIO,
    )


def test_the_environment_sets_everything(tmp_path: Path) -> None:
    for name in ("cert", "key", "ca"):
        (tmp_path / name).write_text("pem")
    settings = good(
        {
            "EXTAUTHZ_POLICY": "/etc/p.yaml",
            "EXTAUTHZ_SHADOW_POLICY": "/etc/shadow.yaml",
            "EXTAUTHZ_LISTEN": "0.0.0.0:7000",
            "EXTAUTHZ_ADMIN_LISTEN": "[::1]:8000",
            "EXTAUTHZ_WORKERS": "3",
            "EXTAUTHZ_TRANSPORT": "pyvoy",
            "EXTAUTHZ_REDIS_URL": "redis://:hunter2@redis:6379/0",
            "EXTAUTHZ_CACHE_SECRET": f"{SECRET},{OTHER}",
            "EXTAUTHZ_TLS_CERT": str(tmp_path / "cert"),
            "EXTAUTHZ_TLS_KEY": str(tmp_path / "key"),
            "EXTAUTHZ_TLS_CLIENT_CA": str(tmp_path / "ca"),
        }
    )
    assert settings.policy == Path("/etc/p.yaml")
    assert settings.shadow_policy == Path("/etc/shadow.yaml")
    assert settings.listen == TcpEndpoint("0.0.0.0", 7000)
    assert settings.admin_listen == TcpEndpoint("::1", 8000)
    assert (settings.workers, settings.transport) == (3, Transport.PYVOY)
    assert settings.redis is not None
    assert settings.redis.url.reveal() == "redis://:hunter2@redis:6379/0"
    assert settings.redis.cache_secrets == (Secret(SECRET), Secret(OTHER))
    assert settings.tls is not None
    assert settings.tls.client_ca == tmp_path / "ca"


def test_no_secret_shows_in_the_settings() -> None:
    settings = good({"EXTAUTHZ_REDIS_URL": "redis://:hunter2@redis", "EXTAUTHZ_CACHE_SECRET": SECRET})
    assert "hunter2" not in repr(settings)
    assert SECRET not in repr(settings)


def test_flags_win_over_the_environment() -> None:
    env = {"EXTAUTHZ_POLICY": "a", "EXTAUTHZ_LISTEN": "h:1", "EXTAUTHZ_WORKERS": "2", "EXTAUTHZ_ADMIN_LISTEN": "h:3"}
    settings = good(env, policy="b", listen="unix:/s", workers=1, admin_listen="h:4", transport="grpcio")
    assert settings.policy == Path("b")
    assert settings.listen == UnixEndpoint("/s")
    assert settings.admin_listen == TcpEndpoint("h", 4)
    assert settings.workers == 1


def test_an_empty_variable_is_not_set() -> None:
    assert good(dict.fromkeys(KNOWN_VARIABLES, "")) == good()


@pytest.mark.parametrize(
    ("listen", "workers", "admin"),
    [
        ("127.0.0.1:9001", "1", TcpEndpoint("127.0.0.1", 9002)),
        ("127.0.0.1:9001", "4", TcpEndpoint("127.0.0.1", 9005)),
        ("0.0.0.0:7000", "2", TcpEndpoint("127.0.0.1", 7002)),
        ("127.0.0.1:0", "2", TcpEndpoint("127.0.0.1", 0)),
        ("unix:/run/a.sock", "2", TcpEndpoint("127.0.0.1", 9002)),
    ],
)
def test_the_admin_port_follows_the_workers(listen: str, workers: str, admin: Endpoint) -> None:
    assert good(listen=listen, workers=workers).admin_listen == admin


def test_workers_count_ports_up() -> None:
    settings = good(listen="[::1]:9001", workers="2")
    assert [str(settings.worker_listen(number)) for number in range(2)] == ["[::1]:9001", "[::1]:9002"]
    assert str(settings.worker_admin_listen(1)) == "127.0.0.1:9004"


def test_auto_means_the_cores_that_there_are() -> None:
    found = read_settings({"EXTAUTHZ_WORKERS": "auto"}, cpus=6)
    assert isinstance(found, Settings)
    assert found.workers == 6
    assert good(workers="auto").workers == available_cpus() >= 1


@pytest.mark.parametrize("text", [f"{SECRET}\n{OTHER}\n", f"{SECRET},{OTHER}", f" {SECRET} ,\n{OTHER}"])
def test_two_cache_secrets_in_a_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret").write_text(text)
    env = {"EXTAUTHZ_REDIS_URL": "rediss://r", "EXTAUTHZ_CACHE_SECRET_FILE": str(tmp_path / "secret")}
    redis = good(env).redis
    assert redis is not None
    assert redis.cache_secrets == (Secret(SECRET), Secret(OTHER))


@pytest.mark.parametrize(
    "name",
    [
        *("EXTAUTHZ_PORT", "EXTAUTHZ_SERVICE_HOST", "EXTAUTHZ_SERVICE_PORT", "EXTAUTHZ_SERVICE_PORT_GRPC"),
        *("EXTAUTHZ_PORT_9001_TCP", "EXTAUTHZ_PORT_9001_TCP_ADDR", "EXTAUTHZ_CLIENT_SECRET", "PATH"),
    ],
)
def test_variables_of_kubernetes_and_of_the_operator_are_no_faults(name: str) -> None:
    assert good({name: "tcp://10.0.0.1:9001"}) == good()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EXTAUTHZ_SERVICE_HOST", "10.96.0.7"),
        ("EXTAUTHZ_SERVICE_PORT", "9001"),
        ("EXTAUTHZ_SERVICE_PORT_GRPC_CHECKS", "9001"),
        ("EXTAUTHZ_PORT", "tcp://10.96.0.7:9001"),
        ("EXTAUTHZ_PORT", "tcp://[fd00::7]:9001"),
        ("EXTAUTHZ_PORT_9001_TCP", "tcp://10.96.0.7:9001"),
        ("EXTAUTHZ_PORT_9001_TCP_PROTO", "tcp"),
        ("EXTAUTHZ_PORT_9001_TCP_PORT", "9001"),
        ("EXTAUTHZ_PORT_9001_TCP_ADDR", "10.96.0.7"),
        ("EXTAUTHZ_ADMIN_PORT", "tcp://10.96.0.8:9002"),
        ("EXTAUTHZ_REDIS_SERVICE_HOST", "10.96.0.9"),
    ],
)
def test_what_kubernetes_sets_for_a_service_of_that_name_is_no_setting(name: str, value: str) -> None:
    assert good({name: value}).unknown_variables == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EXTAUTHZ_PORT", "9001"),
        ("EXTAUTHZ_REDIS_PORT", "6379"),
        ("EXTAUTHZ_REDIS_HOST", "redis"),
        ("EXTAUTHZ_ISSUER", "https://door.example.com"),
        ("EXTAUTHZ_", "x"),
        ("extauthz_issuer", "x"),
    ],
)
def test_other_variables_with_our_prefix_are_unknown(name: str, value: str) -> None:
    assert good({name: value}).unknown_variables == (name,)


def test_what_the_policy_asks_for_is_remembered() -> None:
    asked = AskedVariables({"A": "1", "B": "2"})
    assert asked.get("A") == "1"
    assert asked.get("C") is None
    assert (asked.asked, len(asked), set(asked)) == ({"A", "C"}, 2, {"A", "B"})


REDIS = {"EXTAUTHZ_REDIS_URL": "redis://r", "EXTAUTHZ_CACHE_SECRET": SECRET}


def test_a_redis_password_comes_from_a_variable_or_a_file_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a,b+c \n")
    file = {"EXTAUTHZ_REDIS_PASSWORD_FILE": str(tmp_path / "password")}
    for env, password in (({"EXTAUTHZ_REDIS_PASSWORD": " x,y "}, " x,y "), (file, "a,b+c ")):
        redis = good({**REDIS, **env}).redis
        assert redis is not None
        assert redis.password == Secret(password)
        assert password not in repr(redis)
    assert redis.password_file == tmp_path / "password"


def test_a_redis_password_that_cannot_be(tmp_path: Path) -> None:
    name, file = "EXTAUTHZ_REDIS_PASSWORD", "EXTAUTHZ_REDIS_PASSWORD_FILE"
    assert "cannot be read" in faults({**REDIS, file: str(tmp_path)})[file]
    assert "set together" in faults({**REDIS, name: "x", file: "y"})[name]
    assert "while a password" in faults({name: "x"})["EXTAUTHZ_REDIS_URL"]


# --- faults ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["EXTAUTHZ_REDIS_UR", "EXTAUTHZ_REDIS_URI", "EXTAUTHZ_LISTENS", "extauthz_workers"])
def test_a_misspelt_variable_is_a_fault(name: str) -> None:
    assert faults({name: "x"}) == {name: "no such setting"}


def test_all_faults_are_told_at_once() -> None:
    env = {
        "EXTAUTHZ_LISTEN": "nowhere",
        "EXTAUTHZ_ADMIN_LISTEN": "host:99999",
        "EXTAUTHZ_WORKERS": "many",
        "EXTAUTHZ_TRANSPORT": "http",
        "EXTAUTHZ_REDIS_URL": "http://:hunter2@redis",
        "EXTAUTHZ_CACHE_SECRET": "short",
        "EXTAUTHZ_TLS_CERT": "/no/such/file",
    }
    told = faults(env)
    assert set(told) == {*env, "EXTAUTHZ_TLS_KEY"}
    assert "hunter2" not in str(read_settings(env))
    assert "short" not in told["EXTAUTHZ_CACHE_SECRET"].replace("a secret of 5 bytes", "")


def test_a_fault_names_the_flag_when_the_flag_was_given() -> None:
    assert set(faults({}, listen="nowhere", workers="0")) == {"--listen", "--workers"}
    assert str(read_settings({}, workers="0")) == '--workers: "0" is no number of workers (use 1 to 256, or "auto")'


@pytest.mark.parametrize("workers", ["0", "-1", "257", "1.5", "", "two", "99999", " 1"])
def test_numbers_of_workers_that_cannot_be(workers: str) -> None:
    assert "--workers" in faults({}, workers=workers)


@pytest.mark.parametrize(
    ("listen", "admin", "workers"),
    [
        ("127.0.0.1:9001", "127.0.0.1:9001", "1"),
        ("127.0.0.1:9001", "127.0.0.1:9003", "3"),
        ("127.0.0.1:9001", "127.0.0.1:9000", "2"),
        ("0.0.0.0:9001", "127.0.0.1:9001", "1"),
        ("127.0.0.1:9001", "0.0.0.0:9001", "1"),
        ("unix:/a", "unix:/a", "1"),
        ("unix:/a", "unix:/a.1", "2"),
    ],
)
def test_admin_and_checks_do_not_meet(listen: str, admin: str, workers: str) -> None:
    told = faults({}, listen=listen, admin_listen=admin, workers=workers)
    assert "meets where checks come in" in told["--admin-listen"]


@pytest.mark.parametrize(
    ("listen", "admin"), [("127.0.0.1:9001", "127.0.0.2:9001"), ("h:0", "h:0"), ("unix:/a", "unix:/b")]
)
def test_endpoints_that_do_not_meet(listen: str, admin: str) -> None:
    assert good(listen=listen, admin_listen=admin).workers == 1


@pytest.mark.parametrize(("flag", "port"), [("listen", 65535), ("admin_listen", 65535)])
def test_ports_do_not_count_up_beyond_the_last(flag: str, port: int) -> None:
    assert "--" + flag.replace("_", "-") in faults({}, **{flag: f"h:{port}"}, workers="2")


@pytest.mark.parametrize("url", ["redis:", "localhost:6379", "http://redis", "redis"])
def test_other_redis_urls(url: str) -> None:
    assert set(faults({"EXTAUTHZ_REDIS_URL": url, "EXTAUTHZ_CACHE_SECRET": SECRET})) == {"EXTAUTHZ_REDIS_URL"}


@pytest.mark.parametrize("text", ["", ",", " \n,\n "])
def test_redis_needs_a_cache_secret(text: str) -> None:
    told = faults({"EXTAUTHZ_REDIS_URL": "redis://r", "EXTAUTHZ_CACHE_SECRET": text})
    assert "needed with EXTAUTHZ_REDIS_URL" in told["EXTAUTHZ_CACHE_SECRET"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s" * 31, "a secret of 31 bytes"),
        (f"{SECRET},short", "a secret of 5 bytes"),
        (f"{SECRET},{OTHER},{SECRET}", "3 secrets"),
        (SECRET + "\udcff", "not UTF-8 text"),
    ],
)
def test_cache_secrets_that_cannot_be(text: str, message: str) -> None:
    assert (
        message in faults({"EXTAUTHZ_REDIS_URL": "redis://r", "EXTAUTHZ_CACHE_SECRET": text})["EXTAUTHZ_CACHE_SECRET"]
    )


def test_bytes_count_and_not_characters() -> None:
    assert good({"EXTAUTHZ_REDIS_URL": "redis://r", "EXTAUTHZ_CACHE_SECRET": "é" * 16}).redis is not None


def test_the_cache_secret_has_one_source(tmp_path: Path) -> None:
    env = {"EXTAUTHZ_CACHE_SECRET": SECRET, "EXTAUTHZ_CACHE_SECRET_FILE": str(tmp_path / "none")}
    assert "set together" in faults(env)["EXTAUTHZ_CACHE_SECRET"]
    assert (
        "cannot be read" in faults({"EXTAUTHZ_CACHE_SECRET_FILE": str(tmp_path / "none")})["EXTAUTHZ_CACHE_SECRET_FILE"]
    )


def test_tls_needs_certificate_and_key(tmp_path: Path) -> None:
    (tmp_path / "pem").write_text("pem")
    for name, missing in (
        ("EXTAUTHZ_TLS_CERT", {"EXTAUTHZ_TLS_KEY"}),
        ("EXTAUTHZ_TLS_KEY", {"EXTAUTHZ_TLS_CERT"}),
        ("EXTAUTHZ_TLS_CLIENT_CA", {"EXTAUTHZ_TLS_CERT", "EXTAUTHZ_TLS_KEY"}),
    ):
        assert set(faults({name: str(tmp_path / "pem")})) == missing


def test_tls_on_a_unix_socket_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "pem").write_text("pem")
    env = {"EXTAUTHZ_TLS_CERT": str(tmp_path / "pem"), "EXTAUTHZ_TLS_KEY": str(tmp_path / "pem")}
    assert "protects nothing" in faults(env, listen="unix:/a")["EXTAUTHZ_TLS_CERT"]


# --- who may call --------------------------------------------------------------------------------------------------


def mtls(tmp_path: Path, names: str) -> dict[str, str]:
    (tmp_path / "pem").write_text("pem")
    files = dict.fromkeys(("EXTAUTHZ_TLS_CERT", "EXTAUTHZ_TLS_KEY", "EXTAUTHZ_TLS_CLIENT_CA"), str(tmp_path / "pem"))
    return {**files, "EXTAUTHZ_TLS_CLIENT_SAN": names}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("envoy.edge.svc", {"envoy.edge.svc"}),
        (" Envoy.Edge.SVC , spiffe://Acme.test/ns/Edge ", {"envoy.edge.svc", "spiffe://Acme.test/ns/Edge"}),
        ("urn:acme:envoy", {"urn:acme:envoy"}),
        ("", set()),
    ],
)
def test_names_of_clients_are_listed(tmp_path: Path, text: str, names: set[str]) -> None:
    settings = good(mtls(tmp_path, text))
    assert settings.tls is not None
    assert settings.tls.client_names == names


@pytest.mark.parametrize(
    "text",
    [
        "*.edge.svc",
        "a,,b",
        "a b",
        ",",
        ".",
        "-a",
        "a..b",
        "spiffe://a b",
        "http://é.test",
        "x" * 254,
        ",".join(["a"] * 65),
    ],
)
def test_a_list_that_names_nobody_is_a_fault(tmp_path: Path, text: str) -> None:
    assert set(faults(mtls(tmp_path, text))) == {"EXTAUTHZ_TLS_CLIENT_SAN"}


def test_names_without_an_authority_are_a_fault(tmp_path: Path) -> None:
    """They would look like a guard and be none."""
    env = mtls(tmp_path, "envoy.edge.svc")
    del env["EXTAUTHZ_TLS_CLIENT_CA"]
    assert "EXTAUTHZ_TLS_CLIENT_CA" in faults(env)["EXTAUTHZ_TLS_CLIENT_SAN"]
    assert "EXTAUTHZ_TLS_CLIENT_CA" in faults({"EXTAUTHZ_TLS_CLIENT_SAN": "a"})["EXTAUTHZ_TLS_CLIENT_SAN"]


@pytest.mark.parametrize(
    ("listen", "is_open"),
    [
        ("127.0.0.1:1", False),
        ("127.8.9.10:1", False),
        ("[::1]:1", False),
        ("[::ffff:127.0.0.1]:1", False),
        ("localhost:1", False),
        ("unix:/run/x", False),
        ("0.0.0.0:1", True),
        ("[::]:1", True),
        ("10.0.0.1:1", True),
        ("[::ffff:10.0.0.1]:1", True),
        ("localhost.evil.test:1", True),
        ("pod-1:1", True),
    ],
)
def test_who_can_reach_the_port(tmp_path: Path, listen: str, is_open: bool) -> None:
    assert good(listen=listen).open_to_network is is_open
    if not listen.startswith("unix:"):
        env = mtls(tmp_path, "")
        assert not good(env, listen=listen).open_to_network
        del env["EXTAUTHZ_TLS_CLIENT_CA"]
        assert good(env, listen=listen).open_to_network is is_open


@pytest.mark.parametrize(("text", "is_on"), [("", True), ("on", True), ("off", False)])
def test_the_fast_path_can_be_switched_off(text: str, is_on: bool) -> None:
    assert good({"EXTAUTHZ_FAST_PATH": text}).fast_path is is_on


@pytest.mark.parametrize("text", ["Off", "0", "false", "no", "offf"])
def test_a_switch_is_on_or_off(text: str) -> None:
    assert set(faults({"EXTAUTHZ_FAST_PATH": text})) == {"EXTAUTHZ_FAST_PATH"}


# --- who may revoke ------------------------------------------------------------------------------------------------

WAYS_IN = {
    "EXTAUTHZ_ADMIN_TOKEN": "admin_tokens",
    "EXTAUTHZ_CASDOOR_SSO_SECRET": "casdoor_sso_secrets",
    "EXTAUTHZ_CASDOOR_WEBHOOK_SECRET": "casdoor_webhook_secrets",
}


def test_nobody_may_revoke_unless_told() -> None:
    assert good().revocation == RevocationSettings()


@pytest.mark.parametrize(("variable", "field"), WAYS_IN.items())
def test_secrets_of_those_who_may_revoke_come_from_variables_or_files(
    tmp_path: Path, variable: str, field: str
) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n{OTHER}\n")
    for env in ({variable: f"{SECRET},{OTHER}"}, {f"{variable}_FILE": str(tmp_path / "secret")}):
        settings = good(env)
        assert getattr(settings.revocation, field) == (Secret(SECRET), Secret(OTHER))
        assert SECRET not in repr(settings)


@pytest.mark.parametrize("variable", WAYS_IN)
def test_a_secret_that_can_be_guessed_or_has_two_sources_is_a_fault(tmp_path: Path, variable: str) -> None:
    assert "a secret of 5 bytes" in faults({variable: "short"})[variable]
    both = {variable: SECRET, f"{variable}_FILE": str(tmp_path / "secret")}
    assert "set together" in faults(both)[variable]
    assert "cannot be read" in faults({f"{variable}_FILE": str(tmp_path / "none")})[f"{variable}_FILE"]


@pytest.mark.parametrize("variable", ["EXTAUTHZ_CASDOOR_SSO_SECRET", "EXTAUTHZ_CASDOOR_WEBHOOK_SECRET"])
def test_events_that_would_reach_one_of_several_workers_alone_are_a_fault(variable: str) -> None:
    assert "one of 2 workers alone" in faults({variable: SECRET}, workers="2")[variable]
    shared = {"EXTAUTHZ_REDIS_URL": "redis://r", "EXTAUTHZ_CACHE_SECRET": SECRET}
    assert good({variable: SECRET, **shared}, workers="2").workers == 2
    assert good({"EXTAUTHZ_ADMIN_TOKEN": SECRET}, workers="2").workers == 2


def test_there_is_a_secret_for_each_application_and_two_of_everything_else() -> None:
    many = ",".join(str(number) * 32 for number in range(10))
    assert len(good({"EXTAUTHZ_CASDOOR_SSO_SECRET": many}).revocation.casdoor_sso_secrets) == 10
    assert "10 secrets" in faults({"EXTAUTHZ_ADMIN_TOKEN": many})["EXTAUTHZ_ADMIN_TOKEN"]
    assert "10 secrets" in faults({"EXTAUTHZ_CASDOOR_WEBHOOK_SECRET": many})["EXTAUTHZ_CASDOOR_WEBHOOK_SECRET"]


# --- endpoints ---------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.sampled_from(KNOWN_VARIABLES), st.text(max_size=20)))
def test_no_environment_raises(env: dict[str, str]) -> None:
    assert isinstance(read_settings(env), Settings | SettingsFaults)


def test_the_reference_has_every_variable_and_no_other() -> None:
    reference = Path(__file__).parents[4] / "docs" / "reference" / "settings.md"
    rows = [line for line in reference.read_text().splitlines() if line.startswith("| `EXTAUTHZ_")]
    named = {name for row in rows for name in re.findall(r"`(EXTAUTHZ_[A-Z_]+)`", row.split("|")[1])}
    assert named == set(KNOWN_VARIABLES)
