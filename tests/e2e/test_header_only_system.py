"""`header_only` with everything real: the service sees no body, the MCP server compares it with the headers."""

import json
from collections.abc import Iterator

import pytest

from extauthz.demo.issuer import DemoIssuer
from extauthz.demo.system import Addresses, System
from tests.e2e.conftest import two_resources
from tests.support.mcp_requests import call, modern, post
from tests.support.rendered_edge import Answer, ask

pytestmark = pytest.mark.e2e


def on_headers(addresses: Addresses) -> str:
    """The usual policy without the condition on arguments, decided on headers where they settle it."""
    text = two_resources(addresses).replace(" && args.city != 'Atlantis'", "")
    return text.replace("    baseline: [weather:read]", "    header_only: true\n    baseline: [weather:read]")


@pytest.fixture(scope="module")
def deciding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A whole system with this policy."""
    with System(tmp_path_factory.mktemp("header-only"), policy=on_headers, issuer=DemoIssuer(consents=True)) as running:
        yield running


def sent(system: System, name: str, header: str, *, legacy: bool = False) -> Answer:
    """A call of `name` under the header `header`, by alice, who may read."""
    token = system.issuer.token("alice", resource=f"{system.url}/mcp", scopes=["weather:read"]).access_token
    message = call(name, arguments={"city": "Rome"})
    made = post(message) if legacy else modern(message, {"mcp-name": header})
    return ask(
        system.port,
        "POST",
        "/mcp",
        host=system.url.partition("://")[2],
        headers={key: value for key, value in made.headers.items() if key != "content-length"}
        | {"authorization": f"Bearer {token}"},
        body=made.body,
    )


def recorded(system: System, answer: Answer) -> dict[str, object]:
    """The audit line of an answer's decision."""
    line: dict[str, object] = json.loads(system.audit_line(answer.header("x-extauthz-decision")))
    return line


def test_a_permitted_call_is_answered_by_the_server(deciding: System) -> None:
    answer = sent(deciding, "get_forecast", "get_forecast")
    assert answer.status == 200
    assert b"result" in answer.body


def test_a_call_by_a_name_that_is_refused_is_refused_before_its_body_counts(deciding: System) -> None:
    answer = sent(deciding, "get_forecast", "set_alert")
    assert answer.status == 403
    line = recorded(deciding, answer)
    assert (line["reason"], line["header_only"]) == ("scope_insufficient", True)
    assert json.loads(answer.body)["id"] is None


def test_a_body_that_says_otherwise_is_refused_by_the_server(deciding: System) -> None:
    """The one thing that only the server can see: alice may not change alerts, and does not."""
    answer = sent(deciding, "set_alert", "get_forecast")
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["code"] == -32020
    assert not answer.header("x-extauthz-decision")


def test_an_older_client_is_decided_on_by_its_body(deciding: System) -> None:
    answer = sent(deciding, "set_alert", "", legacy=True)
    assert answer.status == 403
    line = recorded(deciding, answer)
    assert line["reason"] == "scope_insufficient"
    assert "header_only" not in line
