"""The Python SDK 2.x as a server that records what it executes (see ../README.md)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer
from record import Application, Record, correlated, options
from starlette.applications import Starlette


class Task(types.RequestParams):
    """What names a task."""

    task_id: str


def exact(record: Record) -> Server[Any]:
    """A server that takes any name."""

    def handler(method: str, result: Any) -> Callable[[Any, Any], Awaitable[Any]]:
        async def handle(context: Any, params: Any) -> Any:
            record.write_params(method, {} if params is None else params.model_dump(by_alias=True))
            return result

        return handle

    # Without the last argument, the SDK asks its own `tools/list` handler for the schema before each call.
    server: Server[Any] = Server("exact", version="1", get_tool_input_schema=lambda name: None)
    paged = types.PaginatedRequestParams
    empty = types.EmptyResult()
    for method, params, result in (
        ("ping", types.RequestParams, empty),
        ("tools/list", paged, types.ListToolsResult(tools=[])),
        ("tools/call", types.CallToolRequestParams, types.CallToolResult(content=[])),
        ("resources/list", paged, types.ListResourcesResult(resources=[])),
        ("resources/templates/list", paged, types.ListResourceTemplatesResult(resource_templates=[])),
        ("resources/read", types.ReadResourceRequestParams, types.ReadResourceResult(contents=[])),
        ("resources/subscribe", types.SubscribeRequestParams, empty),
        ("resources/unsubscribe", types.UnsubscribeRequestParams, empty),
        ("subscriptions/listen", types.SubscriptionsListenRequestParams, empty),
        ("prompts/list", paged, types.ListPromptsResult(prompts=[])),
        ("prompts/get", types.GetPromptRequestParams, types.GetPromptResult(messages=[])),
        (
            "completion/complete",
            types.CompleteRequestParams,
            types.CompleteResult(completion=types.Completion(values=[])),
        ),
        ("logging/setLevel", types.SetLevelRequestParams, empty),
        ("tasks/get", Task, empty),
        ("tasks/result", Task, empty),
        ("tasks/update", Task, empty),
        ("tasks/cancel", Task, empty),
        ("tasks/list", paged, empty),
        ("custom/method", types.RequestParams, empty),
    ):
        server.add_request_handler(method, params, handler(method, result))
    return server


def named(record: Record) -> MCPServer:
    """A server with a fixed set of things."""
    server = MCPServer("named", version="1", log_level="CRITICAL")

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
    return server


def templates(record: Record) -> MCPServer:
    """A server with resource templates."""
    server = MCPServer("templates", version="1", log_level="CRITICAL")
    for template, handler in record.template_handlers().items():
        server.resource(template)(handler)
    return server


def application(record: Record) -> Application:
    """All servers under one port."""
    parts: list[Starlette] = [
        exact(record).streamable_http_app(streamable_http_path="/exact", json_response=True, stateless_http=True),
        named(record).streamable_http_app(streamable_http_path="/named", json_response=True, stateless_http=True),
        templates(record).streamable_http_app(
            streamable_http_path="/templates", json_response=True, stateless_http=True
        ),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            for part in parts:
                await running.enter_async_context(part.router.lifespan_context(part))
            yield

    return correlated(Starlette(routes=[route for part in parts for route in part.routes], lifespan=lifespan))


if __name__ == "__main__":
    port, written = options()
    uvicorn.run(application(written), host="127.0.0.1", port=port, log_level="critical")
