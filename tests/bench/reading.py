"""What reading a message costs, by its shape: `python -m tests.bench.reading`.

Medians of processor time (what else the machine does counts little) for about 1 MiB, or as much as the bound on
values lets through. Beside it what Python's `json` takes for the same bytes, which checks none of what servers read
differently.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

from extauthz.pdp.mcp.read import read_operation
from extauthz.pdp.operation import Operation
from extauthz.pdp.request import HttpRequest
from extauthz.pdp.strict_json import MAX_CONTAINERS, MAX_VALUES
from tests.bench.machine import machine

MIB: Final = 1_048_576
TIMES: Final = 15
SMALL_TIMES: Final = 2_000
SMALL: Final = {"name": "get_forecast", "arguments": {"city": "Rome", "days": 3, "note": "n" * 147}}


def call(arguments: Any) -> bytes:
    """A `tools/call` with these arguments."""
    params = {"name": "get_forecast", "arguments": {"a": arguments}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def filled(make: Callable[[int], Any], most: int = MIB) -> bytes:
    """The largest call of a kind below 1 MiB and the reader's bound on values; `make` takes how many parts."""
    low, high = 1, most
    while low < high - 1:
        middle = (low + high) // 2
        low, high = (middle, high) if len(call(make(middle))) <= MIB else (low, middle)
    return call(make(low))


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def _record(number: int) -> dict[str, Any]:
    return {"id": number, "name": f"n{number}", "city": "Rome", "ok": True, "v": 1.5}


SHAPES: Final[dict[str, bytes]] = {
    "one string": filled(lambda count: "x" * count),
    "few large strings": filled(lambda count: ["x" * 1_000] * count, 1_100),
    "string of quotes and backslashes": filled(lambda count: '"\\' * count),
    "string of \\u escapes": call("@").replace(b"@", b"\\u00e4" * 170_000),
    "string outside ASCII": filled(lambda count: "\u00e4\u00f6\u4e16" * count),
    "brackets in a string": filled(lambda count: "[{" * count),
    "many strings": filled(lambda count: ["abcdefgh"] * count, MAX_VALUES - 10),
    "16,200 records of five members": call([_record(number) for number in range(16_200)]),
    "records, 20 digits in strings": call([{"id": f"{number:020}", "n": 1} for number in range(24_000)]),
    "one object of many members": filled(lambda count: {f"k{number}": number for number in range(count)}, MAX_VALUES),
    "objects of one member": call([{"a": number} for number in range(MAX_CONTAINERS - 10)]),
    "nesting of 55 levels, again and again": call([_nested(55)] * (MAX_CONTAINERS // 55 - 1)),
    "empty arrays": call([[]] * (MAX_CONTAINERS - 10)),
    "integers of ten digits": filled(lambda count: list(range(10**9, 10**9 + count)), MAX_VALUES - 10),
    "numbers with fractions": filled(lambda count: [number * 1.000001 for number in range(count)], MAX_VALUES - 10),
    "white space": call("@").replace(b"@", b"@" + b" " * 10).ljust(MIB - 16, b" "),
}


def request(body: bytes) -> HttpRequest:
    """The request that brings a body."""
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    return HttpRequest(
        method="POST", scheme="https", authority="h", path="/mcp", headers=headers, body=body, body_size=len(body)
    )


def median_ms(function: Callable[[], object], times: int) -> float:
    """The median of so many runs."""
    taken = []
    for _ in range(times):
        begin = time.thread_time()
        function()
        taken.append(time.thread_time() - begin)
    return statistics.median(taken) * 1e3


def main() -> None:
    """Measure and print."""
    print(machine())
    print(f"{'shape':<40} {'bytes':>9} {'read_operation':>15} {'json.loads':>11}")
    for name, body in SHAPES.items():
        asked = request(body)
        assert isinstance(read_operation(asked), Operation), name
        ours, theirs = (
            median_ms(lambda: read_operation(asked), TIMES),  # noqa: B023 - called in this turn of the loop
            median_ms(lambda: json.loads(body), TIMES),  # noqa: B023 - called in this turn of the loop
        )
        print(f"{name:<40} {len(body):>9,} {ours:>12.1f} ms {theirs:>8.1f} ms")
    small = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": SMALL}).encode()
    asked = request(small)
    taken = median_ms(lambda: read_operation(asked), SMALL_TIMES) * 1e3
    print(f"{'the common small message':<40} {len(small):>9,} {taken:>12.1f} us")


if __name__ == "__main__":
    main()
