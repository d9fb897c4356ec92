"""MCP's headers against the message: whatever a server routes by, it must carry out the operation judged here.

Servers differ in what they believe. The Python SDK chooses the era by the `MCP-Protocol-Version` header alone, the
TypeScript SDK by `_meta` first, servers of the initialize-based eras look at neither and run the body. So any header
that is there must agree with the body in every era, the two places of the version must agree with each other, and
what the modern era requires must be there (MCP 2026-07-28, Streamable HTTP, Server Validation).
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from re import compile as compile_pattern
from typing import Final

from extauthz.pdp.mcp.message import JsonObject, Message
from extauthz.pdp.mcp.methods import LEGACY_REVISIONS, REVISIONS
from extauthz.pdp.mcp.names import VERSION_MEMBER
from extauthz.pdp.mcp.session import LAST_EVENT_HEADER, SESSION_HEADER
from extauthz.pdp.operation import Era, MessageKind, Target
from extauthz.pdp.quoting import quoted
from extauthz.pdp.strict_json import JsonValue

VERSION_HEADER: Final = "mcp-protocol-version"
METHOD_HEADER: Final = "mcp-method"
NAME_HEADER: Final = "mcp-name"
PARAM_PREFIX: Final = "mcp-param-"
WHITESPACE: Final = " \t"
"""What may stand around a header's value without being part of it (RFC 9110 §5.5)."""

# Characters of a header value that may have to be decoded: a URI of the largest size, in base64 and its markers.
MAX_ENCODED_LENGTH: Final = 12_000
# `Mcp-Param-*` headers of one request: one for each annotated property of a tool.
MAX_PARAM_HEADERS: Final = 64

_KNOWN_VERSIONS: Final = frozenset(REVISIONS)
# A version this service does not know may be a later one: it is held to the rules of the modern era, and the server
# answers what it supports. Commas, as of joined repeats, are in none.
_VERSION: Final = compile_pattern(r"[0-9A-Za-z][0-9A-Za-z._-]{0,31}")
_FIELD_VALUE: Final = compile_pattern(r"[\t\x20-\x7e]*")
_NUMBER: Final = compile_pattern(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?")
_SENTINEL_START: Final = "=?base64?"
_SENTINEL_END: Final = "?="

# Read here or in `body`. Gateways of the CGI kind take `_` in a header's name for `-`.
_READ: Final = frozenset(
    (
        VERSION_HEADER,
        METHOD_HEADER,
        NAME_HEADER,
        SESSION_HEADER,
        LAST_EVENT_HEADER,
        "content-type",
        "content-encoding",
        "content-length",
        "transfer-encoding",
    )
)


def spelling_fault(headers: Mapping[str, str], names: str) -> str:
    """Why the names of the headers could be read differently, as a sentence; empty when they could not.

    `names` are those of the headers in one text (`joined_names`).
    """
    if "_" not in names:
        return ""
    for name in headers:
        if "_" in name and (plain := name.replace("_", "-")) in _READ:
            return f"the header {plain} comes with an underscore in its name: send it as {plain}"
    return ""


def joined_names(headers: Mapping[str, str]) -> str:
    """All names in one text: whether any has some part is then one search, several times faster than a loop."""
    return "\n".join(headers)


def read_version(headers: Mapping[str, str]) -> str | None:
    """`MCP-Protocol-Version`, empty when absent; None when it is not one version."""
    version = headers.get(VERSION_HEADER)
    if version is None:
        return ""
    version = version.strip(WHITESPACE)
    return version if version in _KNOWN_VERSIONS or _VERSION.fullmatch(version) else None


def read_era(version: str, message: Message | None) -> Era | str:
    """The era that every server takes the message to be of, or why they would not agree (a sentence).

    `version` is that of the header, empty when absent; `message` is None for GET and DELETE.
    """
    claim: JsonValue = None
    if message is not None and message.params and VERSION_MEMBER in (meta := message.meta):
        claim = meta[VERSION_MEMBER]
        if claim != version:
            said = quoted(claim) if isinstance(claim, str) else "not a string"
            return (
                f"MCP-Protocol-Version is {quoted(version) if version else 'missing'}, the version in params._meta "
                f"{said}: send the same in both"
            )
        if version in LEGACY_REVISIONS:
            return f"params._meta names {version}, which has no version there: leave it out"
        return Era.MODERN
    if not version or version in LEGACY_REVISIONS:
        return Era.LEGACY
    if message is not None and message.method == "initialize":
        # Its claim decides. With one it is a request of the modern era, whose servers answer 404. Without, it is the
        # handshake of the others: the Python SDK 1.x and the TypeScript SDK 1.x carry it out whatever version the
        # header names; the current SDKs of all three languages refuse it, as is done here.
        return f"initialize comes with MCP-Protocol-Version {version}, which has none: leave the header out"
    return Era.MODERN


def era_of_headers(headers: Mapping[str, str]) -> Era:
    """The era that the headers alone tell, for answers to messages that were not understood."""
    version = read_version(headers)
    return Era.LEGACY if version is None or not version or version in LEGACY_REVISIONS else Era.MODERN


def agreement_fault(
    headers: Mapping[str, str], names: str, message: Message, era: Era, targets: tuple[Target, ...]
) -> str:
    """What the MCP headers say otherwise than the message, as a sentence; empty when nothing.

    `names` are those of the headers in one text (`joined_names`).
    """
    method = headers.get(METHOD_HEADER)
    required = era is Era.MODERN and message.kind is MessageKind.REQUEST
    if method is None:
        if required:
            return f"Mcp-Method is missing, expected {quoted(message.method)}: this revision requires it"
    elif message.kind is MessageKind.RESPONSE:
        return f"Mcp-Method is {quoted(method)} on a response, which has no method: leave it out"
    elif method.strip(WHITESPACE) != message.method:
        return f"Mcp-Method is {quoted(method)}, the message's method {quoted(message.method)}: send the same"
    name = headers.get(NAME_HEADER)
    if name is None:
        if required and targets and message.row is not None and message.row.mirrored:
            return f"Mcp-Name is missing, expected {quoted(targets[0].name)}: this revision requires it for this method"
    elif not _names(name, message, targets):
        expected = quoted(targets[0].name) if len(targets) == 1 else "not one name"
        return f"Mcp-Name is {quoted(name)}, the name in the message {expected}: send the same, encoded as MCP says"
    if message.method == "tools/call" and (mirrored := mirrors(headers, names)):
        return _param_fault(mirrored, message.params.get("arguments"))
    return ""


def _names(header: str, message: Message, targets: tuple[Target, ...]) -> bool:
    name = decode_value(header)
    if message.row is None:
        # Which member an unknown method mirrors is unknown: it must at least be one of those that methods do mirror.
        return name is not None and name in (message.params.get(member) for member in ("name", "uri", "taskId"))
    return len(targets) == 1 and name == targets[0].name


def decode_value(header: str) -> str | None:
    """The value of an `Mcp-Name` or `Mcp-Param-*` header; None when it is malformed.

    MCP 2026-07-28, Streamable HTTP, Value Encoding: plain, or `=?base64?…?=` around canonical base64 of UTF-8.
    """
    value = header.strip(WHITESPACE)
    if len(value) > MAX_ENCODED_LENGTH or not _FIELD_VALUE.fullmatch(value):
        return None
    if not (value.startswith(_SENTINEL_START) and value.endswith(_SENTINEL_END)):
        return value
    encoded = value[len(_SENTINEL_START) : -len(_SENTINEL_END)]
    if len(value) < len(_SENTINEL_START) + len(_SENTINEL_END):
        return None
    try:
        decoded = b64decode(encoded)
        # Encoding it again tells characters, padding and trailing bits that decoders pass over.
        return decoded.decode() if b64encode(decoded).decode() == encoded else None
    except (Base64Error, UnicodeDecodeError):
        return None


def mirrors(headers: Mapping[str, str], names: str) -> list[tuple[str, str]]:
    """The `Mcp-Param-*` headers. `names` are those of the headers in one text (`joined_names`)."""
    if PARAM_PREFIX not in names:
        return []
    return [(name, value) for name, value in headers.items() if name.startswith(PARAM_PREFIX)]


def mirror_fault(mirrored: list[tuple[str, str]]) -> str:
    """What is wrong with `Mcp-Param-*` headers whatever the message is, as a sentence; empty when nothing."""
    if len(mirrored) > MAX_PARAM_HEADERS:
        return f"more than {MAX_PARAM_HEADERS} Mcp-Param headers: send fewer"
    for name, header in mirrored:
        if decode_value(header) is None:
            return f"the header {name[:64]} is malformed: encode it as MCP says"
    return ""


def _param_fault(mirrored: list[tuple[str, str]], arguments: JsonValue) -> str:
    """Which argument a header mirrors stands in the tool's schema; here it must at least mirror one of them."""
    if fault := mirror_fault(mirrored):
        return fault
    texts, numbers = _scalars(arguments if isinstance(arguments, dict) else {})
    for name, header in mirrored:
        value = decode_value(header) or ""
        if value not in texts and not (_NUMBER.fullmatch(value) and float(value) in numbers):
            return (
                f"the header {quoted(name)} is {quoted(header)}, which is not the value of any argument: send the same "
                "as in the message"
            )
    return ""


def _scalars(arguments: JsonObject) -> tuple[set[str], set[float]]:
    """The values that a header can mirror: strings, integers and booleans reached through objects only."""
    texts: set[str] = set()
    numbers: set[float] = set()
    pending = [arguments]
    while pending:
        for value in pending.pop().values():
            if isinstance(value, str):
                texts.add(value)
            elif isinstance(value, bool):
                texts.add("true" if value else "false")
            elif isinstance(value, int | float):
                numbers.add(float(value))
            elif isinstance(value, dict):
                pending.append(value)
    return texts, numbers
