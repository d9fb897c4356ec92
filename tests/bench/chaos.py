"""What a bad day of Redis costs callers: one row per fault, beside the same load in quiet, in the same run.

    python -m tests.bench chaos [--rounds N] [--json] [--only NAME …]

The load comes at a steady pace, whatever is answered, and half of it is new to the process, so that Redis is asked. A
check that is not answered within the 200 ms that Envoy waits by default counts as an error.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.bench.machine import machine
from tests.chaos.faults import MOVES, OUTAGES, Fault
from tests.chaos.load import Told, wrong, wrongly_allowed
from tests.chaos.rig import Rig

FAULTS: Final = (*OUTAGES, *MOVES)
PER_SECOND: Final = 200
ENVOY_WAITS_S: Final = 0.2
FIRST_S: Final = 1.0
QUIET_S: Final = 3
ROUNDS: Final = 5
FAULT_S: Final = 4
"""The first second, and three after it."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, answers: Sequence[Told]) -> "Latency":
        """Of all, errors included."""
        took = sorted(told.took_s * 1000 for told in answers)
        return cls(took[len(took) // 2], took[min(len(took) - 1, len(took) * 99 // 100)])

    @classmethod
    def median(cls, rounds: Sequence["Latency"]) -> "Latency":
        """Of each figure: a machine that is busy with something else for a moment spoils one round, not the row."""
        return cls(statistics.median(one.p50 for one in rounds), statistics.median(one.p99 for one in rounds))


@dataclass(frozen=True, slots=True)
class Row:
    """One fault."""

    fault: str
    checks: int
    wrongly_allowed: int
    wrong: int
    errors_in_quiet: int
    errors: int
    quiet: Latency
    first: Latency
    later: Latency


def measure(fault: Fault, rounds: int) -> Row:
    """The load in quiet and in the fault, `rounds` times."""
    in_quiet: list[Told] = []
    in_fault: list[Told] = []
    phases: dict[str, list[Latency]] = {"quiet": [], "first": [], "later": []}
    with tempfile.TemporaryDirectory() as folder, Rig(Path(folder), fault.place) as rig:
        for _ in range(rounds):
            asks = rig.deck.deal(PER_SECOND * (QUIET_S + FAULT_S))
            rig.replicas[0].mended(rig.deck)
            rig.warm()
            before, during = asks[: PER_SECOND * QUIET_S], asks[PER_SECOND * QUIET_S :]
            quiet = rig.client.paced(before, per_second=PER_SECOND, within_s=ENVOY_WAITS_S)
            with fault.begin(rig):
                answers = rig.client.paced(during, per_second=PER_SECOND, within_s=ENVOY_WAITS_S)
            until = answers[0].began_s + FIRST_S
            phases["quiet"].append(Latency.of(quiet))
            phases["first"].append(Latency.of([told for told in answers if told.began_s < until]))
            phases["later"].append(Latency.of([told for told in answers if told.began_s >= until]))
            in_quiet += quiet
            in_fault += answers
    everything = [*in_quiet, *in_fault]
    return Row(
        fault=fault.name,
        checks=len(everything),
        wrongly_allowed=wrongly_allowed(everything),
        wrong=sum(wrong([told for told in everything if not failed(told)]).values()),
        errors_in_quiet=sum(map(failed, in_quiet)),
        errors=sum(map(failed, in_fault)),
        **{name: Latency.median(several) for name, several in phases.items()},
    )


def failed(told: Told) -> bool:
    """No answer in time, or a 5xx."""
    return bool(told.fault) or told.seen.status >= 500


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench chaos")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of quiet and fault; figures are medians over them")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="*", default=[fault.name for fault in FAULTS], metavar="NAME")
    options = parser.parse_args(arguments)
    rows = []
    for fault in FAULTS:
        if fault.name in options.only:
            rows.append(measure(fault, options.rounds))
            print(line(rows[-1]), file=sys.stderr)
    if options.json:
        print(json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows]}, indent=2))
    else:
        print(f"machine: {machine()}\n{table(rows)}")


def table(rows: Sequence[Row]) -> str:
    """Markdown: milliseconds, p50 / p99, and what the fault adds to the p99."""
    lines = [
        f"{PER_SECOND} checks a second, half of them new to the process; milliseconds, p50 / p99 (added to the p99)",
        "",
        "| Redis is | checks | wrong allows | wrong answers | errors (in quiet) | in quiet | first second | after it |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(line, rows)])


def line(row: Row) -> str:
    """One row of the table."""
    phases = [f"{row.quiet.p50:.1f} / {row.quiet.p99:.1f}"]
    for phase in (row.first, row.later):
        phases.append(f"{phase.p50:.1f} / {phase.p99:.1f} ({phase.p99 - row.quiet.p99:+.1f})")
    counts = (row.checks, row.wrongly_allowed, row.wrong, f"{row.errors} ({row.errors_in_quiet})")
    return f"| {row.fault} | {' | '.join(map(str, counts))} | {' | '.join(phases)} |"
