"""What conditions cost: `python -m tests.bench.conditions`.

Medians of processor time for usual conditions, beside what Google's runtime takes for the same (handing over
arguments included), and for the dearest calls of `tests/unit/adapters/cel/test_cost.py`.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any, Final

from extauthz.adapters.cel.condition import _environment
from tests.bench.machine import machine
from tests.support.conditions import PRINCIPAL, REQUEST, compiled, examined, operation
from tests.unit.adapters.cel.test_cost import DEAREST

TIMES: Final = 15
SMALL_TIMES: Final = 2_000
USUAL: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("principal.name == 'ann'", {}),
    ("args.city != 'Atlantis'", {"city": "Oslo", "days": 3}),
    ("has(args.x) && args.x == 1", {"x": 1, "y": 2}),
    ("args.amount <= 100 && 'operator' in principal.roles", {"amount": 5, "to": "x", "memo": "hello"}),
    ("args.account in ['a', 'b', 'c'] && args.force != true", {"account": "b", "force": False}),
    ("args.path.startsWith('/srv/' + principal.organization + '/')", {"path": "/srv/acme/x", "mode": 1}),
    ("args.name.matches('^[a-z]+$')", {"name": "abcdef"}),
    ("args.files.all(f, f.startsWith('/tmp/'))", {"files": [f"/tmp/{n}" for n in range(20)]}),
)


def taken_us(work: Callable[[], object], repeat: int) -> float:
    """The median of the processor time of one run, in microseconds."""
    measured = []
    for _ in range(TIMES):
        begun = time.thread_time()
        for _ in range(repeat):
            work()
        measured.append((time.thread_time() - begun) / repeat * 1e6)
    return statistics.median(measured)


def google(text: str, arguments: dict[str, Any]) -> Callable[[], object]:
    """Google's evaluation of the same."""
    program = _environment().compile(text)
    fields = [name for name in ("name", "organization", "roles") if f"principal.{name}" in text]

    def run() -> object:
        data: dict[str, Any] = {f"principal.{name}": getattr(PRINCIPAL, name) for name in fields}
        if "principal.roles" in data:
            data["principal.roles"] = sorted(data["principal.roles"])
        return program.eval(data={**data, "args": arguments}).value()

    return run


def main() -> None:
    """Print both tables."""
    print(machine())
    print("\n| condition | us | Google's runtime, us | steps |\n|---|---|---|---|")
    for text, arguments in USUAL:
        condition, asked = compiled(text), operation(arguments)
        ours = taken_us(lambda: condition.evaluate(PRINCIPAL, asked, REQUEST), SMALL_TIMES)  # noqa: B023
        theirs = taken_us(google(text, arguments), SMALL_TIMES)
        print(f"| `{text}` | {ours:.1f} | {theirs:.1f} | {examined(text, arguments).steps} |")
    print("\n| dearest calls, given up | ms |\n|---|---|")
    dearest = [(taken_us(lambda: compiled(t).evaluate(PRINCIPAL, operation(a), REQUEST), 1), t) for t, a in DEAREST]  # noqa: B023
    for cost, text in sorted(dearest, reverse=True)[:8]:
        print(f"| `{text}` | {cost / 1000:.1f} |")


if __name__ == "__main__":
    main()
