"""What a message is about: the tools, prompts, resources and tasks that it names.

Every name is taken as it stands in the one member that servers read it from. A name that is absent, of another type,
empty, oversized or with control characters is refused: no server could act on it in a way that a policy can speak of.
"""

from re import compile as compile_pattern
from typing import Final

from extauthz.pdp.mcp.message import JsonObject, Message
from extauthz.pdp.operation import Era, Target, TargetKind
from extauthz.pdp.strict_json import JsonValue
from extauthz.pdp.uri.uris import uri_fault

# Characters. MCP 2025-11-25: tool names SHOULD have at most 128; the rest is generous.
MAX_NAME_LENGTH: Final = 512
# Characters. RFC 9110 §4.1 recommends that 8,000 octets of URI be supported.
MAX_URI_LENGTH: Final = 8_192
# Names in one `subscriptions/listen`: each is decided on by itself.
MAX_TARGETS: Final = 256

# Characters of all of them together: 256 of usual length. Each is compared in several forms.
MAX_TARGETS_LENGTH: Final = 65_536

# C0, DEL, C1, and the two separators that end lines in logs.
_CONTROL: Final = compile_pattern("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NO_TARGETS: Final[tuple[Target, ...]] = ()


def read_targets(message: Message, era: Era) -> tuple[Target, ...] | str:
    """The targets of a message, or why it has none that can be judged (a sentence).

    Where the era has no such method, an absent name is no fault: the server answers that it knows no such method.
    """
    row = message.row
    if row is None or not row.target_field:
        return _NO_TARGETS
    field = row.target_field
    value = message.params.get(field)
    if value is None and field not in message.params and not (row.modern if era is Era.MODERN else row.legacy):
        return _NO_TARGETS
    if row.target_kind is not None:
        fault = target_fault(value, row.target_kind)
        return f"params.{field}: {fault}" if fault else (Target(row.target_kind, str(value)),)
    if field == "ref":
        return _reference(value)
    return _filter(value)


def target_fault(value: JsonValue, kind: TargetKind, *, template: bool = False) -> str:
    """Why this is no name of this kind, as a sentence; empty when it is one."""
    if not isinstance(value, str) or not value:
        return "no name stands here: send a string"
    limit = MAX_URI_LENGTH if kind is TargetKind.RESOURCE else MAX_NAME_LENGTH
    if len(value) > limit:
        return f"the name has more than {limit} characters: use a shorter one"
    if not value.isprintable() and _CONTROL.search(value):
        return "the name has a control character: use a name without"
    return uri_fault(value, template=template) if kind is TargetKind.RESOURCE else ""


def _reference(value: JsonValue) -> tuple[Target, ...] | str:
    """`completion/complete`: a prompt by name, or a resource by URI or URI template."""
    if not isinstance(value, dict):
        return "params.ref is absent: send a reference"
    match value.get("type"):
        case "ref/prompt":
            field, kind, other = "name", TargetKind.PROMPT, "uri"
        case "ref/resource":
            field, kind, other = "uri", TargetKind.RESOURCE, "name"
        case _:
            return "params.ref.type is neither ref/prompt nor ref/resource: send one of them"
    if other in value:
        return f"params.ref has a {other} besides its {field}: send the one that its type needs"
    name = value.get(field)
    fault = target_fault(name, kind, template=True)
    return f"params.ref.{field}: {fault}" if fault else (Target(kind, str(name)),)


def _filter(value: JsonValue) -> tuple[Target, ...] | str:
    """`subscriptions/listen`: the resources and tasks among what is listened to."""
    if value is None:
        return "params.notifications is absent: send an object"
    assert isinstance(value, dict)  # noqa: S101 - read_message has refused anything else
    targets: list[Target] = []
    for member, kind in (("resourceSubscriptions", TargetKind.RESOURCE), ("taskIds", TargetKind.TASK)):
        fault = _collect(value, member, kind, targets)
        if fault:
            return fault
    for member, setting in value.items():
        if member not in ("resourceSubscriptions", "taskIds") and not isinstance(setting, bool):
            return "params.notifications has a member that is not a boolean: it could name what no rule can see"
    return tuple(targets)


def _collect(value: JsonObject, member: str, kind: TargetKind, targets: list[Target]) -> str:
    if member not in value:
        return ""
    names = value[member]
    if not isinstance(names, list):
        return f"params.notifications.{member} is not an array: send an array of strings"
    if len(targets) + len(names) > MAX_TARGETS:
        return f"params.notifications names more than {MAX_TARGETS} things: listen to fewer at once"
    for name in names:
        if fault := target_fault(name, kind):
            return f"params.notifications.{member}: {fault}"
        targets.append(Target(kind, str(name)))
    if sum(len(target.name) for target in targets) > MAX_TARGETS_LENGTH:
        return f"params.notifications has names of more than {MAX_TARGETS_LENGTH} characters: listen to fewer at once"
    return ""
