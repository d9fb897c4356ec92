"""`when` conditions: what compiles, what they read, and that nothing that a caller sends makes them TRUE by chance."""

import contextlib
import struct
import threading
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.adapters.cel.checked_ast import UnknownFormError, tree_of
from extauthz.adapters.cel.condition import MAX_EXPRESSION_CHARS, CelCondition, _environment, compile_condition
from extauthz.adapters.cel.faults import VARIABLES, ConditionFault
from extauthz.pdp.operation import Era, MessageKind, Operation
from extauthz.pdp.policy import REQUEST_FIELDS, Condition, Truth
from extauthz.pdp.principal import Principal

PRINCIPAL: Final = Principal(
    issuer="https://door.example.com",
    subject="4711",
    organization="acme",
    name="ann",
    client_id="desktop",
    scopes=frozenset({"read", "write"}),
    roles=frozenset({"operator", "auditor"}),
    groups=frozenset({"acme/staff"}),
    machine=False,
)
REQUEST: Final = {
    "host": "mcp.example.com",
    "path": "/weather",
    "http_method": "POST",
    "method": "tools/call",
    "target": "set_alert",
    "protocol_version": "2025-11-25",
}


def compiled(text: str) -> CelCondition:
    found = compile_condition(text)
    assert isinstance(found, CelCondition), found
    return found


def faults(text: str) -> tuple[ConditionFault, ...]:
    found = compile_condition(text)
    assert not isinstance(found, CelCondition)
    return found


def truth(text: str, arguments: Mapping[str, Any] | None = None, request: Mapping[str, Any] = REQUEST) -> Truth:
    operation = Operation(
        kind=MessageKind.REQUEST, method="tools/call", era=Era.LEGACY, arguments={} if arguments is None else arguments
    )
    return compiled(text).evaluate(PRINCIPAL, operation, request)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


# --- ordinary ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        ("true", {}, Truth.TRUE),
        ("false", {}, Truth.FALSE),
        ("principal.organization == 'acme'", {}, Truth.TRUE),
        ("principal.issuer == 'https://door.example.com' && principal.subject == '4711'", {}, Truth.TRUE),
        ("principal.name == 'ann' && principal.client_id == 'desktop'", {}, Truth.TRUE),
        ("principal.machine", {}, Truth.FALSE),
        ("'write' in principal.scopes && 'acme/staff' in principal.groups", {}, Truth.TRUE),
        ("principal.roles.exists(r, r.startsWith('aud'))", {}, Truth.TRUE),
        ("principal.roles[0] == 'auditor'", {}, Truth.TRUE),
        ("request.host == 'mcp.example.com' && request.path == '/weather'", {}, Truth.TRUE),
        ("request.http_method == 'POST' && request.method == 'tools/call'", {}, Truth.TRUE),
        ("request.target == 'set_alert' && request.protocol_version == '2025-11-25'", {}, Truth.TRUE),
        ("args.city != 'Atlantis'", {"city": "Oslo"}, Truth.TRUE),
        ("args.city != 'Atlantis'", {"city": "Atlantis"}, Truth.FALSE),
        (
            "args.n > 3 && args.f < 1.5 && args.b && args.z == null",
            {"n": 4, "f": 1.0, "b": True, "z": None},
            Truth.TRUE,
        ),
        ("args.n == 1", {"n": 1.0}, Truth.TRUE),
        ("args.a.b[0].c == 'd'", {"a": {"b": [{"c": "d"}]}}, Truth.TRUE),
        ("args['a-b'] == 1", {"a-b": 1}, Truth.TRUE),
        ("has(args.x) && args.x == 1", {}, Truth.FALSE),
        ("!has(args.x) || args.x == 1", {}, Truth.TRUE),
        ("args.size() == 0", {}, Truth.TRUE),
        ("args.files.all(f, f.startsWith('/tmp/'))", {"files": ["/tmp/a", "/etc/b"]}, Truth.FALSE),
        ("args.name.matches('^[a-z]+$')", {"name": "abc"}, Truth.TRUE),
        ("args.text == 'a\\u0000b'", {"text": "a"}, Truth.FALSE),
        ("args.text.size() == 1", {"text": "\U0001f600"}, Truth.TRUE),
        ("// a comment\ntrue", {}, Truth.TRUE),
    ],
)
def test_conditions(text: str, arguments: dict[str, Any], expected: Truth) -> None:
    assert truth(text, arguments) is expected


def test_a_compiled_condition_is_a_condition_of_the_policy() -> None:
    condition: Condition = compiled("principal.machine")
    assert condition.text == "principal.machine"


def test_conditions_compare_and_print_by_their_text() -> None:
    assert compiled("args.a == 1") == compiled("args.a == 1")
    assert compiled("args.a == 1") != compiled("args.a == 2")
    assert "program" not in repr(compiled("args.a == 1"))


def test_every_field_of_a_request_can_be_read() -> None:
    for name in REQUEST_FIELDS:
        assert truth(f"request.{name} == '{REQUEST[name]}'") is Truth.TRUE


# --- what cannot be said is UNKNOWN ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("args.city != 'Atlantis'", {}),
        ("!(args.city == 'Atlantis')", {}),
        ("args.a.b == 1", {"a": {}}),
        ("args.a.b == 1", {"a": 1}),
        ("args.a.b == 1", {"a": None}),
        ("args.n > 3", {"n": "4"}),
        ("args.n > 3", {"n": None}),
        ("args.t.startsWith('a')", {"t": 1}),
        ("1 / args.n == 1", {"n": 0}),
        ("args.n + 1 > 0", {"n": 2**63 - 1}),
        ("args.l[5] == 1", {"l": [1]}),
        ("args.l.exists(x, x == 1)", {"l": "text"}),
        ("args.t.matches(args.p)", {"t": "a", "p": "("}),
        ("args.b ? true : false", {"b": "true"}),
        ("args.n == 1", {"n": 2**70}),
        ("args.n == 1", {"n": -(2**64)}),
        ("args.t == 'a'", {"t": "\ud800"}),
        ("args.t == 'a'", {"t": object()}),
        ("args.t == 'a'", {"t": (1,)}),
        ("args.size() == 1", {"\ud800": 1}),
    ],
)
def test_errors_are_unknown(text: str, arguments: dict[Any, Any]) -> None:
    assert truth(text, arguments) is Truth.UNKNOWN


def test_a_missing_request_value_is_unknown() -> None:
    assert truth("request.host != 'x'", request={}) is Truth.UNKNOWN
    assert truth("request.host != 'x'", request={"host": None}) is Truth.UNKNOWN


def test_an_error_beside_the_answer_does_not_hide_it() -> None:
    assert truth("args.missing == 1 || principal.name == 'ann'") is Truth.TRUE
    assert truth("args.missing == 1 && principal.name == 'bob'") is Truth.FALSE


# --- what a condition reads --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "beyond", "arguments"),
    [
        ("principal.machine", False, False),
        ("principal.name == 'args.city'", False, False),
        ("principal.roles.exists(args, args == 'x')", False, False),
        ("[{'host': 'a'}].exists(request, request.host == 'a')", False, False),
        ("request.host == 'a'", True, False),
        ("args.city == 'a'", True, True),
        ("args . city == 'a'", True, True),
        ("has(args.city)", True, True),
        ("args.list.exists(args, args.other == 1)", True, True),
        ("args['city'] == 'a'", True, True),
        ("'city' in args", True, True),
        ("{'x': args}.x.city == 'a'", True, True),
        ("(true ? args : args).city == 'a'", True, True),
        ("args.exists(k, k == 'a')", True, True),
        ("principal.machine || args == {}", True, True),
    ],
)
def test_what_is_read_is_found_out(text: str, beyond: bool, arguments: bool) -> None:
    condition = compiled(text)
    assert condition.reads_beyond_identity is beyond
    assert condition.reads_arguments is arguments


def test_a_local_name_hides_the_variable_in_evaluation_as_well() -> None:
    """The proof of what is read rests on it."""
    assert truth("[{'host': 'local'}].exists(request, request.host == 'local')") is Truth.TRUE
    assert truth("['local'].exists(args, args == 'local')", {"x": 1}) is Truth.TRUE


@pytest.mark.parametrize("bad", ["\ud800", 2**80, nested(500), object()])
def test_arguments_that_are_not_read_do_no_harm(bad: Any) -> None:
    assert truth("args.city == 'Oslo'", {"city": "Oslo", "other": bad}) is Truth.TRUE


ARGUMENTS = st.dictionaries(st.sampled_from("abc"), st.one_of(st.integers(-3, 3), st.text("ab", max_size=2)))


@given(
    ARGUMENTS,
    st.dictionaries(st.sampled_from("xyz"), st.integers()),
    st.sampled_from(["args.a == 1", "has(args.a) || args.b == 'b'", "args.a != args.c", "!has(args.c) && args.a > 0"]),
)
def test_the_result_depends_on_nothing_but_what_is_read(
    arguments: dict[str, Any], others: dict[str, Any], text: str
) -> None:
    assert truth(text, {**arguments, **others}) is truth(text, arguments)


# --- threads -----------------------------------------------------------------------------------------------------


def test_threads_share_a_condition() -> None:
    condition = compiled("args.l.exists(x, x == args.k)")
    wrong: list[int] = []

    def ask(key: int) -> None:
        arguments = {"l": list(range(20)), "k": key}
        operation = Operation(kind=MessageKind.REQUEST, method="tools/call", era=Era.LEGACY, arguments=arguments)
        expected = Truth.TRUE if key < 20 else Truth.FALSE
        wrong.extend(key for _ in range(300) if condition.evaluate(PRINCIPAL, operation, {}) is not expected)

    threads = [threading.Thread(target=ask, args=(key,)) for key in (1, 5, 19, 20, 99)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- faults ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("principal.organizatio == 'a'", '"principal.organizatio", which does not exist', (1, 1)),
        ("true && principal.nam == 'a'", '"principal.nam", which does not exist', (1, 9)),
        ("'é' == principal.nam", '"principal.nam", which does not exist', (1, 8)),
        ("true &&\n  request.hots == 'a'", '"request.hots", which does not exist', (2, 3)),
        ("arg.city == 'a'", '"arg.city", which does not exist', (1, 1)),
        ("now() > 1", '"now", which does not exist', (1, 4)),
        ("principal == 'a'", "principal cannot be used as a whole", (1, 1)),
        ("principal['name'] == 'a'", "principal cannot be used as a whole", (1, 1)),
        ("request == 'a'", "request cannot be used as a whole", (1, 1)),
        ("args.city", "of type dyn, not bool", (1, 1)),
        ("principal.name", "of type string, not bool", (1, 1)),
        ("has(principal.name)", "of type string, not bool", (1, 1)),
        ("principal.machine ? args.a : true", "of type dyn, not bool", (1, 1)),
        ("principal.name == 1", "no matching overload", (1, 16)),
        ("args.a =", "Syntax error", (1, 8)),
        ("", "Syntax error", (1, 1)),
        ("'", "Syntax error", (1, 1)),
        ("(" * 60 + "true" + ")" * 60, "nested too deeply", (1, 1)),
        ("+".join(["args.a"] * 60) + " == 1", "nested too deeply", (1, 1)),
        ("true" + " " * MAX_EXPRESSION_CHARS, "longer than", (1, 1)),
        ("true && type(args.a) == int", "type cannot be used here", (1, 9)),
        ("args.a == int", "int is a type", (1, 11)),
        (
            "true &&\n google.protobuf.Int64Value{value: 1} == args.a",
            "google.protobuf.Int64Value is a message type",
            (2, 2),
        ),
        ("args.a == {1: 'a'}", "a map has a key that is not text", (1, 11)),
        ("args.a.matches('(')", "matches has no valid regular expression", (1, 8)),
        ("args.a.matches('[^a]{900}')", "more than 2000 instructions", (1, 8)),
        ("args.a.matches('\\\\pL{900}')", "matches has no valid regular expression", (1, 8)),
        ("timestamp(args.a).getHours(args.b) == 1", "getHours cannot be used here", (1, 19)),
    ],
)
def test_faults_have_a_place_in_the_expression(text: str, message: str, place: tuple[int, int]) -> None:
    fault = faults(text)[0]
    assert message in fault.message
    assert (fault.line, fault.column) == place
    assert fault.hint


def test_a_form_of_the_compiler_that_is_not_known_is_a_fault() -> None:
    """Another version of the package may serialize otherwise: a condition is then refused, not read in part."""
    whole = _environment().compile("args.l.all(x, x > 1.5 && x in [1, 2]) || args.m == {'a': b'b'}").serialize()
    tree_of(whole)
    for end in range(len(whole)):
        with contextlib.suppress(UnknownFormError):
            tree_of(whole[:end])
    for place in range(len(whole)):
        for changed in (0, 0x7F, 0xFF, whole[place] ^ 1):
            with contextlib.suppress(ValueError, struct.error):
                tree_of(whole[:place] + bytes([changed]) + whole[place + 1 :])


def test_all_unknown_names_are_told() -> None:
    told = faults("principal.nam == 'a' && request.hots == 'b' && foo == 1")
    assert [fault.hint for fault in told[:2]] == ['did you mean "name"?', 'did you mean "host"?']
    assert len(told) == 3


def test_a_fault_is_one_short_line() -> None:
    for text in ("1 +", "principal.name == 1", "foo(bar", "args.a == 'b' 'c'"):
        for fault in faults(text):
            assert "\n" not in fault.message
            assert len(fault.message) < 200


# --- hostile -----------------------------------------------------------------------------------------------------

WORDS: Final = st.sampled_from(
    [*VARIABLES, *("&&", "||", "!", "==", "(", ")", "[", "]", "'a'", "1", "true", ".exists(x,", ".", "has(", " ", "\n")]
)


@settings(max_examples=200)
@given(st.one_of(st.text(max_size=40), st.lists(WORDS, max_size=12).map("".join)))
def test_no_expression_raises(text: str) -> None:
    found = compile_condition(text)
    if isinstance(found, CelCondition):
        operation = Operation(kind=MessageKind.REQUEST, method="m", era=Era.LEGACY, arguments={"a": [1, "b"]})
        assert isinstance(found.evaluate(PRINCIPAL, operation, REQUEST), Truth)
    else:
        assert found


JSON: Final = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(["", "a", "é", "\ud800", "\0"])),
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(st.sampled_from("abc"), below, max_size=3)),
    max_leaves=15,
)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from("abc"), JSON))
def test_no_arguments_raise_or_are_met_by_accident(arguments: dict[str, Any]) -> None:
    junk, size = compiled("args.a.b.c == 'exactly this text' && args.size() > 0"), compiled("args.size() >= 0")
    operation = Operation(kind=MessageKind.REQUEST, method="m", era=Era.LEGACY, arguments=arguments)
    assert junk.evaluate(PRINCIPAL, operation, REQUEST) is not Truth.TRUE
    assert isinstance(size.evaluate(PRINCIPAL, operation, REQUEST), Truth)
