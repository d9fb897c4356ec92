"""What an answer says: has the request got through, and if not, was it refused for what it is?"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from extauthz.attack.case import Case, Evidence, Expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `status` 0: nothing that is HTTP."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    """Names in lower case."""
    body: bytes = field(default=b"", repr=False)
    note: str = ""

    def header(self, name: str) -> str:
        """The first value of a header, empty when absent."""
        return next((value for own, value in self.headers if own == name), "")


class Verdict(StrEnum):
    """What became of one attempt."""

    REFUSED = "refused"
    REFUSED_OTHERWISE = "refused otherwise"
    """Refused, but with a status that does not say what is wrong, or with no answer at all."""
    PASSED = "passed"
    """A control went through, as it has to."""
    THROUGH = "got through"
    BLOCKED = "control refused"
    SKIPPED = "skipped"

    @property
    def failed(self) -> bool:
        """Whether something is wrong with the gateway."""
        return self in (Verdict.THROUGH, Verdict.BLOCKED)


# JSON-RPC: what a message that ends a request has. `"result"` alone is not enough of a text to go by.
_DATA_LINE: Final = re.compile(rb"^data:[ ]?(.*?)\r?$", re.MULTILINE)


def judge(case: Case, answer: Answer) -> tuple[Verdict, str]:
    """The verdict on an answer, and a sentence on what was seen."""
    through = _got_through(case, answer)
    seen = _seen(answer)
    if case.expected is Expected.ALLOW:
        return (Verdict.PASSED if through else Verdict.BLOCKED), seen
    if through:
        return Verdict.THROUGH, seen
    as_meant = answer.status in case.statuses or (answer.status == 200 and _has(answer, "error"))
    return (Verdict.REFUSED if as_meant else Verdict.REFUSED_OTHERWISE), seen


def tells_all(body: bytes) -> bool:
    """Whether an event stream has brought the message that answers a request."""
    return any("result" in message or "error" in message for message in _messages(body))


def _got_through(case: Case, answer: Answer) -> bool:
    accepted = 200 <= answer.status < 300
    match case.evidence:
        case Evidence.RESULT:
            return _has(answer, "result")
        case Evidence.ACCEPTED:
            return accepted and not _has(answer, "error")
        case Evidence.CORS:
            return accepted and bool(answer.header("access-control-allow-origin"))
        case Evidence.SWITCHED:
            return answer.status == 101


def _has(answer: Answer, member: str) -> bool:
    return any(member in message for message in _messages(answer.body))


def _messages(body: bytes) -> Iterator[dict[str, Any]]:
    """All JSON-RPC messages in a body: JSON, a batch of answers, or an event stream."""
    for text in (body, *(found[1] for found in _DATA_LINE.finditer(body))):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            continue
        yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict))


def _seen(answer: Answer) -> str:
    if not answer.status:
        return answer.note
    parts = [f"HTTP {answer.status}"]
    for message in _messages(answer.body):
        error = message.get("error")
        if "result" in message:
            parts.append("with a JSON-RPC result")
        elif isinstance(error, dict):
            code = error.get("code")
            # Anything else is the server's text, which has no place in a report.
            parts.append(f"with JSON-RPC error {code if isinstance(code, int) else 'without a number'}")
        break
    if answer.note:
        parts.append(f"({answer.note})")
    return " ".join(parts)
