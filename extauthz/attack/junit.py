"""The report as JUnit XML, which CI systems read."""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

from extauthz.attack.judge import Verdict
from extauthz.attack.run import Outcome

# XML 1.0 §2.2 has no escape for these.
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd]")


def junit_xml(outcomes: Sequence[Outcome]) -> bytes:
    """One suite per class of attack, one case per request."""
    root = Element("testsuites", name="extauthz attack", tests=str(len(outcomes)), failures=str(_failures(outcomes)))
    for group, found in groupby(outcomes, key=lambda outcome: outcome.attempt.case.group):
        members = list(found)
        suite = SubElement(
            root,
            "testsuite",
            name=group,
            tests=str(len(members)),
            failures=str(_failures(members)),
            skipped=str(sum(outcome.verdict is Verdict.SKIPPED for outcome in members)),
        )
        for outcome in members:
            _case(suite, outcome)
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _case(suite: Element, outcome: Outcome) -> None:
    case = SubElement(suite, "testcase", classname=f"attack.{outcome.attempt.case.group}", name=outcome.attempt.id)
    if outcome.verdict is Verdict.SKIPPED:
        SubElement(case, "skipped", message=_plain(outcome.seen))
    elif outcome.verdict.failed:
        told = outcome.attempt.case
        failure = SubElement(case, "failure", message=_plain(f"{outcome.verdict}: {outcome.seen}"))
        failure.text = _plain(f"{told.why}\n{told.source}")


def _failures(outcomes: Sequence[Outcome]) -> int:
    return sum(outcome.verdict.failed for outcome in outcomes)


def _plain(text: str) -> str:
    return _NOT_XML.sub("?", text)
