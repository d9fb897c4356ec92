"""The report of a run, for people and for machines."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from extauthz.attack.judge import Verdict
from extauthz.attack.run import Outcome
from extauthz.attack.target import Target


def text_report(target: Target, outcomes: Sequence[Outcome], about: Mapping[str, str]) -> str:
    """Class by class; then what got through and why it matters."""
    lines = [f"attacks on {target.url}", ""]
    for group, members in _by_group(outcomes):
        counts = Counter(outcome.verdict for outcome in members)
        said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
        mark = "FAIL" if any(outcome.verdict.failed for outcome in members) else "ok"
        lines += [f"{mark:<4}  {group:<16} {said}", f"      {about.get(group, '')}"]
        for outcome in members:
            if outcome.verdict.failed:
                lines += ["", *_failure(outcome)]
        lines += [
            f"      note: {outcome.attempt.id}: {outcome.seen}"
            for outcome in members
            if outcome.verdict is Verdict.REFUSED_OTHERWISE
        ]
        if mark == "FAIL":
            lines.append("")
    lines += ["", *_skipped(outcomes), summary(outcomes)]
    return "\n".join(lines)


def summary(outcomes: Iterable[Outcome]) -> str:
    """One line."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    failed = counts[Verdict.THROUGH] + counts[Verdict.BLOCKED]
    told = (
        f"{counts.total()} requests: {counts[Verdict.REFUSED] + counts[Verdict.REFUSED_OTHERWISE]} refused, "
        f"{counts[Verdict.PASSED]} controls passed, {counts[Verdict.THROUGH]} got through, "
        f"{counts[Verdict.BLOCKED]} controls refused, {counts[Verdict.SKIPPED]} skipped"
    )
    return f"{told}: {'FAILED' if failed else 'ok'}"


def json_report(target: Target, outcomes: Sequence[Outcome]) -> str:
    """Everything, for machines."""
    cases: list[dict[str, Any]] = [
        {
            "id": outcome.attempt.id,
            "class": outcome.attempt.case.group,
            "era": outcome.attempt.era,
            "verdict": outcome.verdict,
            "expected": outcome.attempt.case.expected,
            "seen": outcome.seen,
            "why": outcome.attempt.case.why,
            "source": outcome.attempt.case.source,
        }
        for outcome in outcomes
    ]
    failed = any(outcome.verdict.failed for outcome in outcomes)
    return json.dumps({"target": target.url, "failed": failed, "cases": cases}, indent=2)


def _by_group(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, list[Outcome]]]:
    for group, members in groupby(outcomes, key=lambda outcome: outcome.attempt.case.group):
        yield group, list(members)


def _failure(outcome: Outcome) -> Iterator[str]:
    case = outcome.attempt.case
    yield f"      {outcome.verdict.upper()}: {outcome.attempt.id}"
    yield f"        answer  {outcome.seen}"
    yield f"        why     {case.why}"
    yield f"        source  {case.source}"
    for server, does in case.servers.items():
        yield f"        {server}: {does}"


def _skipped(outcomes: Sequence[Outcome]) -> Iterator[str]:
    missing = Counter(outcome.seen for outcome in outcomes if outcome.verdict is Verdict.SKIPPED)
    for what, count in missing.most_common():
        yield f"skipped: {count}, {what}"
    if missing:
        yield ""
