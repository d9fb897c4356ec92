"""The arguments of a message, which conditions read as `args`.

Tools and prompts have them in `params.arguments`. `completion/complete` asks for values of one argument, given those of
others: its handler is handed `argument.name` with the beginning of a value, and `context.arguments` (MCP 2025-06-18,
server/utilities/completion). All of these are `args`, so that one condition holds for a prompt and for its completions.
"""

from typing import Final

from extauthz.pdp.mcp.message import JsonObject, Message

_NO_ARGUMENTS: Final[JsonObject] = {}


def read_arguments(message: Message) -> tuple[JsonObject, bool]:
    """The arguments, and whether these are what any server reads: conditions on others are undecided."""
    row = message.row
    if row is None:
        return _NO_ARGUMENTS, True
    if "arguments" in row.params:
        given = message.params.get("arguments", _NO_ARGUMENTS)
        return (given, True) if isinstance(given, dict) else (_NO_ARGUMENTS, True)
    if "argument" in row.params:
        return _completed(message.params)
    return _NO_ARGUMENTS, True


def _completed(params: JsonObject) -> tuple[JsonObject, bool]:
    """Undecided where a part is missing or of another type, and where the argument has two values."""
    argument, context = params.get("argument"), params.get("context", _NO_ARGUMENTS)
    if not isinstance(argument, dict) or not isinstance(context, dict):
        return _NO_ARGUMENTS, False
    name, value, others = argument.get("name"), argument.get("value"), context.get("arguments", _NO_ARGUMENTS)
    if not isinstance(name, str) or not isinstance(value, str) or not isinstance(others, dict):
        return _NO_ARGUMENTS, False
    exact = all(isinstance(other, str) for other in others.values()) and others.get(name, value) == value
    return {**others, name: value}, exact
