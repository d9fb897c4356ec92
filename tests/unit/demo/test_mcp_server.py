"""The demo's MCP server: what it offers, and that it decides nothing about access."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client

from extauthz.demo import mcp_server as module
from extauthz.demo.mcp_server import server
from extauthz.demo.processes import free_port
from extauthz.demo.programs import mcp_server
from extauthz.demo.walk.messages import answer_of, tool_call


def ask(method: str, *arguments: Any) -> Any:
    async def inside() -> Any:
        async with Client(server()) as client:
            return await getattr(client, method)(*arguments)

    return asyncio.run(inside())


def test_it_offers_three_tools_a_prompt_and_resources() -> None:
    assert sorted(tool.name for tool in ask("list_tools").tools) == ["get_forecast", "purge", "set_alert"]
    assert [prompt.name for prompt in ask("list_prompts").prompts] == ["packing_list"]
    assert ask("read_resource", "weather://forecast/Oslo").contents[0].text == "-2 °C, snow"


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [("get_forecast", {"city": "Oslo"}), ("set_alert", {"city": "Oslo", "below_celsius": 1}), ("purge", {})],
)
def test_every_tool_works_for_whoever_reaches_it(tool: str, arguments: dict[str, Any]) -> None:
    result = ask("call_tool", tool, arguments)
    assert not result.is_error
    assert result.structured_content["caller"] == {"headers": {}, "token_arrived": False}


def test_it_shows_the_identity_headers_that_arrive_and_never_a_token(tmp_path: Path) -> None:
    port = free_port()
    message = tool_call(1, "get_forecast", city="Oslo")
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream", **message.headers}
    headers |= {"x-auth-subject": "someone", "authorization": "Bearer hunter2", "x-other": "y"}
    with mcp_server(tmp_path, port):
        response = httpx.post(f"http://127.0.0.1:{port}/mcp", content=message.body, headers=headers, trust_env=False)
    caller = answer_of(response)["result"]["structuredContent"]["caller"]
    assert caller == {"headers": {"x-auth-subject": "someone"}, "token_arrived": True}
    assert "hunter2" not in response.text


def test_it_has_no_auth_code() -> None:
    source = Path(module.__file__).read_text(encoding="utf-8")
    assert "mcp.server.auth" not in source
