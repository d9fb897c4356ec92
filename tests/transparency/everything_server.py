"""A server with the things that the scenarios of the official conformance suite ask for, on the Python SDK 2.x.

    python everything_server.py --port 8000

Stateful, with event streams: what a proxy could break is in use. Scenarios that need more than is here fail with and
without a proxy alike.
"""

import argparse
import asyncio
import base64
from typing import Annotated, Any, Literal

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp_types import (
    AudioContent,
    CallToolResult,
    Completion,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel, Field

PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da6364f8cf500f0003860180"
        "5a34c7750000000049454e44ae426082"
    )
).decode()
SOUND = base64.b64encode(b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00").decode()
STATE = "state-of-the-everything-server"

server = MCPServer("everything", version="1", log_level="CRITICAL")


Mirrored = Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]


class Name(BaseModel):
    """What elicitations ask for."""

    name: str


class Defaults(BaseModel):
    """Fields with defaults."""

    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: Literal["active", "inactive", "pending"] = "active"
    verified: bool = True


@server.tool()
def test_simple_text() -> str:
    """A text."""
    return "This is a simple text response for testing."


@server.tool()
def test_image_content() -> ImageContent:
    """An image."""
    return ImageContent(type="image", data=PIXEL, mime_type="image/png")


@server.tool()
def test_audio_content() -> AudioContent:
    """A sound."""
    return AudioContent(type="audio", data=SOUND, mime_type="audio/wav")


def embedded(uri: str, text: str, mime_type: str = "text/plain") -> EmbeddedResource:
    """A resource within a result."""
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


@server.tool()
def test_embedded_resource() -> EmbeddedResource:
    """A resource."""
    return embedded("test://embedded-resource", "This is an embedded resource content.")


@server.tool()
def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """A text, an image and a resource."""
    return [
        TextContent(type="text", text="Multiple content types test:"),
        ImageContent(type="image", data=PIXEL, mime_type="image/png"),
        embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json"),
    ]


@server.tool()
async def test_tool_with_logging(context: Context) -> str:
    """Log messages while it runs."""
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await context.info(text)
        await asyncio.sleep(0.05)
    return "done"


@server.tool()
async def test_logging_tool(context: Context) -> str:
    """A log message."""
    await context.info("logged")
    return "done"


@server.tool()
async def test_tool_with_progress(context: Context) -> str:
    """Progress while it runs."""
    for progress in (0, 50, 100):
        await context.report_progress(progress, 100)
        await asyncio.sleep(0.05)
    return "done"


@server.tool()
def test_error_handling() -> str:
    """An error."""
    raise ValueError("This tool intentionally returns an error for testing")


@server.tool()
async def test_sampling(prompt: str, context: Context) -> str:
    """Ask the client's model."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    # On the stream of this call: the client's own stream may open later than the call arrives.
    answer = await context.session.create_message(
        messages=[message], max_tokens=100, related_request_id=context.request_id
    )
    return f"LLM response: {answer.content}"


@server.tool()
async def test_elicitation(message: str, context: Context) -> str:
    """Ask the user."""
    answer = await context.elicit(message=message, schema=Name)
    return f"User response: {answer.action}"


@server.tool()
async def test_elicitation_sep1034_defaults(context: Context) -> str:
    """Ask the user, with defaults."""
    answer = await context.elicit(message="Defaults", schema=Defaults)
    return f"Elicitation completed: {answer.action}"


@server.tool()
async def test_reconnection(context: Context) -> str:
    """Close the stream while it runs."""
    await context.close_sse_stream()
    await asyncio.sleep(0.1)
    return "Reconnection test completed"


@server.tool()
def test_custom_headers(region: Mirrored = "") -> str:  # noqa: PT028 - a tool that the suite names so
    """An argument that a header mirrors."""
    return region


def elicit(message: str = "What is your name?") -> ElicitRequest:
    """A question to the user."""
    schema: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample() -> CreateMessageRequest:
    """A question to the client's model."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text="What is the capital of France?"))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=100))


def ask(name: str, requests: dict[str, Any], state: str | None = None) -> None:
    """A tool that answers once the client has answered these."""

    async def tool(context: Context) -> CallToolResult | InputRequiredResult:
        given = context.input_responses or {}
        if not requests.keys() <= given.keys():
            return InputRequiredResult(input_requests=requests, request_state=state)
        if state is not None and context.request_state != state:
            raise ValueError("the state is not the one that was given out")
        return CallToolResult(content=[TextContent(type="text", text=f"state-ok {sorted(given)}")])

    tool.__name__ = name
    server.add_tool(tool, name=name, description="Ask for input")


ask("test_input_required_result_elicitation", {"user_name": elicit()})
ask("test_input_required_result_sampling", {"capital_question": sample()})
ask("test_input_required_result_list_roots", {"client_roots": ListRootsRequest()})
ask("test_input_required_result_request_state", {"confirm": elicit("Please confirm")}, STATE)
ask("test_input_required_result_tampered_state", {"confirm": elicit("Please confirm")}, STATE)
ask(
    "test_input_required_result_multiple_inputs",
    {"user_name": elicit(), "greeting": sample(), "client_roots": ListRootsRequest()},
    STATE,
)


@server.tool()
async def test_input_required_result_capabilities(context: Context) -> CallToolResult | InputRequiredResult:
    """Ask for what the client says that it can answer."""
    able = context.client_capabilities
    possible = {"elicitation": elicit(), "sampling": sample(), "roots": ListRootsRequest()}
    requests: dict[str, Any] = {name: each for name, each in possible.items() if getattr(able, name, None) is not None}
    if requests.keys() <= (context.input_responses or {}).keys():
        return CallToolResult(content=[TextContent(type="text", text="done")])
    return InputRequiredResult(input_requests=requests)


@server.prompt()
async def test_input_required_result_prompt(context: Context) -> list[UserMessage] | InputRequiredResult:
    """Ask before a prompt is made."""
    if "user_context" in (context.input_responses or {}):
        return [UserMessage("Use the context.")]
    return InputRequiredResult(input_requests={"user_context": elicit("What context should the prompt use?")})


@server.tool()
async def test_input_required_result_multi_round(context: Context) -> CallToolResult | InputRequiredResult:
    """Ask twice."""
    given = context.input_responses or {}
    if "step1" in given and context.request_state == "1":
        return InputRequiredResult(input_requests={"step2": elicit("Step 2: color?")}, request_state="2")
    if "step2" in given and context.request_state == "2":
        return CallToolResult(content=[TextContent(type="text", text="done")])
    return InputRequiredResult(input_requests={"step1": elicit("Step 1: name?")}, request_state="1")


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    """A text."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """An image."""
    return base64.b64decode(PIXEL)


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> str:  # noqa: A002 - the name that the suite expects
    """One of many."""
    return f'{{"id":"{id}","templateTest":true,"data":"Data for ID: {id}"}}'


@server.resource("test://watched-resource", mime_type="text/plain")
def watched() -> str:
    """To be subscribed to."""
    return "Watched resource content"


@server.prompt()
def test_simple_prompt() -> str:
    """A text."""
    return "This is a simple prompt for testing."


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A text with arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803 - as the suite expects
    """A resource."""
    return [UserMessage(embedded(resourceUri, "Embedded resource content for testing.")), UserMessage("Process it.")]


@server.prompt()
def test_prompt_with_image() -> list[UserMessage]:
    """An image."""
    return [UserMessage(ImageContent(type="image", data=PIXEL, mime_type="image/png")), UserMessage("Analyze it.")]


@server.completion()  # type: ignore[no-untyped-call,untyped-decorator]  # the SDK's own
async def complete(ref: Any, argument: Any, context: Any) -> Completion:
    """Nothing to offer."""
    return Completion(values=[], total=0, has_more=False)


async def accept(context: Any, params: Any) -> EmptyResult:
    """Methods of the initialize-based eras that need no more than an answer."""
    return EmptyResult()


# The high-level server has no place for these.
for method, params in (
    ("logging/setLevel", SetLevelRequestParams),
    ("resources/subscribe", SubscribeRequestParams),
    ("resources/unsubscribe", UnsubscribeRequestParams),
):
    server._lowlevel_server.add_request_handler(method, params, accept)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=parser.parse_args().port, log_level="critical")
