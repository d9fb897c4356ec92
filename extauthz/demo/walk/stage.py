"""What the steps share: the running system, a client's HTTP connection, and what earlier steps have obtained."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from extauthz.demo.system import System
from extauthz.demo.walk.expect import OtherwiseError, expect
from extauthz.demo.walk.messages import Message, answer_of
from extauthz.demo.walk.narrator import Narrator
from extauthz.demo.walk.sign_in import Client

TIMEOUT_S: Final = 15.0
SHOWN_HEADERS: Final = ("www-authenticate", "retry-after", "allow", "x-extauthz-decision")
SHOWN_BODY: Final = 400
"""Characters of a body that are shown."""
ACCEPT: Final = "application/json, text/event-stream"


@dataclass(slots=True, kw_only=True)
class Stage:
    """Filled by the steps as they go: a later step that needs what an earlier one failed to get says so."""

    system: System
    narrator: Narrator
    http: httpx.Client
    challenge: str = ""
    client: Client | None = None
    tokens: dict[str, str] = field(default_factory=dict, repr=False)
    """Access tokens by what they are good for."""
    trace_id: str = ""

    @property
    def resource(self) -> str:
        """The protected server's address, as clients know it."""
        return f"{self.system.url}/mcp"

    def token(self, kind: str) -> str:
        """A token that an earlier step obtained. Raises OtherwiseError when it did not."""
        if kind not in self.tokens:
            raise OtherwiseError(f"a token from an earlier step ({kind})", "that step did not get one")
        return self.tokens[kind]

    def post(self, message: Message, *, token: str = "", **headers: str) -> httpx.Response:
        """Send a message to the server through Envoy, and show both directions."""
        sent = {"content-type": "application/json", "accept": ACCEPT, **message.headers, **headers}
        if token:
            sent["authorization"] = f"Bearer {token}"
        shown = "with a token" if token else "without a token"
        self.narrator.sent(f"POST {self.resource} {shown}", message.summary)
        response = self.http.post(self.resource, content=message.body, headers=sent)
        self.show(response)
        return response

    def show(self, response: httpx.Response) -> None:
        """Show an answer: status, headers that matter, a little of the body; of a refusal also the operator's view."""
        headers = {name: response.headers[name] for name in SHOWN_HEADERS if name in response.headers}
        self.narrator.answered(
            f"{response.status_code} {response.reason_phrase}",
            good=response.is_success,
            headers=headers,
            body=_shown_body(response),
        )
        decision = response.headers.get("x-extauthz-decision", "")
        if decision:
            seen = operator_view(self.system.audit_line(decision))
            self.narrator.operator(seen.replace(f"{self.system.folder}/", ""))


def operator_view(audit_line: str) -> str:
    """The reason and its detail in an audit line."""
    try:
        entry = json.loads(audit_line)
    except ValueError:
        return audit_line or "no audit line has come"
    if not isinstance(entry, dict):
        return audit_line
    return " ".join(f"{name}={entry[name]}" for name in ("reason", "detail", "rule") if entry.get(name))


def result_of(response: httpx.Response) -> dict[str, Any]:
    """The result of a JSON-RPC request that went through. Raises OtherwiseError when it did not."""
    expect("status", 200, response.status_code)
    answer = answer_of(response)
    if not isinstance(answer.get("result"), dict):
        raise OtherwiseError("a JSON-RPC result", json.dumps(answer) if answer else "no JSON-RPC message")
    result: dict[str, Any] = answer["result"]
    return result


def _shown_body(response: httpx.Response) -> str:
    answer = answer_of(response)
    text = json.dumps(_gist(answer), ensure_ascii=False) if answer else response.text
    return text if len(text) <= SHOWN_BODY else text[:SHOWN_BODY] + " …"


def _gist(answer: Mapping[str, Any]) -> object:
    """What of an answer is worth a line: the error, a tool's own result, names instead of whole lists."""
    if isinstance(answer.get("error"), dict):
        return {"error": answer["error"]}
    result = answer.get("result")
    if not isinstance(result, dict):
        return answer
    if isinstance(result.get("tools"), list):
        return {"tools": [tool.get("name") for tool in result["tools"]]}
    for telling in ("structuredContent", "supportedVersions", "protocolVersion"):
        if telling in result:
            return result[telling] if telling == "structuredContent" else {telling: result[telling]}
    return result
