"""One condition, asked in one line; and calls that say the same to a server in other words."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from extauthz.adapters.cel.condition import CelCondition, Evaluation, compile_condition
from extauthz.pdp.operation import Era, MessageKind, Operation
from extauthz.pdp.policy import Truth
from extauthz.pdp.principal import Principal

PRINCIPAL: Final = Principal(
    issuer="https://door.example.com",
    subject="4711",
    organization="acme",
    name="ann",
    client_id="desktop",
    scopes=frozenset({"read", "write"}),
    roles=frozenset({"operator", "auditor"}),
    groups=frozenset({"acme/staff"}),
    machine=False,
)
REQUEST: Final = {
    "host": "mcp.example.com",
    "path": "/weather",
    "http_method": "POST",
    "method": "tools/call",
    "target": "set_alert",
    "protocol_version": "2025-11-25",
}


@cache
def compiled(text: str) -> CelCondition:
    found = compile_condition(text)
    assert isinstance(found, CelCondition), found
    return found


def operation(arguments: Mapping[str, Any]) -> Operation:
    return Operation(kind=MessageKind.REQUEST, method="tools/call", era=Era.LEGACY, arguments=arguments)


def truth(text: str, arguments: Mapping[str, Any] | None = None) -> Truth:
    return compiled(text).evaluate(PRINCIPAL, operation(arguments or {}), REQUEST)


def examined(text: str, arguments: Mapping[str, Any]) -> Evaluation:
    return compiled(text).examine(PRINCIPAL, operation(arguments), REQUEST)


def other_values(value: Any) -> Iterator[Any]:
    """What some server converts into the same value, given the type that it wants."""
    match value:
        case bool():
            yield from ("true", "True", "1", "yes", 1, 1.0) if value else ("false", "False", "0", "no", 0, 0.0, None)
        case int() | float():
            numeral = str(value)
            yield from (numeral, f" {numeral}", f"{numeral}.0" if isinstance(value, int) else numeral, float(value))
            if value in (0, 1):
                yield bool(value)
            if value == 0:
                yield None
            if isinstance(value, float) and value.is_integer():
                yield int(value)
        case str():
            if value.lstrip("-").isdigit():
                yield int(value)
            yield [value]
        case list():
            for place, element in enumerate(value):
                for other in other_values(element):
                    yield [*value[:place], other, *value[place + 1 :]]
            yield {str(place): element for place, element in enumerate(value)}
        case dict():
            yield from (members for _, members in other_members(value))


def other_names(name: str) -> tuple[str, ...]:
    """Names that some server takes for this one."""
    fullwidth = "".join(chr(ord(char) + 0xFEE0) if char.isascii() and char.isalpha() else char for char in name)
    return (
        name.upper(),
        name.capitalize(),
        f"{name}_",
        f"{name[:1]}-{name[1:]}",
        f"{name}\0",
        fullwidth,
        name.replace("k", "\u212a").replace("s", "\u017f"),
    )


def other_members(members: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Objects that some server reads as this one, and what was done to it."""
    for name, value in members.items():
        rest = {key: kept for key, kept in members.items() if key != name}
        for other in other_values(value):
            yield f"{name} = {other!r}", {**members, name: other}
        for look_alike in other_names(name):
            if look_alike != name:
                yield f"{look_alike!a} for {name}", {**rest, look_alike: value}
                for decoy in (0, "harmless", None, not value):
                    yield f"{look_alike!a} after {name} = {decoy!r}", {**rest, name: decoy, look_alike: value}
                    yield f"{look_alike!a} before {name} = {decoy!r}", {look_alike: value, **rest, name: decoy}
