"""From plain values to a `PolicyShape`, with every fault of shape in our own words.

A file with a fault of shape is judged further, so that all faults are told at once: what is wrong is replaced by
something harmless, marked as broken, and nothing more is said about it. The result then only serves to find more
faults; a policy is made of a file without any.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from extauthz.config.policy_file.fault import Path, Problem, Report, dotted
from extauthz.config.policy_file.grammar import COMPLAINT
from extauthz.config.policy_file.policy_schema import (
    CacheShape,
    ChallengeShape,
    IntrospectionShape,
    IssuerShape,
    PolicyShape,
    ResourceShape,
    RevocationShape,
    RuleShape,
    ScopeShape,
    UpstreamHeadersShape,
)
from extauthz.pdp.quoting import quoted, suggestion

# A repair can uncover at most a missing key inside a replaced value inside a replaced value.
_MAX_REPAIRS: Final = 6

# What stands in for a value that is missing or wrong: accepted by every check, equal to nothing else in the file.
_STAND_IN: Final = "stand-in"
_STAND_INS: Final[Mapping[str, Any]] = {
    "version": 1,
    "issuers": {_STAND_IN: {"issuer": "https://stand-in.invalid"}},
    "resources": {_STAND_IN: {"uri": "https://stand-in.invalid/mcp", "issuers": [_STAND_IN]}},
    "issuer": "https://stand-in.invalid",
    "uri": "https://stand-in.invalid/mcp",
    "methods": ["*"],
    "client_id": _STAND_IN,
}


def check_shape(data: Any, report: Report) -> PolicyShape | None:
    """The shape of `data`; faults go to `report`. None when nothing of it can be judged further."""
    for attempt in range(_MAX_REPAIRS):
        try:
            return PolicyShape.model_validate(data)
        except ValidationError as error:
            details = error.errors(include_url=False)
        if attempt == 0:
            for detail in details:
                _tell(report, *_path(detail["loc"]), detail)
        for detail in details:
            path, on_key = _path(detail["loc"])
            if not path:
                return None
            unknown = detail["type"] == "extra_forbidden"
            if not unknown:
                report.broken.add(path)
            _repair(data, path, remove=unknown or on_key)
    return None


def _path(location: tuple[str | int, ...]) -> tuple[Path, bool]:
    """Our path of an error's location, and whether it is about the key: pydantic marks keys with a last `[key]`."""
    return (location[:-1], True) if location and location[-1] == "[key]" else (location, False)


def _tell(report: Report, path: Path, on_key: bool, detail: Any) -> None:  # noqa: FBT001 - a pair from _path
    kind = detail["type"]
    if kind == "extra_forbidden":
        complaint = _unknown_key(path)
        report.fault(path, complaint.message, complaint.hint, on_key=True)
        if path[-1] == "client_secret":
            report.broken.add(path[:-1])  # or its absence elsewhere would be told as well
    elif kind == "missing":
        message = f"{dotted(path[:-1]) or 'the file'} has no key {quoted(str(path[-1]))}"
        report.fault(path, message, _what_is(path), on_key=True)
    else:
        complaint = _complaint(kind, path, detail)
        report.fault(path, complaint.message, complaint.hint, on_key=on_key)


def _unknown_key(path: Path) -> Problem:
    key, holder = str(path[-1]), path[:-1]
    known = tuple(_model_at(holder).model_fields)
    if key == "client_secret":
        hint = "secrets do not stand in the policy: use client_secret_file or client_secret_env"
    else:
        hint = suggestion(key, known, "known keys: " + ", ".join(known))
    where = f" in {dotted(holder)}" if holder else ""
    return Problem(f"unknown key {quoted(key)}{where}", hint)


def _what_is(path: Path) -> str:
    """How to add a missing key: its description in the schema."""
    field = _model_at(path[:-1]).model_fields.get(str(path[-1]))
    description = field.description if field else None
    return f"add {quoted(str(path[-1]))}: {description}" if description else "add it"


def _complaint(kind: str, path: Path, detail: Any) -> Problem:
    name = dotted(path) or "the file"
    context, value = detail.get("ctx") or {}, detail.get("input")
    match kind:
        case _ if kind == COMPLAINT:
            return Problem(f"{name}: {context['message']}", context["hint"])
        case "string_type":
            hint = "put it in quotes" if isinstance(value, int) else "write one text"
            return Problem(f"{name} is {_kind(value)}, not text", hint)
        case "bool_type":
            return Problem(f"{name} is {_kind(value)}, not true or false", "write true or false")
        case "int_type":
            return Problem(f"{name} is {_kind(value)}, not a whole number", "write a whole number")
        case "list_type":
            hint = "put it in brackets, as in [value]" if value is not None else "write a list, or leave the key out"
            return Problem(f"{name} is {_kind(value)}, not a list", hint)
        case "dict_type" | "model_type":
            hint = "write keys and values below it, or {}" if path else 'begin with "version: 1"'
            shown = (
                "a text" if isinstance(value, str) else _kind(value)
            )  # a secret may stand in the place of its source
            return Problem(f"{name} is {shown}, not a mapping", hint)
        case "literal_error":
            known = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
            shown = quoted(value) if isinstance(value, str) else _kind(value)
            # The nearest name of an algorithm is never the one that was meant: HS256 is not a slip for RS256.
            near = isinstance(value, str) and path[2:3] != ("algorithms",)
            hint = suggestion(value, tuple(known), "") if near else ""
            return Problem(f"{name} cannot be {shown}", hint or "use one of: " + ", ".join(known))
        case "too_short" | "string_too_short":
            return Problem(f"{name} is empty", _filling(path))
        case "too_long":
            return Problem(f"{name} has more than {context['max_length']} items", "use patterns, or fewer items")
        case "string_too_long":
            return Problem(f"{name} is longer than {context['max_length']} characters", "shorten it")
        case _:
            return Problem(f"{name}: {detail['msg']}", "see `extauthz schema`")


def _filling(path: Path) -> str:
    match path[-1]:
        case "organizations" | "clients":
            return "an empty list would let nobody or everybody in: list some, or leave the key out for any"
        case "scopes":
            return "list scopes, or leave the key out: the rule then needs the baseline"
        case "when":
            return "write a condition, or leave the key out"
        case "tools" | "prompts" | "uris" | "tasks":
            return "list names or patterns, or leave the key out"
        case _:
            return "add at least one"


def _kind(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int():
            return f"the number {value}"
        case str():
            return f"the text {quoted(value)}"
        case list():
            return "a list"
        case _:
            return "a mapping"


def _model_at(path: Path) -> type[BaseModel]:
    """The model of the mapping at a path that the schema knows."""
    match path:
        case ("issuers", _, "introspection"):
            return IntrospectionShape
        case ("issuers", _):
            return IssuerShape
        case ("resources", _, "scopes", _):
            return ScopeShape
        case ("resources", _, "rules", _):
            return RuleShape
        case ("resources", _, "challenge"):
            return ChallengeShape
        case ("resources", _, "upstream_headers"):
            return UpstreamHeadersShape
        case ("resources", _):
            return ResourceShape
        case ("cache",):
            return CacheShape
        case ("revocation",):
            return RevocationShape
        case _:
            return PolicyShape


def _repair(data: Any, path: Path, *, remove: bool) -> None:
    """Make the value at `path` harmless: remove it, or put a stand-in where one is needed. List items keep places."""
    if path[:1] == ("issuers",) and path[2:3] == ("algorithms",):
        path = path[:3]  # no text stands in for an algorithm: the whole list gives way to the default
    holder: Any = data
    for step in path[:-1]:
        try:
            holder = holder[step]
        except (KeyError, IndexError, TypeError):
            return
    last = path[-1]
    if isinstance(holder, list) and isinstance(last, int) and last < len(holder):
        holder[last] = {"methods": ["*"]} if path[-2] == "rules" else _STAND_IN
    elif isinstance(holder, dict):
        holder.pop(last, None)
        if not remove:
            holder.update(_stand_in(path))


def _stand_in(path: Path) -> Mapping[Any, Any]:
    """What takes the place of a removed key; nothing for keys that have a default."""
    match path:
        case ("resources", str(name), "uri"):
            return {"uri": f"https://stand-in.invalid/{name.encode().hex()}"}
        case ("resources", _, "issuers"):
            return {"issuers": [_STAND_IN]}
        case ("issuers" | "resources", str(name)):
            return {name: {}}
        case (*_, str(key)) if key in _STAND_INS:
            return {key: _STAND_INS[key]}
        case _:
            return {}
