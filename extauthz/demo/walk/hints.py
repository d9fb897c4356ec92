"""What to try by hand while the demo is up."""

import shutil
import sys
from pathlib import Path
from typing import Final

from extauthz.demo.system import System
from extauthz.demo.walk import messages
from extauthz.demo.walk.messages import Message
from extauthz.demo.walk.narrator import Narrator

INSPECTOR: Final = "npx @modelcontextprotocol/inspector"


def curl(url: str, message: Message, token_file: Path) -> str:
    """A command line that sends this message with the token in that file."""
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream", **message.headers}
    lines = [f'curl -si {url} -H "authorization: Bearer $(cat {token_file})"']
    lines += [f"  -H '{name}: {value}'" for name, value in headers.items()]
    lines += [f"  -d '{message.body}'"]
    return " \\\n".join(lines)


def _extauthz() -> str:
    """The command as it can be typed here."""
    return "extauthz" if shutil.which("extauthz") else f"{sys.executable} -m extauthz"


def show_hints(narrator: Narrator, system: System, token_file: Path) -> None:
    """Print commands: curl with a ready token, MCP Inspector, the SDK's client, and where to look."""
    url = f"{system.url}/mcp"
    narrator.section(f"It stays up on {url} until Ctrl-C. Try by hand:")
    narrator.line()
    narrator.line("A call that is allowed (the token of alice with weather:write lies in a file, for an hour):", "dim")
    narrator.line(curl(url, messages.tool_call(1, "get_forecast", city="Lisbon"), token_file))
    narrator.line()
    narrator.line("One that the policy forbids:", "dim")
    narrator.line(curl(url, messages.tool_call(2, "purge"), token_file))
    narrator.line()
    narrator.line(
        "MCP Inspector: sign in on the issuer's page as alice or bob (mallory is of another organization):", "dim"
    )
    narrator.line(f"{INSPECTOR}   # then: Streamable HTTP, {url}, Direct, Connect")
    narrator.line(
        f"{INSPECTOR} --cli {url} --transport http --method tools/list "
        f'--header "Authorization: Bearer $(cat {token_file})"'
    )
    narrator.line()
    narrator.line("Why a request is decided as it is, step by step, without sending it:", "dim")
    narrator.line(f"{_extauthz()} explain --policy {system.policy_file} --token-file {token_file} --tool purge")
    narrator.line()
    narrator.line("Change the policy and watch the next call: the service reloads it at once.", "dim")
    narrator.line(f"$EDITOR {system.policy_file}")
    narrator.line()
    narrator.line("Where to look:", "dim")
    narrator.line(f"http://127.0.0.1:{system.admin_port}/          the service's status page, /metrics, /readyz")
    narrator.line(f"http://127.0.0.1:{system.envoy_admin_port}/stats     Envoy's own numbers")
    narrator.line(f"{system.folder}     policy, Envoy's configuration, logs; removed at the end")
