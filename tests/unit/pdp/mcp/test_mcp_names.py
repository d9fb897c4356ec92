"""Look-alikes of the names that servers read."""

import unicodedata

import pytest

from extauthz.pdp.mcp.names import FILTER_MEMBERS, MAX_MEMBERS, MAX_NAME_LENGTH, META_MEMBERS, ReservedNames, fold

TOOL_CALL = ReservedNames.of(("name", "arguments", "_meta", "taskId"))

LOOK_ALIKES = {
    "CVE-2026-27896: another case": "Name",
    "CVE-2026-27896: capitals": "NAME",
    "CVE-2026-27896: U+017F for s": "argument\u017f",
    "CVE-2026-27896: U+212A for k": "tas\u212aId",
    "GO-2026-4770: trailing NUL": "name\x00",
    "GO-2026-4770: NULs": "name\x00\x00\x00",
    "leading NUL": "\x00name",
    "control inside": "na\x7fme",
    "C1 control": "name\x85",
    "leading space": " name",
    "trailing space": "name ",
    "trailing tab": "name\t",
    "no-break space": "name\u00a0",
    "ideographic space": "\u3000name",
    "zero width space": "na\u200bme",
    "zero width joiner": "name\u200d",
    "soft hyphen": "na\u00adme",
    "byte order mark": "\ufeffname",
    "word joiner": "na\u2060me",
    "right-to-left mark": "name\u200f",
    "variation selector": "name\ufe0f",
    "tag character": "name\U000e0020",
    "combining grapheme joiner": "na\u034fme",
    "Hangul filler": "name\u3164",
    "fullwidth": "\uff4e\uff41\uff4d\uff45",
    "mathematical": "\U0001d427\U0001d41a\U0001d426\U0001d41e",
    "circled": "\u24dd\u24d0\u24dc\u24d4",
    "superscript": "nam\u1d49",
    "dotless i": "task\u0131d",
    "dotted capital I": "TASK\u0130D",
    "snake case, as models filled by field name": "task_id",
    "capital snake case": "TASK_ID",
    "kebab case": "task-id",
    "without the underscore, as models filled by field name": "meta",
    "more underscores": "__meta__",
    "a byte that the proxy replaced": "name!",
    "a mark": "nam\u00e9",
    "array suffix": "name[]",
    "dollar": "$name",
}


@pytest.mark.parametrize("name", LOOK_ALIKES.values(), ids=LOOK_ALIKES.keys())
def test_a_name_that_some_reader_takes_for_a_reserved_one_is_ambiguous(name: str) -> None:
    assert TOOL_CALL.ambiguity({name: "evil"})
    assert TOOL_CALL.ambiguity({"name": "ok", name: "evil"})
    assert TOOL_CALL.ambiguity({name: "evil", "name": "ok"})


@pytest.mark.parametrize(
    "name", ["", "names", "nam", "title", "x-name-x", "n\u0430me", "io.example/name", "\u540d\u524d"]
)
def test_other_names_are_free(name: str) -> None:
    """U+0430 is Cyrillic: no parser folds one script into another."""
    assert not TOOL_CALL.ambiguity({"name": "ok", name: 1})


def test_reserved_names_themselves_are_not_ambiguous() -> None:
    assert not TOOL_CALL.ambiguity({})
    assert not TOOL_CALL.ambiguity({"name": 1, "arguments": 2, "_meta": 3, "taskId": 4})
    assert not META_MEMBERS.ambiguity({"progressToken": 1, "traceparent": "00-", "com.example/x": 1})


def test_snake_case_filters_are_ambiguous() -> None:
    """A model with aliases and `populate_by_name` reads `resource_subscriptions`; a reader of MCP does not."""
    assert FILTER_MEMBERS.ambiguity({"resource_subscriptions": ["secret://x"]})
    assert FILTER_MEMBERS.ambiguity({"resourceSubscriptions": [], "task_ids": ["t"]})
    assert META_MEMBERS.ambiguity({"io.modelcontextprotocol/protocol_version": "2025-11-25"})


def test_members_are_bounded_where_each_costs_a_fold() -> None:
    assert not TOOL_CALL.ambiguity({f"x{number}": 1 for number in range(MAX_MEMBERS)})
    assert TOOL_CALL.ambiguity({f"x{number}": 1 for number in range(MAX_MEMBERS + 1)})
    assert not TOOL_CALL.ambiguity({"x" * MAX_NAME_LENGTH: 1})
    assert TOOL_CALL.ambiguity({"x" * (MAX_NAME_LENGTH + 1): 1})


def test_the_detail_names_the_member_safely() -> None:
    detail = TOOL_CALL.ambiguity({"Name\u202e": 1})
    assert "\\u202e" in detail
    assert detail.isascii()


def test_a_fold_takes_away_whatever_unicode_calls_invisible() -> None:
    categories = ("Cc", "Cf", "Mn", "Me", "Zs", "Zl", "Zp")
    invisible = [character for character in map(chr, range(0x110000)) if unicodedata.category(character) in categories]
    assert len(invisible) > 2_000
    assert {fold("na" + character + "me") for character in invisible} == {"name"}
