"""What the proxy says about one HTTP request, without a word of the proxy's own messages."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

MAX_HEADERS: Final = 128
"""Request header lines that are read. Envoy lets 100 through unless it is told otherwise (`max_headers_count`), before
its filters add some; each line takes a step here before anything is known of the caller."""


class BodyForm(StrEnum):
    """How the proxy handed the body over."""

    RAW = "raw"
    """The bytes as they came (Envoy `pack_as_bytes: true`)."""
    TEXT = "text"
    """Text in which the proxy put `!` for each byte that is not UTF-8: not what the server will read then."""


class HttpRequest(NamedTuple):
    """One request as the proxy described it.

    Header names are lower case; a repeated header is one value joined by `,` whichever way the proxy sends headers,
    so a single-valued header with a comma is a repeated one. `path` includes the query. `body_size` is the proxy's
    own count of body bytes received: larger than `len(body)` means that the body was cut. A named tuple, as
    `Operation` is: one is made for every check.
    """

    method: str
    scheme: str
    authority: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    body_form: BodyForm = BodyForm.RAW
    body_size: int = 0
    route_resource: str = ""
    """Envoy `context_extensions["resource"]`: only the proxy's configuration can set it. Empty when absent."""
    too_many_headers: bool = False
    """Whether there were more than `MAX_HEADERS` header lines; then nothing of the request was read."""
    mcp_metadata: Mapping[str, Any] | None = None
    """Dynamic metadata of Envoy's own `mcp` filter, when the proxy has one and sends it."""

    def __repr__(self) -> str:
        """Only what cannot hold a secret."""
        return f"HttpRequest({self.method} {self.authority})"
