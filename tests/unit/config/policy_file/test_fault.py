"""Faults: their text, their order, and that one wrong value is told once."""

import pytest

from extauthz.config.policy_file.fault import (
    Fault,
    Path,
    PolicyFaults,
    Position,
    Report,
    dotted,
    in_file_order,
)
from extauthz.pdp.quoting import SHOWN_CHARS, one_line, quoted, suggestion


class Everywhere:
    """Values on line 1, keys on line 2."""

    def value_position(self, path: Path) -> Position:
        return Position(1, len(path) + 1)

    def key_position(self, path: Path) -> Position:
        return Position(2, len(path) + 1)


def report() -> Report:
    return Report("x.yaml", Everywhere())


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("resources", "weather", "rules", 1, "scopes", 0), "resources.weather.rules[1].scopes[0]"),
        (("resources", "weather", "scopes", "weather:read"), "resources.weather.scopes.weather:read"),
        (("issuers", "the door"), 'issuers["the door"]'),
        (("issuers", ""), 'issuers[""]'),
        (("a.b",), '["a.b"]'),
        ((0,), "[0]"),
    ],
)
def test_paths_as_text(path: Path, text: str) -> None:
    assert dotted(path) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", '"a"'),
        ("é", '"é"'),
        ("a\nb", '"a\\nb"'),
        ("\x1b[2J", '"\\x1b[2J"'),
        ("\u202e", '"\\u202e"'),
        ("\ud800", '"\\ud800"'),
        ("x" * 100, '"' + "x" * SHOWN_CHARS + '…"'),
    ],
)
def test_values_in_messages_show_what_they_hold(value: str, text: str) -> None:
    assert quoted(value) == text


def test_suggestions() -> None:
    assert suggestion("isuer", ("issuer", "uri"), "else") == 'did you mean "issuer"?'
    assert suggestion("zzz", ("issuer", "uri"), "else") == "else"
    assert suggestion("x", (), "else") == "else"


def test_a_fault_is_told_at_its_value_its_key_or_a_place_inside() -> None:
    found = report()
    found.fault(("a",), "value", "m")
    found.fault(("a",), "key", "m", on_key=True)
    found.fault(("a",), "inside", "m", at=Position(7, 9))
    assert [(fault.line, fault.column) for fault in found.faults] == [(1, 2), (2, 2), (7, 9)]
    assert str(found.faults[0]) == "x.yaml:1:2: value (m)"


def test_messages_are_one_line() -> None:
    found = report()
    found.fault(("a",), "two\nlines", "and\tmore")
    assert str(found.faults[0]) == "x.yaml:1:2: two lines (and more)"
    assert one_line("  a \n b ") == "a b"


def test_a_broken_value_is_told_nothing_more_about() -> None:
    found = report()
    found.broken.add(("a", "b"))
    for path in (("a", "b"), ("a", "b", "c", 0)):
        found.fault(path, "again", "m")
        found.advise(path, "again", "m")
    assert (found.faults, found.advice) == ([], [])
    found.fault(("a",), "above", "m")
    found.advise(("a", "c"), "beside", "m")
    assert (len(found.faults), len(found.advice)) == (1, 1)


def test_broken_values_are_found_from_above_and_below() -> None:
    found = report()
    found.broken.add(("a", "b"))
    assert found.is_broken(("a", "b", "c"))
    assert not found.is_broken(("a",))
    assert found.holds_broken(("a",))
    assert found.holds_broken(("a", "b", "c"))
    assert not found.holds_broken(("x",))


def test_faults_come_in_file_order_each_once() -> None:
    def fault(line: int, column: int) -> Fault:
        return Fault(file="x", line=line, column=column, path="", message="m", hint="n")

    found = in_file_order([fault(2, 1), fault(1, 9), fault(2, 1), fault(1, 2)])
    assert found == (fault(1, 2), fault(1, 9), fault(2, 1))
    assert str(PolicyFaults(found[:2])) == "x:1:2: m (n)\nx:1:9: m (n)"


def test_a_fault_is_one_line_whatever_the_file_is_called() -> None:
    told = str(Fault(file="a\n\x1b[2Jb", line=1, column=2, path="", message="m\u202e", hint="h"))
    assert told == "a\\n\\x1b[2Jb:1:2: m\\u202e (h)"
