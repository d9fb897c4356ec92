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

from extauthz.pdp.operation import Target
from extauthz.pdp.principal import Principal
from extauthz.service.details import CacheUse, CheckDetails

MAX_LINE_BYTES: Final = 4_096
"""`PIPE_BUF` of Linux (pipe(7))."""
TEXT_BOUNDS: Final = (256, 64, 16)
"""Characters of one text. The next bound is tried when the line is too long: one character can take 12 bytes."""
LIST_BOUNDS: Final = (32, 8, 4)
"""Entries of one list, likewise."""

MAX_REPEATED: Final = 4_096
"""Parts of lines kept, because most lines share them: some 0.5 KB each."""
MAX_REPEATED_CHARS: Final = 512
"""Of the texts in one that is kept: with its key 2 KB, so that each kind takes 8 MB at most."""
MAX_REPEATED_TARGETS: Final = 4
"""Of one that is kept, likewise."""

Record: TypeAlias = dict[str, Any]
"""Texts, numbers, booleans, lists of texts and of records: what JSON and OTLP can both say."""

_LEFT_OUT_WHEN_EMPTY: Final = (
    *("detail", "issuer", "organization", "subject", "client_id", "machine", "resource", "method", "targets"),
    *("protocol_version", "rule", "policy_revision", "missing_scopes", "header_only", "trace_id"),
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
    made = _head(details, bounds)
    if details.principal is not None:
        made |= _who(_who_of(details.principal), bounds)
    made |= _what(_about(details), bounds)
    made |= _tail(details, trace_id)
    if bounds.cut or details.shortened:
        made["shortened"] = True
    return made


def line(details: CheckDetails, trace_id: str = "") -> bytes:
    """The record as one line."""
    who = "" if details.principal is None else _who_text(details.principal)
    what = _what_text(_about(details))
    why = _why_text(details.detail) if details.detail else ""
    if who is not None and what is not None and why is not None and not details.shortened:
        # Nothing in these values has to be escaped: an id and words of ours, numbers, and hexadecimal digits.
        parts = (
            f'{{"time":"{_time(details.ended_ns)}","event":"decision","decision_id":"{details.decision_id}"',
            f'"outcome":"{details.outcome.value}","reason":"{details.reason.value}"',
            why,
            f'"status":{details.status}',
            who,
            what,
            f'"duration_us":{(details.ended_ns - details.started_ns) // 1_000}',
            f'"trace_id":"{trace_id}"' if trace_id else "",
        )
        made = (",".join(filter(None, parts)) + "}\n").encode("ascii")
        if len(made) <= MAX_LINE_BYTES:
            return made
    made = b""
    for step in range(len(TEXT_BOUNDS)):
        made = _encode(record(details, trace_id, step=step)).encode("ascii") + b"\n"
        if len(made) <= MAX_LINE_BYTES:
            break
    return made


_About: TypeAlias = tuple[str, str, tuple[Target, ...], str, str, str, tuple[str, ...], bool, CacheUse]


def _about(details: CheckDetails) -> _About:
    return (
        details.resource,
        details.method,
        details.targets,
        details.protocol_version,
        details.rule,
        details.policy_revision,
        details.missing_scopes,
        details.header_only,
        details.cache,
    )


def _head(details: CheckDetails, bounds: _Bounds) -> Record:
    made: Record = {
        "time": _time(details.ended_ns),
        "event": "decision",
        "decision_id": details.decision_id,
        "outcome": details.outcome.value,
        "reason": details.reason.value,
    }
    if details.detail:
        made["detail"] = bounds.text(details.detail)
    made["status"] = details.status
    return made


_Who: TypeAlias = tuple[str, str, str, str, bool]


def _who_of(principal: Principal) -> _Who:
    """What identifies the caller, and no more of the token."""
    return (principal.issuer, principal.organization, principal.subject, principal.client_id, principal.machine)


def _who(who: _Who, bounds: _Bounds) -> Record:
    issuer, organization, subject, client_id, machine = who
    text = bounds.text
    return _without_empty(
        {
            "issuer": text(issuer),
            "organization": text(organization),
            "subject": text(subject),
            "client_id": text(client_id),
            "machine": machine,
        }
    )


def _what(about: _About, bounds: _Bounds) -> Record:
    resource, method, targets, protocol_version, rule, policy_revision, missing, header_only, cache = about
    text = bounds.text
    return _without_empty(
        {
            "resource": text(resource),
            "method": text(method),
            "targets": [{"kind": one.kind.value, "name": text(one.name)} for one in bounds.first(targets)],
            "protocol_version": text(protocol_version),
            "rule": text(rule),
            "policy_revision": text(policy_revision),
            "missing_scopes": [text(scope) for scope in bounds.first(missing)],
            "header_only": header_only,
            "cache": cache.value,
        }
    )


def _tail(details: CheckDetails, trace_id: str) -> Record:
    made: Record = {"duration_us": (details.ended_ns - details.started_ns) // 1_000}
    if trace_id:
        made["trace_id"] = trace_id
    return made


def _without_empty(made: Record) -> Record:
    for name in _LEFT_OUT_WHEN_EMPTY:
        if not made.get(name, True):
            del made[name]
    return made


def _members(made: Record) -> str:
    return _encode(made)[1:-1]


def _who_text(principal: Principal) -> str | None:
    """The same for every check of a caller; None when it had to be cut."""
    who = _who_of(principal)
    return _kept_who_text(who) if _may_be_kept(who[:4]) else _made_who_text(who)


def _made_who_text(who: _Who) -> str | None:
    bounds = _Bounds(0)
    members = _members(_who(who, bounds))
    return None if bounds.cut else members


def _why_text(detail: str) -> str | None:
    """The same for most refusals of one kind, of which a flood can consist; None when it had to be cut."""
    return _kept_why_text(detail) if _may_be_kept((detail,)) else _made_why_text(detail)


def _made_why_text(detail: str) -> str | None:
    bounds = _Bounds(0)
    members = _members({"detail": bounds.text(detail)})
    return None if bounds.cut else members


def _what_text(about: _About) -> str | None:
    """The same for every check of one kind; None when it had to be cut."""
    resource, method, targets, protocol_version, rule, policy_revision, missing, _, _ = about
    few = len(targets) <= MAX_REPEATED_TARGETS
    names = [target.name for target in targets] if few else ()
    texts = (resource, method, protocol_version, rule, policy_revision, *missing, *names)
    return _kept_what_text(about) if few and _may_be_kept(texts) else _made_what_text(about)


def _made_what_text(about: _About) -> str | None:
    bounds = _Bounds(0)
    members = _members(_what(about, bounds))
    return None if bounds.cut else members


def _may_be_kept(texts: tuple[str, ...]) -> bool:
    """Whether what is made of these texts stays small: few characters, none of which takes more than two bytes."""
    joined = "".join(texts)
    return len(joined) <= MAX_REPEATED_CHARS and joined.isascii() and joined.isprintable()


# Callers choose much of what they are asked about: `_may_be_kept` bounds each key, and with it all of them.
_kept_who_text: Final = lru_cache(MAX_REPEATED)(_made_who_text)
_kept_why_text: Final = lru_cache(MAX_REPEATED)(_made_why_text)
_kept_what_text: Final = lru_cache(MAX_REPEATED)(_made_what_text)


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
