"""The official Python SDK 2.x as a headless client. See README.md."""

import asyncio
import json
import sys
from typing import Any

import httpx2
from consent import Consent
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken


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


async def run(url: str, user: str, mode: Any) -> dict[str, Any]:
    consent, memory = Consent(user), BoundedCache()

    async def callback() -> AuthorizationCodeResult:
        code, state = consent.answer()
        return AuthorizationCodeResult(code=code, state=state)

    provider = OAuthClientProvider(
        server_url=url,
        client_metadata=OAuthClientMetadata(client_name="python v2", redirect_uris=["http://127.0.0.1:6299/callback"]),
        storage=memory,
        redirect_handler=consent.redirect,
        callback_handler=callback,
    )
    report: dict[str, Any] = {}
    async with (
        httpx2.AsyncClient(auth=provider, timeout=20, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        report["protocol"] = client.protocol_version
        report["tools"] = [tool.name for tool in (await client.list_tools()).tools]
        report["forecast"] = (await client.call_tool("get_forecast", {"city": "Oslo"})).structured_content
        report["alert"] = (
            await client.call_tool("set_alert", {"city": "Oslo", "below_celsius": -10})
        ).structured_content
        report["again"] = (await client.call_tool("get_forecast", {"city": "Lisbon"})).structured_content
        before = len(consent.asked)
        try:
            await client.call_tool("purge", {})
            report["purge"] = "allowed"
        except Exception as error:  # noqa: BLE001 - whatever the SDK makes of a plain 403 is what is reported
            report["purge"] = str(error)
        report["asked_after_purge"] = len(consent.asked) - before
    report["asked"] = consent.asked
    report["scope"] = memory.tokens.scope if memory.tokens else None
    return report


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "auto"))))
