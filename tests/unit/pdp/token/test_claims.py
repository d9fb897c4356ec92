from typing import Any

import pytest

from extauthz.pdp.reason import Reason
from extauthz.pdp.token.claims import (
    MAX_DATE,
    MAX_IDENTITY_BYTES,
    MAX_NAMES,
    claim_at,
    has_control,
    only_name,
    read_audiences,
    read_date,
    read_identity,
    read_label,
    read_names,
    read_scopes,
    read_token_id,
    shown,
)
from extauthz.pdp.token.profile import NamedObject
from extauthz.pdp.token.token_fault import TokenFault

CONTROLS = ["\x00", "\x01", "\t", "\n", "\r", "\x1b", "\x1f", "\x7f", "\x80", "\x85", "\x9f", "\u2028", "\u2029"]
CASDOOR_ROLE = NamedObject(name="name", must_be_true="isEnabled")


def reason_of(outcome: object) -> Reason | None:
    return outcome.reason if isinstance(outcome, TokenFault) else None


# Dates.


@pytest.mark.parametrize("value", [0, 1, -1, 1_795_437_163, MAX_DATE, -MAX_DATE, 1.0, 1.5, 3e9])
def test_numbers_are_a_date(value: float) -> None:
    assert read_date({"exp": value}, "exp") == value


def test_absent_date_is_none() -> None:
    assert read_date({}, "exp") is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        float("nan"),
        float("inf"),
        1e15,
        "1795437163",
        "",
        [],
        [1],
        {},
        MAX_DATE + 1,
        -MAX_DATE - 1,
        2**53,
    ],
)
def test_anything_else_is_no_date(value: Any) -> None:
    assert reason_of(read_date({"exp": value}, "exp")) is Reason.TOKEN_MALFORMED


# Identities.


@pytest.mark.parametrize(
    "value",
    [
        "a0170273-317f-4cd1-bbd2-3ecb2303e51a",
        "admin/app-mcp",
        "auth0|6553da60a54af58e29493993",
        "https://client.example/metadata.json",
        "42",
        " ",
        "Алиса",
        "\N{GRINNING FACE}",
        "a" * MAX_IDENTITY_BYTES,
        "\u00e9" * (MAX_IDENTITY_BYTES // 2),
    ],
)
def test_identity_is_kept_as_it_is(value: str) -> None:
    assert read_identity(value, "sub") == value


@pytest.mark.parametrize("value", [None, ""])
def test_nobody_is_empty(value: str | None) -> None:
    assert read_identity(value, "sub") == ""


@pytest.mark.parametrize("value", [0, 1, True, 1.5, [], ["a"], {}, {"a": "b"}])
def test_identity_is_a_string(value: Any) -> None:
    assert reason_of(read_identity(value, "sub")) is Reason.TOKEN_SUBJECT


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("template", ["{}", "a{}", "{}a", "\u00e9{}a"])
def test_identity_has_no_control_character(template: str, control: str) -> None:
    assert reason_of(read_identity(template.format(control), "sub")) is Reason.TOKEN_SUBJECT


@pytest.mark.parametrize("value", ["a" * (MAX_IDENTITY_BYTES + 1), "\u00e9" * (MAX_IDENTITY_BYTES // 2 + 1)])
def test_identity_is_bounded(value: str) -> None:
    assert reason_of(read_identity(value, "sub")) is Reason.TOKEN_SUBJECT


def test_token_id_is_a_bounded_string() -> None:
    assert read_token_id(None) == ""
    assert read_token_id("admin/\n") == "admin/\n"
    assert read_token_id("j" * MAX_IDENTITY_BYTES) == "j" * MAX_IDENTITY_BYTES
    assert reason_of(read_token_id(7)) is Reason.TOKEN_MALFORMED
    assert reason_of(read_token_id("j" * (MAX_IDENTITY_BYTES + 1))) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    ("values", "label"),
    [
        ([], ""),
        (["alice"], "alice"),
        ([None, "alice"], "alice"),
        (["", "alice"], "alice"),
        (["alice", "bob"], "alice"),
        ([{"a": 1}, 7, True, ["x"]], ""),
        (["a\r\nx: y"], ""),
        (["a\0b", "alice"], "alice"),
        (["a" * (MAX_IDENTITY_BYTES + 1)], ""),
        (["a" * MAX_IDENTITY_BYTES], "a" * MAX_IDENTITY_BYTES),
    ],
)
def test_label_is_the_first_that_can_be_shown(values: list[Any], label: str) -> None:
    assert read_label(values) == label


@pytest.mark.parametrize("text", ["", "plain", "sp ace", "\u00e9", "\N{GRINNING FACE}", "\u00a0", "\u200b"])
def test_text_without_a_control(text: str) -> None:
    assert has_control(text) is False


# Audiences.


@pytest.mark.parametrize(
    ("value", "audiences"),
    [("a", ["a"]), ("", [""]), (["a"], ["a"]), (["a", "b"], ["a", "b"]), ([], [])],
)
def test_audience_is_a_string_or_a_list(value: Any, audiences: list[str]) -> None:
    assert read_audiences(value) == audiences


@pytest.mark.parametrize("value", [None, 1, True, {}, {"a": "b"}, [1], ["a", None], [["a"]], [{"a": "b"}]])
def test_anything_else_is_no_audience(value: Any) -> None:
    assert reason_of(read_audiences(value)) is Reason.TOKEN_AUDIENCE


# Scopes.


@pytest.mark.parametrize(
    ("value", "scopes"),
    [
        (None, set()),
        ("", set()),
        (" ", set()),
        ("mcp:read", {"mcp:read"}),
        ("mcp:read mcp:write", {"mcp:read", "mcp:write"}),
        (" mcp:read  mcp:read ", {"mcp:read"}),
        # One scope with a comma in it, as RFC 6749 §3.3 has it: nothing that a client wrote is taken apart.
        ("mcp:read,mcp:write", {"mcp:read,mcp:write"}),
        ("mcp:read\tmcp:write", set()),
        ("mcp:read\u00a0mcp:write ok", {"ok"}),
        ('a"b c\\d \x7f ok', {"ok"}),
        ("\u0430dmin", set()),
        ("!#$%&'()*+,-./:;<=>?@[]^_`{|}~", {"!#$%&'()*+,-./:;<=>?@[]^_`{|}~"}),
        # `scp` of other issuers.
        (["mcp:read", "mcp:write"], {"mcp:read", "mcp:write"}),
        (["mcp:read mcp:write", None, 7, ["x"], ""], set()),
        ([], set()),
    ],
)
def test_scopes_are_tokens_with_spaces_between_them(value: Any, scopes: set[str]) -> None:
    assert read_scopes(value) == frozenset(scopes)


@pytest.mark.parametrize("value", [1, True, {}, {"a": "b"}, 1.5])
def test_anything_else_is_no_scope(value: Any) -> None:
    assert reason_of(read_scopes(value)) is Reason.TOKEN_MALFORMED


def test_scopes_are_bounded() -> None:
    assert read_scopes(" ".join(["a"] * MAX_NAMES)) == frozenset({"a"})
    assert reason_of(read_scopes(" ".join(["a"] * (MAX_NAMES + 1)))) is Reason.TOKEN_MALFORMED


# Roles and groups.


@pytest.mark.parametrize(
    ("value", "form", "names"),
    [
        (None, CASDOOR_ROLE, set()),
        ([], CASDOOR_ROLE, set()),
        (["a", "b"], CASDOOR_ROLE, {"a", "b"}),
        ([{"name": "on", "isEnabled": True}, {"name": "off", "isEnabled": False}], CASDOOR_ROLE, {"on"}),
        ([{"name": "a"}, {"isEnabled": True}, {"name": 1, "isEnabled": True}], CASDOOR_ROLE, set()),
        ([{"name": "a", "isEnabled": "true"}, {"name": "b", "isEnabled": 1}], CASDOOR_ROLE, set()),
        ([{"name": "a", "isEnabled": True}], None, set()),
        ([{"value": "a"}, {"value": ""}, {"name": "b"}], NamedObject(name="value"), {"a"}),
        (["a", None, 5, True, [], ["b"], "", "c\n"], CASDOOR_ROLE, {"a"}),
        ("mcp-admin", CASDOOR_ROLE, set()),
        ({"name": "mcp-admin", "isEnabled": True}, CASDOOR_ROLE, set()),
        (True, CASDOOR_ROLE, set()),
    ],
)
def test_roles_are_names_that_are_switched_on(value: Any, form: NamedObject | None, names: set[str]) -> None:
    assert read_names(value, "roles", form) == frozenset(names)


def test_roles_are_bounded() -> None:
    assert read_names(["a"] * MAX_NAMES, "roles", None) == frozenset({"a"})
    assert reason_of(read_names(["a"] * (MAX_NAMES + 1), "roles", None)) is Reason.TOKEN_MALFORMED


# Places.


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((), None),
        (("a",), 1),
        (("b", "c"), 2),
        (("b", "x"), None),
        (("a", "x"), None),
        (("d", "0"), None),
        (("x",), None),
        (("x", "y", "z"), None),
    ],
)
def test_claim_is_found_by_its_path(path: tuple[str, ...], value: Any) -> None:
    assert claim_at({"a": 1, "b": {"c": 2}, "d": [3]}, path) == value


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("acme", "acme"),
        (["acme"], "acme"),
        ({"acme": {}}, "acme"),
        (["acme", "rival"], None),
        ({"acme": {}, "rival": {}}, None),
        ([], None),
        ({}, None),
        (None, None),
        ([7], 7),
    ],
)
def test_only_name_of_a_collection(value: Any, name: Any) -> None:
    assert only_name(value) == name


def test_shown_text_is_quoted_escaped_and_cut() -> None:
    assert shown("a\n\x1b'") == '"a\\n\\x1b\'"'
    assert len(shown("x" * 1000)) == 83
