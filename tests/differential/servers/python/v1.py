"""The Python SDK 1.x as a server that records what it executes (see ../README.md)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from mcp import types
from mcp.server.fastmcp import FastMCP
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from record import Application, Record, correlated, options
from starlette.applications import Starlette
from starlette.routing import Route


def exact(record: Record) -> Server[Any, Any]:
    """A server that takes any name."""
    server: Server[Any, Any] = Server("exact", version="1")

    def handler(result: Any) -> Callable[[Any], Awaitable[types.ServerResult]]:
        async def handle(request: Any) -> types.ServerResult:
            record.write_params(request.method, request.model_dump(mode="json", by_alias=True).get("params") or {})
            return types.ServerResult(result)

        return handle

    empty = types.EmptyResult()
    results = {
        types.PingRequest: empty,
        types.ListToolsRequest: types.ListToolsResult(tools=[]),
        types.CallToolRequest: types.CallToolResult(content=[]),
        types.ListResourcesRequest: types.ListResourcesResult(resources=[]),
        types.ListResourceTemplatesRequest: types.ListResourceTemplatesResult(resourceTemplates=[]),
        types.ReadResourceRequest: types.ReadResourceResult(contents=[]),
        types.SubscribeRequest: empty,
        types.UnsubscribeRequest: empty,
        types.ListPromptsRequest: types.ListPromptsResult(prompts=[]),
        types.GetPromptRequest: types.GetPromptResult(messages=[]),
        types.CompleteRequest: types.CompleteResult(completion=types.Completion(values=[])),
        types.SetLevelRequest: empty,
        types.GetTaskRequest: empty,
        types.GetTaskPayloadRequest: empty,
        types.CancelTaskRequest: empty,
        types.ListTasksRequest: empty,
    }
    server.request_handlers.update({request: handler(result) for request, result in results.items()})
    return server


def named(record: Record) -> Server[Any, Any]:
    """A server with a fixed set of things."""
    server = FastMCP("named", log_level="CRITICAL")

    def add(name: str) -> None:
        @server.tool(name=name)
        def tool() -> str:
            record.write("tools/call", [name])
            return "done"

        @server.prompt(name=name)
        def prompt() -> str:
            record.write("prompts/get", [name])
            return "done"

    def add_resource(uri: str) -> None:
        @server.resource(uri, name=uri)
        def resource() -> str:
            record.write("resources/read", [uri])
            return "done"

    for name in record.names:
        add(name)
    for uri in record.uris:
        add_resource(uri)
    return server._mcp_server  # its own application answers under a port of its own


def templates(record: Record) -> Server[Any, Any]:
    """A server with resource templates; this SDK has those of one variable per segment."""
    server = FastMCP("templates", log_level="CRITICAL")
    for template, handler in record.template_handlers().items():
        if template in ("docs://{name}", "notes://{folder}/{name}"):
            server.resource(template)(handler)
    return server._mcp_server  # as above


class Endpoint:
    """A session manager as an ASGI application."""

    def __init__(self, server: Server[Any, Any]) -> None:
        self.manager = StreamableHTTPSessionManager(app=server, json_response=True, stateless=True)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        await self.manager.handle_request(scope, receive, send)


def application(record: Record) -> Application:
    """All servers under one port."""
    exactly, by_name, by_template = Endpoint(exact(record)), Endpoint(named(record)), Endpoint(templates(record))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with exactly.manager.run(), by_name.manager.run(), by_template.manager.run():
            yield

    routes = [Route("/exact", exactly), Route("/named", by_name), Route("/templates", by_template)]
    return correlated(Starlette(routes=routes, lifespan=lifespan))


if __name__ == "__main__":
    port, written = options()
    uvicorn.run(application(written), host="127.0.0.1", port=port, log_level="critical")
