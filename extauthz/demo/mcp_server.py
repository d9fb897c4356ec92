"""A small MCP server made with the official Python SDK, for both eras of the protocol. It has no auth code at all.

Who is calling, it learns from the headers that Envoy and extauthz let through, and shows them in each answer.

    python -m extauthz.demo.mcp_server --port 8000
"""

from collections.abc import Mapping
from typing import Annotated, Final

import click
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel, Field
from starlette.applications import Starlette

from extauthz import __version__
from extauthz.demo.processes import LOOPBACK

IDENTITY_PREFIX: Final = "x-auth-"
FORECASTS: Final[Mapping[str, str]] = {
    "Berlin": "14 °C, light rain",
    "Lisbon": "23 °C, clear",
    "Oslo": "-2 °C, snow",
}
UNKNOWN_FORECAST: Final = "18 °C, no station nearby"

City = Annotated[str, Field(description="Name of a city", min_length=1, max_length=80)]


class Caller(BaseModel):
    """What arrived about the caller: the verified identity headers, and whether the token itself came through."""

    headers: dict[str, str]
    token_arrived: bool


class Forecast(BaseModel):
    """Answer of `get_forecast`."""

    city: str
    forecast: str
    caller: Caller


class Alert(BaseModel):
    """Answer of `set_alert`."""

    city: str
    below_celsius: float
    caller: Caller


class Purged(BaseModel):
    """Answer of `purge`."""

    alerts_removed: int
    caller: Caller


def _caller(context: Context) -> Caller:
    headers = context.headers or {}
    return Caller(
        headers={name: value for name, value in sorted(headers.items()) if name.startswith(IDENTITY_PREFIX)},
        token_arrived="authorization" in headers,
    )


def server() -> MCPServer:
    """The server, with its tools, prompt and resources."""
    instructions = "Forecasts and alerts for a few cities; all of it made up."
    weather = MCPServer("weather", version=__version__, instructions=instructions)
    alerts: dict[str, float] = {}

    @weather.tool()
    def get_forecast(city: City, context: Context) -> Forecast:
        """Today's weather in a city."""
        return Forecast(city=city, forecast=FORECASTS.get(city, UNKNOWN_FORECAST), caller=_caller(context))

    @weather.tool()
    def set_alert(city: City, below_celsius: float, context: Context) -> Alert:
        """Warn when it gets colder than this in a city."""
        alerts[city] = below_celsius
        return Alert(city=city, below_celsius=below_celsius, caller=_caller(context))

    @weather.tool()
    def purge(context: Context) -> Purged:
        """Remove all alerts of everybody."""
        removed = len(alerts)
        alerts.clear()
        return Purged(alerts_removed=removed, caller=_caller(context))

    @weather.prompt()
    def packing_list(city: str) -> str:
        """What to pack for a trip."""
        return f"The weather in {city} is: {FORECASTS.get(city, UNKNOWN_FORECAST)}. What should I pack for a weekend?"

    @weather.resource("weather://stations")
    def stations() -> str:
        """The cities with a station, one a line."""
        return "\n".join(FORECASTS)

    @weather.resource("weather://forecast/{city}")
    def forecast(city: str) -> str:
        """Today's weather in a city, as text."""
        return FORECASTS.get(city, UNKNOWN_FORECAST)

    return weather


def application(path: str = "/mcp") -> Starlette:
    """The ASGI application: streamable HTTP at `path`, sessions for initialize-based clients, none for newer ones."""
    return server().streamable_http_app(streamable_http_path=path, host=LOOPBACK)


@click.command()
@click.option("--port", default=8000, show_default=True, help="TCP port on 127.0.0.1.")
@click.option("--path", default="/mcp", show_default=True, help="Path of the MCP endpoint.")
def main(port: int, path: str) -> None:
    """The demo MCP server. It trusts whoever reaches it: put Envoy in front."""
    uvicorn.run(application(path), host=LOOPBACK, port=port, log_level="warning")


if __name__ == "__main__":
    main()
