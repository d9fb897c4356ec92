"""The walk-through's own parts: messages, expectations, what is shown, and what the hints say."""

import io
import json
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from extauthz.demo.traces import Branch, Span
from extauthz.demo.walk import messages
from extauthz.demo.walk.expect import OtherwiseError, expect, expect_in, expect_not_in
from extauthz.demo.walk.hints import curl
from extauthz.demo.walk.narrator import Narrator
from extauthz.demo.walk.sign_in import challenge_scopes, metadata_url
from extauthz.demo.walk.stage import operator_view, result_of

CHALLENGE = 'Bearer error="insufficient_scope", scope="a:b c", resource_metadata="http://h/x", error_description="no"'


def response(status: int, content: str, content_type: str = "application/json") -> httpx.Response:
    return httpx.Response(status, text=content, headers={"content-type": content_type})


class TestMessages:
    def test_headers_say_what_the_body_says(self) -> None:
        message = messages.tool_call(7, "get_forecast", city="Oslo")
        body = json.loads(message.body)
        assert message.headers["mcp-method"] == body["method"] == "tools/call"
        assert message.headers["mcp-name"] == body["params"]["name"] == "get_forecast"
        version = body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"]
        assert message.headers["mcp-protocol-version"] == version == "2026-07-28"

    def test_a_batch_holds_the_messages_as_they_are(self) -> None:
        one, two = messages.tool_call(1, "a"), messages.tool_call(2, "b")
        assert json.loads(messages.batch(one, two).body) == [json.loads(one.body), json.loads(two.body)]

    def test_a_look_alike_stands_after_the_name(self) -> None:
        message = messages.with_look_alike(messages.tool_call(1, "a"), key="Name", value="b")
        params = json.loads(message.body)["params"]
        assert (params["name"], params["Name"]) == ("a", "b")
        assert list(params).index("Name") > list(params).index("name")

    @pytest.mark.parametrize(
        ("content", "content_type", "expected"),
        [
            ('{"result":{}}', "application/json", {"result": {}}),
            ('event: message\ndata: {"result":{}}\n\n', "text/event-stream", {"result": {}}),
            ("event: ping\n\n", "text/event-stream", {}),
            ("<html>", "text/html", {}),
            ("[1]", "application/json", {}),
            ("", "application/json", {}),
        ],
    )
    def test_the_answer_is_found_in_json_and_event_streams(
        self, content: str, content_type: str, expected: dict[str, Any]
    ) -> None:
        assert messages.answer_of(response(200, content, content_type)) == expected


class TestExpectations:
    def test_what_is_as_expected_passes(self) -> None:
        expect("status", 401, 401)
        expect_in("a header", "b", "abc")
        expect_not_in("a header", "x", "abc")

    @pytest.mark.parametrize(
        ("check", "expected", "seen"),
        [
            (lambda: expect("status", 401, 200), "status: 401", "200"),
            (lambda: expect_in("a header", "x", ""), "a header containing x", "nothing"),
            (lambda: expect_not_in("a header", "b", "abc"), "a header without b", "abc"),
        ],
    )
    def test_what_is_not_says_both_sides(self, check: Any, expected: str, seen: str) -> None:
        with pytest.raises(OtherwiseError) as caught:
            check()
        assert (caught.value.expected, caught.value.seen) == (expected, seen)

    @pytest.mark.parametrize(
        ("status", "content", "seen"),
        [
            (403, "{}", "403"),
            (200, '{"error":{"code":-32602}}', '{"error": {"code": -32602}}'),
            (200, "<html>", "no JSON-RPC message"),
        ],
    )
    def test_an_answer_without_a_result_is_otherwise(self, status: int, content: str, seen: str) -> None:
        with pytest.raises(OtherwiseError) as caught:
            result_of(response(status, content))
        assert caught.value.seen == seen


class TestReadingChallenges:
    def test_scopes_and_metadata_are_read(self) -> None:
        assert challenge_scopes(CHALLENGE) == {"a:b", "c"}
        assert metadata_url(CHALLENGE) == "http://h/x"

    def test_a_header_without_them_gives_nothing(self) -> None:
        assert challenge_scopes("Bearer") == frozenset()
        assert metadata_url("Bearer") == ""


class TestNarrator:
    @pytest.fixture(autouse=True)
    def _terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "xterm-256color")
        for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
            monkeypatch.delenv(name, raising=False)

    def narrator(self, *, terminal: bool) -> tuple[Narrator, io.StringIO]:
        seen = io.StringIO()
        return Narrator(Console(file=seen, force_terminal=terminal, width=80)), seen

    def test_long_headers_are_neither_cut_nor_wrapped(self) -> None:
        narrator, seen = self.narrator(terminal=False)
        narrator.answered("401", good=False, headers={"www-authenticate": "x" * 300})
        assert "www-authenticate: " + "x" * 300 in seen.getvalue()

    def test_square_brackets_are_text_and_no_markup(self) -> None:
        narrator, seen = self.narrator(terminal=False)
        narrator.sent("[bold]", "[/red]")
        assert "[bold]  [/red]" in seen.getvalue()

    def test_colours_are_for_terminals(self) -> None:
        for terminal in (True, False):
            narrator, seen = self.narrator(terminal=terminal)
            narrator.as_expected()
            assert ("\x1b[" in seen.getvalue()) is terminal

    def test_no_color_is_heeded_on_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_COLOR", "1")
        narrator, seen = self.narrator(terminal=True)
        narrator.as_expected()
        assert "\x1b[32m" not in seen.getvalue()

    def test_a_trace_is_a_tree_with_what_bears_on_the_decision(self) -> None:
        def branch(name: str, attributes: dict[str, str], *children: Branch) -> Branch:
            span = Span(
                trace_id="t",
                span_id=name,
                parent_id="",
                service="s",
                name=name,
                start_ns=0,
                end_ns=1_500_000,
                attributes=attributes,
            )
            return Branch(span=span, children=children)

        narrator, seen = self.narrator(terminal=False)
        inner = branch("extauthz.check", {"extauthz.decision.reason": "allowed", "thread.id": "7"})
        narrator.trace((branch("ingress", {"peer.address": "x"}, inner),))
        text = seen.getvalue()
        assert text.index("ingress") < text.index("└── extauthz.check")
        assert "extauthz.decision.reason = allowed" in text
        assert "1.50 ms" in text
        assert "thread.id" not in text


class TestOperatorView:
    def test_reason_and_detail_are_picked_out(self) -> None:
        line = json.dumps({"reason": "token_audience", "detail": "aud", "rule": "", "decision_id": "x"})
        assert operator_view(line) == "reason=token_audience detail=aud"

    @pytest.mark.parametrize(
        ("line", "seen"), [("", "no audit line has come"), ("plain text", "plain text"), ("[]", "[]")]
    )
    def test_another_form_is_shown_as_it_is(self, line: str, seen: str) -> None:
        assert operator_view(line) == seen


def test_a_curl_line_is_one_command_that_reads_the_token_from_its_file() -> None:
    line = curl("http://127.0.0.1:1/mcp", messages.tool_call(1, "get_forecast", city="Oslo"), Path("/tmp/token"))
    words = shlex.split(line.replace("\\\n", ""))
    assert words[:3] == ["curl", "-si", "http://127.0.0.1:1/mcp"]
    assert "authorization: Bearer $(cat /tmp/token)" in words
    assert json.loads(words[words.index("-d") + 1])["params"]["name"] == "get_forecast"
    assert "mcp-name: get_forecast" in words
