"""The official Python SDK 1.x as a headless client. See README.md."""

import asyncio
import json
import sys
from typing import Any

import httpx
from consent import Consent
from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken


class BoundedCache:
    """Token storage that starts empty."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


async def run(url: str, user: str) -> dict[str, Any]:
    consent, memory = Consent(user), BoundedCache()

    async def callback() -> tuple[str, str | None]:
        return consent.answer()

    provider = OAuthClientProvider(
        server_url=url,
        client_metadata=OAuthClientMetadata(client_name="python v1", redirect_uris=["http://127.0.0.1:6299/callback"]),
        storage=memory,
        redirect_handler=consent.redirect,
        callback_handler=callback,
    )
    report: dict[str, Any] = {}
    asked_before_purge = 0
    try:
        async with (
            httpx.AsyncClient(auth=provider, timeout=20, trust_env=False) as http,
            streamable_http_client(url, http_client=http) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            report["protocol"] = (await session.initialize()).protocolVersion
            report["tools"] = [tool.name for tool in (await session.list_tools()).tools]
            report["forecast"] = (await session.call_tool("get_forecast", {"city": "Oslo"})).structuredContent
            alert = await session.call_tool("set_alert", {"city": "Oslo", "below_celsius": -10})
            report["alert"] = alert.structuredContent
            report["again"] = (await session.call_tool("get_forecast", {"city": "Lisbon"})).structuredContent
            asked_before_purge = len(consent.asked)
            await session.call_tool("purge", {})
            report["purge"] = "allowed"
    except* httpx.HTTPStatusError as group:
        # 1.30 ends the whole session at a 403 that it cannot answer with a step-up.
        report["purge"] = str(group.exceptions[0])
    report["asked_after_purge"] = len(consent.asked) - asked_before_purge
    report["asked"] = consent.asked
    report["scope"] = memory.tokens.scope if memory.tokens else None
    return report


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], sys.argv[2]))))
