"""The status page: one HTML document without scripts or anything from elsewhere. Every value is escaped.

It shows what the on-call engineer asks first: is it ready, which policy is in force, how old are the keys, what was
decided last. No token, no subject: the decision id leads to the audit line, which has the rest.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from extauthz.adapters.admin.status import CacheState, Component, Status
from extauthz.pdp.reason import Outcome
from extauthz.service.details import CheckDetails
from extauthz.service.ports import KeySetState

MAX_CELL_CHARS: Final = 120
"""Characters of one value: names that callers choose must not push the rest off the page."""

_STYLE: Final = """
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; width: 100% }
caption { font-weight: 600; text-align: left; padding: .5rem 0 }
th, td { border-bottom: 1px solid; padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: top }
td { overflow-wrap: anywhere }
.number { text-align: right; font-variant-numeric: tabular-nums }
pre { white-space: pre-wrap }
"""

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
)
"""Nothing is loaded and nothing is run; the one style sheet is known by its digest."""


def page(status: Status, now: float) -> str:
    """The document."""
    ready = bool(status.components) and all(component.ready for component in status.components)
    faults = (
        f"<h2>The policy file on disk is not in force</h2><pre>{escape(status.policy_faults)}</pre>"
        if status.policy_faults
        else ""
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>extauthz: {'ready' if ready else 'not ready'}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>extauthz is {'ready' if ready else 'not ready'}</h1>"
        f"<p>Version {_cell(status.version)}, running for {_age(now - status.started_at)}. "
        f"Policy {_cell(status.policy_source)}, revision <code>{_cell(status.policy_revision)}</code>.</p>"
        f"{faults}"
        f"{_components(status.components)}{_key_sets(status.key_sets)}{_caches(status.caches)}"
        f"{_decisions(status.decisions)}"
        '<p><a href="metrics">Metrics</a> <a href="readyz">Readiness</a></p></main></body></html>\n'
    )


def _components(components: Iterable[Component]) -> str:
    rows = [
        (_cell(one.name), "ready" if one.ready else "<strong>not ready</strong>", _cell(one.detail))
        for one in components
    ]
    return _table("What readiness depends on", ("Component", "State", "Why"), rows)


def _key_sets(states: Iterable[KeySetState]) -> str:
    rows = [
        (
            _cell(state.issuer),
            "<strong>none held</strong>" if state.age_s is None else _age(state.age_s),
            str(state.keys),
            _cell(state.last_fault),
        )
        for state in states
    ]
    return _table("Key sets", ("Issuer", "Fetched before", "Keys", "Last fault"), rows)


def _caches(caches: Iterable[CacheState]) -> str:
    rows = [
        (_cell(one.name), _cell(one.tier), _number(one.entries), _number(one.capacity), _cell(one.detail))
        for one in caches
    ]
    return _table("Caches", ("Cache", "Where", "Entries", "At most", "State"), rows)


def _decisions(decisions: Iterable[CheckDetails]) -> str:
    rows = [
        (
            _time(one.ended_ns / 1e9),
            one.outcome.value if one.outcome is Outcome.ALLOW else f"<strong>{one.outcome.value}</strong>",
            one.reason.value,
            _cell(one.resource),
            _cell(one.method),
            _cell(", ".join(target.name for target in one.targets)),
            _cell(one.rule),
            one.cache.value,
            f"{(one.ended_ns - one.started_ns) / 1e3:.0f}",
            f"<code>{_cell(one.decision_id)}</code>",
        )
        for one in decisions
    ]
    head = ("Time", "Outcome", "Reason", "Resource", "Method", "Target", "Rule", "Cache", "us", "Decision id")
    return _table("Last decisions", head, rows)


def _table(caption: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table of cells that are HTML already."""
    if not rows:
        return f"<h2>{caption}</h2><p>None.</p>"
    heading = "".join(f'<th scope="col">{name}</th>' for name in head)
    body = "".join(
        "<tr>" + f'<th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    return f"<table><caption>{caption}</caption><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: str) -> str:
    """A value as text of the document: bounded, visible and escaped."""
    bounded = value if len(value) <= MAX_CELL_CHARS else value[: MAX_CELL_CHARS - 1] + "…"
    return escape("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in bounded))


def _number(value: int | None) -> str:
    return "" if value is None else f'<span class="number">{value:,}</span>'


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 2 * 3_600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h"


def _time(unix_s: float) -> str:
    moment = datetime.fromtimestamp(unix_s, UTC)
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%H:%M:%S} UTC</time>'
