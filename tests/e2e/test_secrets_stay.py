"""Every secret of the configuration, over every way out, while everything that the process talks to quotes them."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import tokens
from tests.support.checks import call_tool, check_request
from tests.support.http_issuer import HttpIssuer
from tests.support.quoting_redis import QuotingRedis
from tests.support.served import Served, policy_text
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

SECRETS = {
    "redis": "Redis+Password/of=the URL",
    "cache": "cache-secret-of-at-least-32-bytes",
    "older cache": "older-cache-secret-of-32-bytes-too",
    "admin": "admin-token-of-at-least-32-bytes-",
    "sso": "sso-client-secret-of-32-bytes-long",
    "webhook": "webhook-secret-of-32-bytes-or-more",
    "introspection": "introspection-client-secret",
}
WRITTEN = (
    *SECRETS.values(),
    "Redis%2BPassword%2Fof%3Dthe%20URL",
    "Redis+Password/of=the%20URL",
    "Redis%2BPassword",
)


@pytest.fixture
def issuer() -> Iterator[HttpIssuer]:
    with HttpIssuer() as running:
        running.answer("/jwks", body=tokens.key_set_document())
        # An issuer that repeats what it was sent, in the headers and the body of an error.
        said = " ".join(SECRETS.values())
        running.answer("/introspect", status=500, body=said.encode(), headers={"x-said": said, "content-type": said})
        yield running


def policy(issuer: HttpIssuer, folder: Path) -> str:
    (folder / "introspection").write_text(SECRETS["introspection"])
    named = f"""
    introspection:
      client_id: gw
      client_secret_file: {folder / "introspection"}
      endpoint: {issuer.url}/introspect
"""
    return policy_text(issuer.url).replace("    organizations: [acme]\n", f"    organizations: [acme]{named}")


@pytest.mark.parametrize("protocol", ["2", "3"])
@pytest.mark.parametrize("by", ["url", "file"])
def test_no_secret_leaves(tmp_path: Path, issuer: HttpIssuer, protocol: str, by: str) -> None:
    (tmp_path / "password").write_text(SECRETS["redis"] + "\n")
    with QuotingRedis(WRITTEN) as redis:
        password = ":Redis%2BPassword%2Fof%3Dthe%20URL@" if by == "url" else ""
        environment = {
            "EXTAUTHZ_REDIS_URL": f"redis://{password}127.0.0.1:{redis.port}/0?protocol={protocol}",
            "EXTAUTHZ_CACHE_SECRET": f"{SECRETS['cache']},{SECRETS['older cache']}",
            "EXTAUTHZ_ADMIN_TOKEN": SECRETS["admin"],
            "EXTAUTHZ_CASDOOR_SSO_SECRET": SECRETS["sso"],
            "EXTAUTHZ_CASDOOR_WEBHOOK_SECRET": SECRETS["webhook"],
            "EXTAUTHZ_DEBUG": "1",
            "OTEL_TRACES_EXPORTER": "console",
            "OTEL_LOGS_EXPORTER": "console",
            "OTEL_METRICS_EXPORTER": "console",
        }
        if by == "file":
            environment["EXTAUTHZ_REDIS_PASSWORD_FILE"] = str(tmp_path / "password")
        with Served(tmp_path, policy(issuer, tmp_path), environment=environment) as served:
            admin = f"http://127.0.0.1:{served.admin_port}"
            told = httpx.Client(base_url=admin, trust_env=False, timeout=10)

            def shown() -> list[str]:
                for scope in ("weather:read", "weather:write"):
                    served.ask(
                        check_request(call_tool("set_alert"), token=tokens.mint({"scope": scope}, now=time.time()))
                    )
                pages = [told.get(path).text for path in ("/", "/readyz", "/livez", "/metrics", "/nothing")]
                headers = {"Authorization": f"Bearer {SECRETS['admin']}"}
                pages.append(told.get("/revocations", headers=headers).text)
                item = {"by": "jti", "value": "x", "issuer": SECRETS["redis"]}
                pages.append(told.post("/revocations", json=item, headers=headers).text)
                pages.append(told.post("/events/casdoor/webhook", json={}, headers=headers).text)
                return pages

            eventually(lambda: "sign" in shown()[0], "the status page tells why Redis is not used")
            pages = shown()
            served.policy.write_text("version: 1\nnonsense: " + SECRETS["introspection"] + "\n")
            eventually(lambda: "was not loaded" in served.program.output(), "the fault is logged")
            pages += shown()
            told.close()
        assert any(SECRETS["redis"].encode() in words for words in redis.heard), "the password was sent"
        everything = "\n".join((served.program.output(), *pages))
    assert [secret for secret in WRITTEN if secret in everything] == []
    assert "extauthz.check" in everything  # spans are among it
    assert "extauthz_checks" in everything  # and metrics


@pytest.mark.parametrize("name", ["EXTAUTHZ_ISSUER", "EXTAUTHZ_PORT", "EXTAUTHZ_REDIS_PORT"])
def test_an_unknown_variable_stops_it_unless_the_policy_names_it(tmp_path: Path, issuer: HttpIssuer, name: str) -> None:
    from extauthz.demo.processes import ProgramError

    served = Served(tmp_path, policy_text(issuer.url), environment={name: "9001"})
    with pytest.raises(ProgramError):
        served.program.__enter__()
    assert f'"{name}": no such setting' in served.program.output()
    named = (
        policy(issuer, tmp_path)
        .replace("client_secret_file: ", "client_secret_env: ")
        .replace(str(tmp_path / "introspection"), name)
    )
    with Served(tmp_path, named, environment={name: "9001"}) as running:
        assert running.ask(check_request()).status == 401


def test_the_start_line_tells_what_it_is_connected_to(tmp_path: Path, issuer: HttpIssuer) -> None:
    environment = {
        "EXTAUTHZ_REDIS_URL": "redis://svc:hunter2@127.0.0.1:1/3?protocol=3",
        "EXTAUTHZ_CACHE_SECRET": SECRETS["cache"],
        "OTEL_TRACES_EXPORTER": "console",
        "EXTAUTHZ_PORT": "tcp://10.96.0.1:9001",
        "EXTAUTHZ_SERVICE_HOST": "10.96.0.1",
    }
    with Served(tmp_path, policy_text(issuer.url), environment=environment) as served:
        eventually(lambda: " serving on " in served.program.output(), "the start line is written")
        (line,) = [line for line in served.program.output().splitlines() if " serving on " in line]
    for part in (
        f"serving on 127.0.0.1:{served.port} (no TLS)",
        f"admin on 127.0.0.1:{served.admin_port}",
        "issuers https://door.casdoor.test",
        "Redis redis://127.0.0.1:1/3",
        "exporters traces by console",
    ):
        assert part in line
    assert "hunter2" not in line
