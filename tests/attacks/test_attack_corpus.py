"""The corpus itself: well formed, of the promised size, with enough controls, and every case can be composed."""

import json
from collections import Counter
from itertools import product

import pytest

from extauthz.attack.case import BOTH_ERAS, Era, Expected, attempts
from extauthz.attack.compose import CannotComposeError, compose
from extauthz.attack.corpus import CorpusError, about_groups, load_corpus, parse_cases
from extauthz.attack.reargued import ARGUMENT_CHANGES, reargue
from extauthz.attack.respelled import URI_CHANGES, respell
from extauthz.attack.tampered import CHANGES, tamper
from extauthz.attack.target import Target, Values
from extauthz.pdp.reason import Reason
from tests.attacks.deciding import FORBIDDEN_URI, SESSION, TARGET, values
from tests.support.world import mint

CASES = load_corpus()


def test_it_is_as_large_as_promised() -> None:
    counts = Counter(case.expected for case in CASES)
    assert counts.total() >= 250
    assert counts[Expected.ALLOW] >= 25


def test_every_class_that_is_known_of_is_there() -> None:
    assert (
        set(about_groups())
        == {case.group for case in CASES}
        == {
            *(
                "arguments",
                "batches",
                "controls",
                "credentials",
                "duplicates",
                "encoding",
                "eras",
                "headers",
                "http",
                "json",
                "lengths",
            ),
            *("look-alikes", "origins", "paths", "shapes", "targets", "tokens", "uris"),
        }
    )


def test_every_case_says_why_whence_and_by_what_reason() -> None:
    for case in CASES:
        assert case.why.endswith((".", ")", "?")), case.name
        assert case.source, case.name
        assert case.reason == "proxy" or Reason(case.reason), case.name


def test_no_two_attempts_are_the_same_bytes() -> None:
    """Two cases that send the same are one case with two names."""
    senders: dict[bytes, list[str]] = {}
    run_values = values()
    for attempt in attempts(CASES, frozenset(BOTH_ERAS)):
        sent = compose(attempt, TARGET, run_values, SESSION).wire()
        senders.setdefault(sent, []).append(attempt.id)
    assert [ids for ids in senders.values() if len(ids) > 1] == []


def test_what_a_run_lacks_is_said_with_the_option_that_gives_it() -> None:
    missing = set()
    some = (
        Values(),
        Values(tool="t", forbidden="f", guarded="g", forbidden_uri="docs://h/plain"),
        Values(tool="t", forbidden="f", token="opaque"),
    )
    for attempt, given in product(attempts(CASES, frozenset(BOTH_ERAS)), some):
        try:
            compose(attempt, TARGET, given)
        except CannotComposeError as error:
            missing.add(str(error))
    assert missing == {
        "a token (--token)",
        "the token of its name (--tokens)",
        "a permitted tool (--tool)",
        "a tool that policy refuses (--forbidden-tool)",
        "a tool that is refused for some arguments (--guarded-tool)",
        "arguments with a number and a boolean (--guarded-refused)",
        "the URI of a resource that policy refuses (--forbidden-uri)",
        "a URI with a slash and each of _ - ~ in its path (--forbidden-uri)",
        "an allowed browser origin (--origin)",
        "a server that gives session ids",
        "a token that is a JWT (--token)",
    }


def test_a_target_of_one_era_gets_the_cases_of_that_era() -> None:
    legacy = attempts(CASES, frozenset({Era.LEGACY}))
    assert {attempt.era for attempt in legacy} == {Era.LEGACY}
    assert len({attempt.id for attempt in legacy}) == len(legacy)
    assert attempts(CASES, frozenset()) == ()


def test_headers_replace_those_that_are_usually_there_and_repeat_line_by_line() -> None:
    attempt = next(one for one in attempts(CASES, frozenset(BOTH_ERAS)) if one.id == "credentials/twice-other-last")
    wire = compose(attempt, TARGET, Values(tool="t", token="a.b.c")).wire()
    assert wire.count(b"authorization: ") == 2
    assert wire.index(b"authorization: Bearer a.b.c\r\n") < wire.index(b"authorization: Bearer x.y.z\r\n")


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_of_a_token_changes_it(change: str) -> None:
    token = mint()
    changed = tamper(token, change)
    assert changed not in (None, token)


def test_a_token_that_is_no_jwt_cannot_be_changed() -> None:
    assert tamper("opaque", "alg-none") is None
    assert tamper("a.b.c", "alg-none") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("x: 1\ncases: []", "the key x is unknown"),
        ("cases: [{id: a, why: w, expect: refuse}]", "reason is absent"),
        ("cases: [{id: a, why: w, expect: perhaps, reason: r}]", "is not a valid Expected"),
        ("cases: [{id: a, why: w, expect: allow, reason: r, eras: [stone]}]", "is not a valid Era"),
        ("cases: [{id: a, why: w, expect: allow, reason: r, request: {url: x}}]", "the key url is unknown"),
        ("cases: [{id: a, why: w, expect: allow, reason: r, request: {headers: {x: 1}}}]", "header x is no text"),
        (
            "cases: [{id: a, why: w, expect: allow, reason: r}, {id: a, why: w, expect: allow, reason: r}]",
            "stands twice",
        ),
        ("cases: [3]", "no mapping stands here"),
    ],
)
def test_a_malformed_file_says_where_and_what(change: str, said: str) -> None:
    with pytest.raises(CorpusError, match=said):
        parse_cases("group", f"about: x\n{change}")


@pytest.mark.parametrize(
    "url", ["ftp://x/", "mcp", "http://", "http://u@x/", "http://x/?a=1", "http://x/#f", "http://x/é"]
)
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"give the endpoint's|leave them out"):
        Target.of(url)


@pytest.mark.parametrize("name", ['a"b', "a b", "a\n", "é", "${x}"])
def test_a_tool_name_that_would_change_the_message_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="choose another"):
        Values(tool=name)


@pytest.mark.parametrize(
    "uri", ["docs", "docs://h", "docs://h/a b", "docs://h/a%20b", 'docs://h/"', "docs://H/a", "docs://h/1"]
)
def test_a_uri_that_cannot_be_respelt_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="choose one as"):
        Values(forbidden_uri=uri)


@pytest.mark.parametrize("change", URI_CHANGES)
def test_each_change_of_a_uri_changes_it(change: str) -> None:
    assert respell(FORBIDDEN_URI, change) not in (None, FORBIDDEN_URI)


@pytest.mark.parametrize("change", ARGUMENT_CHANGES)
def test_each_change_of_arguments_changes_them(change: str) -> None:
    given = values()
    changed = reargue(given.guarded_permitted, given.guarded_refused, change)
    assert changed is not None
    assert json.loads(changed)
    assert changed not in (given.guarded_permitted, given.guarded_refused)
    assert reargue("{}", "{}", change) is None


def test_a_change_that_there_is_not_is_told() -> None:
    with pytest.raises(ValueError, match="no change of arguments is called x"):
        reargue("{}", "{}", "x")
    with pytest.raises(ValueError, match="no change of a URI is called x"):
        respell(FORBIDDEN_URI, "x")


@pytest.mark.parametrize("value", ["a b", "a\r\nx: y", "é"])
def test_a_value_that_would_change_a_header_is_refused_without_being_shown(value: str) -> None:
    for given in ({"token": value}, {"origin": value}, {"tokens": {"expired": value}}):
        with pytest.raises(ValueError, match="as it was issued") as error:
            Values(**given)
        assert value not in str(error.value)
