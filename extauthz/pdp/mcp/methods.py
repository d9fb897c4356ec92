"""The one table of what a client can send to an MCP server: every method of every revision.

Sources: `schema/<revision>/schema.json` of the specification (unions `ClientRequest` and `ClientNotification`), and
SEP-2663 for the tasks extension of 2026-07-28. Names compare byte for byte: `TOOLS/CALL` and `tools/call ` are not in
the table, and no server knows them either.

A new revision is one more entry in `REVISIONS` and one more mark in each row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from extauthz.pdp.operation import MessageKind, TargetKind

REVISIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
LEGACY_REVISIONS: Final = frozenset(REVISIONS[:4])
"""Revisions of the initialize-based eras. Any other version, known or not, is judged by the rules of the modern era."""

# One mark per revision: in its schema, in an extension of it, or not in it.
_IN_SCHEMA: Final = "s"
_IN_EXTENSION: Final = "x"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One row: what a message with this method is about.

    `target_field` is the member of `params` that names the thing (or `ref`, or `notifications`, which hold names);
    empty when the method names nothing. `mirrored` says that a modern client mirrors the name in `Mcp-Name`.
    `params` are all members that some revision defines in `params`: the names that servers read there.
    """

    name: str
    kind: MessageKind
    revisions: frozenset[str]
    extended: frozenset[str]
    """Revisions that have the method by an extension only."""
    target_field: str
    target_kind: TargetKind | None
    mirrored: bool
    baseline: bool
    params: frozenset[str]
    modern: bool
    """Whether the modern era has it."""
    legacy: bool


_REQUEST: Final = MessageKind.REQUEST
_NOTICE: Final = MessageKind.NOTIFICATION
_TOOL: Final = TargetKind.TOOL
_PROMPT: Final = TargetKind.PROMPT
_RESOURCE: Final = TargetKind.RESOURCE
_TASK: Final = TargetKind.TASK
_INPUTS: Final = " inputResponses requestState"
_TASK_STATUS: Final = "taskId status statusMessage createdAt lastUpdatedAt ttl pollInterval"

# Baseline are the methods that open, keep and end a connection, and those that list what there is. `logging/setLevel`
# is one: Inspector and VS Code send it when they connect, and give up where it fails. Not among them:
# `completion/complete` (its answers hold values of other people's arguments) and `tasks/list`
# (which names work that other callers started).
_ROWS: Final = (
    # method, kind, revisions, target field and kind, mirrored in Mcp-Name, baseline, members of params besides _meta
    ("initialize", _REQUEST, "ssss-", "", None, False, True, "protocolVersion capabilities clientInfo"),
    ("server/discover", _REQUEST, "----s", "", None, False, True, ""),
    ("ping", _REQUEST, "ssss-", "", None, False, True, ""),
    ("tools/list", _REQUEST, "sssss", "", None, False, True, "cursor"),
    ("tools/call", _REQUEST, "sssss", "name", _TOOL, True, False, "name arguments task" + _INPUTS),
    ("resources/list", _REQUEST, "sssss", "", None, False, True, "cursor"),
    ("resources/templates/list", _REQUEST, "sssss", "", None, False, True, "cursor"),
    ("resources/read", _REQUEST, "sssss", "uri", _RESOURCE, True, False, "uri" + _INPUTS),
    ("resources/subscribe", _REQUEST, "ssss-", "uri", _RESOURCE, False, False, "uri"),
    ("resources/unsubscribe", _REQUEST, "ssss-", "uri", _RESOURCE, False, False, "uri"),
    ("subscriptions/listen", _REQUEST, "----s", "notifications", None, False, True, "notifications"),
    ("prompts/list", _REQUEST, "sssss", "", None, False, True, "cursor"),
    ("prompts/get", _REQUEST, "sssss", "name", _PROMPT, True, False, "name arguments" + _INPUTS),
    ("completion/complete", _REQUEST, "sssss", "ref", None, False, False, "ref argument context"),
    ("logging/setLevel", _REQUEST, "ssss-", "", None, False, True, "level"),
    ("tasks/get", _REQUEST, "---sx", "taskId", _TASK, True, False, "taskId"),
    ("tasks/result", _REQUEST, "---s-", "taskId", _TASK, False, False, "taskId"),
    ("tasks/update", _REQUEST, "----x", "taskId", _TASK, True, False, "taskId inputResponses"),
    ("tasks/cancel", _REQUEST, "---sx", "taskId", _TASK, True, False, "taskId"),
    ("tasks/list", _REQUEST, "---s-", "", None, False, False, "cursor"),
    ("notifications/initialized", _NOTICE, "ssss-", "", None, False, True, ""),
    ("notifications/cancelled", _NOTICE, "sssss", "", None, False, True, "requestId reason"),
    ("notifications/progress", _NOTICE, "ssss-", "", None, False, True, "progressToken progress total message"),
    ("notifications/roots/list_changed", _NOTICE, "ssss-", "", None, False, True, ""),
    ("notifications/tasks/status", _NOTICE, "---s-", "taskId", _TASK, False, True, _TASK_STATUS),
)


def _table() -> Mapping[str, Method]:
    table: dict[str, Method] = {}
    for name, kind, marks, target_field, target_kind, mirrored, baseline, params in _ROWS:
        extended = frozenset(r for r, mark in zip(REVISIONS, marks, strict=True) if mark == _IN_EXTENSION)
        revisions = frozenset(r for r, mark in zip(REVISIONS, marks, strict=True) if mark == _IN_SCHEMA) | extended
        table[name] = Method(
            name=name,
            kind=kind,
            revisions=revisions,
            extended=extended,
            target_field=target_field,
            target_kind=target_kind,
            mirrored=mirrored,
            baseline=baseline,
            params=frozenset(params.split()) | {"_meta"},
            modern=not revisions <= LEGACY_REVISIONS,
            legacy=not revisions.isdisjoint(LEGACY_REVISIONS),
        )
    return MappingProxyType(table)


METHODS: Final = _table()
"""Every method that some revision of MCP lets a client send, by name."""
