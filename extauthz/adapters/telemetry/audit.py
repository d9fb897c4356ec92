"""The audit record of one decision, and the line of JSON that holds it.

Who asked for what, which rule decided and why; never a token, and no claim but those that identify the caller. A line
is pure ASCII (everything else is escaped, so that no name can write into a terminal or split a line) and at most
`MAX_LINE_BYTES` long, its line feed included: the system writes that much to a pipe in one piece, so that the lines of
several processes never mix.
"""

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias, TypeVar

from extauthz.service.details import CheckDetails

MAX_LINE_BYTES: Final = 4_096
"""`PIPE_BUF` of Linux (pipe(7))."""
TEXT_BOUNDS: Final = (256, 64, 16)
"""Characters of one text. The next bound is tried when the line is too long: one character can take 12 bytes."""
LIST_BOUNDS: Final = (32, 8, 4)
"""Entries of one list, likewise."""

Record: TypeAlias = dict[str, Any]
"""Texts, numbers, booleans, lists of texts and of records: what JSON and OTLP can both say."""

_LEFT_OUT_WHEN_EMPTY: Final = (
    *("detail", "issuer", "organization", "subject", "client_id", "machine", "resource", "method", "targets"),
    *("protocol_version", "rule", "policy_revision", "missing_scopes", "trace_id"),
)

_Entry = TypeVar("_Entry")

_encode = json.JSONEncoder(separators=(",", ":")).encode


class _Bounds:
    """Cuts texts and lists, and remembers whether it had to."""

    __slots__ = ("cut", "max_chars", "max_entries")

    def __init__(self, step: int) -> None:
        self.max_chars = TEXT_BOUNDS[step]
        self.max_entries = LIST_BOUNDS[step]
        self.cut = False

    def text(self, value: str) -> str:
        if len(value) > self.max_chars:
            self.cut = True
            value = value[: self.max_chars - 1] + "…"
        # Half a character (a lone surrogate) cannot be sent anywhere.
        return value if value.isascii() else value.encode("utf-8", "replace").decode()

    def first(self, values: tuple[_Entry, ...]) -> tuple[_Entry, ...]:
        if len(values) <= self.max_entries:
            return values
        self.cut = True
        return values[: self.max_entries]


def record(details: CheckDetails, trace_id: str = "", *, step: int = 0) -> Record:
    """The record, without what is empty. `step` chooses the bounds; a record that was cut says so (`shortened`)."""
    bounds = _Bounds(step)
    text = bounds.text
    made: Record = {
        "time": _time(details.ended_ns),
        "event": "decision",
        "decision_id": details.decision_id,
        "outcome": details.outcome.value,
        "reason": details.reason.value,
        "detail": text(details.detail),
        "status": details.status,
    }
    principal = details.principal
    if principal is not None:
        made["issuer"] = text(principal.issuer)
        made["organization"] = text(principal.organization)
        made["subject"] = text(principal.subject)
        made["client_id"] = text(principal.client_id)
        made["machine"] = principal.machine
    made["resource"] = text(details.resource)
    made["method"] = text(details.method)
    made["targets"] = [{"kind": one.kind.value, "name": text(one.name)} for one in bounds.first(details.targets)]
    made["protocol_version"] = text(details.protocol_version)
    made["rule"] = text(details.rule)
    made["policy_revision"] = text(details.policy_revision)
    made["missing_scopes"] = [text(scope) for scope in bounds.first(details.missing_scopes)]
    made["cache"] = details.cache.value
    made["duration_us"] = (details.ended_ns - details.started_ns) // 1_000
    made["trace_id"] = trace_id
    for name in _LEFT_OUT_WHEN_EMPTY:
        if not made.get(name, True):
            del made[name]
    if bounds.cut:
        made["shortened"] = True
    return made


def line(details: CheckDetails, trace_id: str = "") -> bytes:
    """The record as one line."""
    made = b""
    for step in range(len(TEXT_BOUNDS)):
        made = _encode(record(details, trace_id, step=step)).encode("ascii") + b"\n"
        if len(made) <= MAX_LINE_BYTES:
            break
    return made


def loss_line(count: int, now_ns: int) -> bytes:
    """The line that says how many are missing before it."""
    return _encode({"time": _time(now_ns), "event": "records_lost", "count": count}).encode("ascii") + b"\n"


def _time(unix_ns: int) -> str:
    """RFC 3339 in UTC, with microseconds."""
    seconds, rest = divmod(unix_ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1_000:06d}Z"


@lru_cache(maxsize=8)
def _second(unix_s: int) -> str:
    """Thousands of records share it."""
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%dT%H:%M:%S}"
