"""`extauthz attack` against small servers of known behaviour: what it sends, what it reports, how it ends."""

import itertools
import json
import ssl
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from extauthz.attack.case import Case, Evidence, Expected, Request
from extauthz.attack.corpus import load_corpus
from extauthz.attack.exchange import Connector
from extauthz.attack.judge import Answer, Verdict, judge
from extauthz.attack.run import Runner, choose
from extauthz.attack.run import run as run_cases
from extauthz.attack.target import Target, Values
from extauthz.cli import run
from extauthz.demo.processes import free_port
from tests.support.certificates import Authority

Answering = Callable[[BaseHTTPRequestHandler, bytes], None]
OPTIONS = ("--tool", "echo", "--forbidden-tool", "destroy", "--token", "SECRET-TOKEN", "--rate", "1000")
ONLY = ("--only", "duplicates/name-twice-the-same", "--only", "controls/call", "--only", "targets/forbidden")
RESULT = b'{"jsonrpc":"2.0","id":1,"result":{}}'


@contextmanager
def serving(answer: Answering, certificate: tuple[str, str] | None = None) -> Iterator[tuple[str, list[str]]]:
    """A server on loopback that answers every request so; its URL, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            answer(self, self.rfile.read(int(self.headers.get("content-length") or 0)))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"{'http' if certificate is None else 'https'}://127.0.0.1:{server.server_port}/mcp", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("content-length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def running_everything(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    reply(handler, 200, RESULT)


def refusing_forbidden(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """A gateway that is strict about everything but knows only one good call."""
    if b"destroy" in body or body.count(b'"name":"echo"') > 1:
        reply(handler, 403, b"no")
    else:
        reply(handler, 200, RESULT)


def attacked(capsys: pytest.CaptureFixture[str], url: str, *options: str) -> tuple[int, str, str]:
    code = run(["attack", url, *OPTIONS, *options])
    output = capsys.readouterr()
    assert "SECRET-TOKEN" not in output.out + output.err
    return code, output.out, output.err


def test_a_server_that_runs_everything_is_told_with_what_it_means(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(running_everything) as (url, _):
        code, out, err = attacked(capsys, url, *ONLY)
    assert code == 1
    assert "GOT THROUGH: targets/forbidden/modern" in out
    assert "why     The plain case: a tool that policy refuses." in out
    assert out.splitlines()[-1] == (
        "6 requests: 0 refused, 2 controls passed, 4 got through, 0 controls refused, 0 skipped: FAILED"
    )
    assert f"sending up to 6 requests (3 cases) to {url}, at most 1000 a second" in err
    assert "tool that will run if there is a hole: destroy {}" in err


def test_a_gateway_that_refuses_what_it_has_to_and_no_more_passes(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(refusing_forbidden) as (url, _):
        code, out, _ = attacked(capsys, url, *ONLY)
    assert (code, out.splitlines()[-1]) == (
        0,
        "6 requests: 4 refused, 2 controls passed, 0 got through, 0 controls refused, 0 skipped: ok",
    )


def test_a_gateway_that_refuses_every_call_fails_by_its_controls(capsys: pytest.CaptureFixture[str]) -> None:
    def no_calls(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        reply(handler, 403 if b"tools/call" in body else 200, RESULT if b"tools/call" not in body else b"no")

    with serving(no_calls) as (url, _):
        code, out, _ = attacked(capsys, url, *ONLY)
    assert code == 1
    assert "CONTROL REFUSED: controls/call/legacy" in out


def test_a_gateway_that_refuses_everything_is_no_target(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda handler, _: reply(handler, 403, b"")) as (url, _):
        code, out, err = attacked(capsys, url)
    assert (code, out) == (1, "")
    assert "server/discover was answered with HTTP 403, initialize with HTTP 403: nothing works there" in err


def test_redirects_are_not_followed(capsys: pytest.CaptureFixture[str]) -> None:
    def redirecting(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if b"destroy" in body:
            reply(handler, 307, b"", location="/elsewhere")
        else:
            reply(handler, 200, RESULT)

    with serving(redirecting) as (url, asked):
        code, out, _ = attacked(capsys, url, "--only", "targets/forbidden")
    assert (code, set(asked)) == (0, {"/mcp"})
    assert "note: targets/forbidden/modern: HTTP 307" in out


def test_nobody_there_is_an_error_and_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = attacked(capsys, f"http://127.0.0.1:{free_port()}/mcp")
    assert (code, out) == (1, "")
    assert "accepts no connection" in err


def test_an_answer_that_never_comes_is_waited_for_so_long_and_no_longer(capsys: pytest.CaptureFixture[str]) -> None:
    ended = threading.Event()

    def hanging(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if b"destroy" in body:
            ended.wait(20)
        else:
            reply(handler, 200, RESULT)

    with serving(hanging) as (url, _):
        code, out, _ = attacked(capsys, url, "--only", "targets/forbidden", "--timeout", "0.2")
        ended.set()
    assert code == 0
    assert "note: targets/forbidden/modern: no answer in time" in out


def test_an_event_stream_is_read_to_the_message_that_answers(capsys: pytest.CaptureFixture[str]) -> None:
    ended = threading.Event()

    def streaming(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.end_headers()
        handler.wfile.write(b": hello\r\n\r\nevent: message\r\ndata: " + RESULT + b"\r\n\r\n")
        handler.wfile.flush()
        ended.wait(20)

    with serving(streaming) as (url, _):
        code, out, _ = attacked(capsys, url, "--only", "controls/call", "--timeout", "2", "--json")
        ended.set()
    assert (code, {case["seen"] for case in json.loads(out)["cases"]}) == (0, {"HTTP 200 with a JSON-RPC result"})


def test_https_needs_a_certificate_that_is_trusted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    authority = Authority()
    trusted = tmp_path / "ca.crt"
    trusted.write_bytes(authority.cert)
    with serving(refusing_forbidden, authority.issue().write(tmp_path, "server")) as (url, _):
        assert attacked(capsys, url, *ONLY, "--ca-file", str(trusted))[0] == 0
        code, _, err = attacked(capsys, url, *ONLY)
    assert code == 1
    assert "no TLS with 127.0.0.1" in err


def test_json_and_junit_are_for_machines(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    junit = tmp_path / "attack.xml"
    with serving(running_everything) as (url, _):
        code, out, _ = attacked(capsys, url, *ONLY, "--json", "--junit", str(junit))
    report: dict[str, Any] = json.loads(out)
    assert (code, report["failed"], report["target"]) == (1, True, url)
    assert {case["verdict"] for case in report["cases"]} == {"got through", "passed"}
    suites = ET.parse(junit).getroot()
    assert (suites.get("tests"), suites.get("failures")) == ("6", "4")
    assert [suite.get("name") for suite in suites] == ["controls", "duplicates", "targets"]


def test_the_list_sends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = attacked(capsys, "http://127.0.0.1:1/mcp", "--list", "--only", "json/nan")
    assert (code, out, err) == (0, "json/nan: NaN is no JSON, but Python reads it.\n", "")


def test_the_rate_is_kept() -> None:
    """By a clock that stands still unless somebody waits for it."""
    time_s, waits = 0.0, []

    def wait(seconds: float) -> None:
        nonlocal time_s
        time_s += seconds
        waits.append(seconds)

    cases = choose(load_corpus(), ("controls/call",))
    with serving(running_everything) as (url, asked):
        connector = Connector(Target.of(url), timeout_s=20, tls=None)
        values = Values(tool="echo", token="t.t.t")
        outcomes = run_cases(Runner(connector, values, 20, now=lambda: time_s, wait=wait), cases)
    assert len(asked) > len(outcomes) > 0
    assert waits == pytest.approx([1 / 20] * (len(asked) - 1))


def test_time_that_passes_by_itself_is_not_waited_for_again() -> None:
    times = itertools.count(0.0, 0.02)
    waits: list[float] = []
    cases = choose(load_corpus(), ("controls/call",))
    with serving(running_everything) as (url, asked):
        connector = Connector(Target.of(url), timeout_s=20, tls=None)
        values = Values(tool="echo", token="t.t.t")
        run_cases(Runner(connector, values, 100, now=lambda: next(times), wait=waits.append), cases)
    assert asked
    assert waits == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only", "nothing/*"], "no case fits --only nothing/*"),
        (["--tool", 'a"b'], "choose another"),
        (["--arguments", "[1]"], "--arguments is not a JSON object"),
        (["--token-file", "x"], "--token and --token-file are both given"),
        (["--rate", "1001"], "0.1<=x<=1000"),
    ],
)
def test_wrong_usage_says_what_to_mend(capsys: pytest.CaptureFixture[str], options: list[str], said: str) -> None:
    code, _, err = attacked(capsys, "http://127.0.0.1:1/mcp", *options)
    assert code == 2
    assert said in err


def case(expected: Expected, evidence: Evidence = Evidence.RESULT) -> Case:
    return Case(
        group="g",
        name="n",
        why="w",
        source="s",
        expected=expected,
        statuses=frozenset({400}),
        reason="r",
        evidence=evidence,
        request=Request(),
    )


ERROR = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"no"}}'


@pytest.mark.parametrize(
    ("evidence", "answer", "verdict"),
    [
        (Evidence.RESULT, Answer(status=400), Verdict.REFUSED),
        (Evidence.RESULT, Answer(status=500), Verdict.REFUSED_OTHERWISE),
        (Evidence.RESULT, Answer(status=0, note="closed"), Verdict.REFUSED_OTHERWISE),
        (Evidence.RESULT, Answer(status=200, body=ERROR), Verdict.REFUSED),
        (Evidence.RESULT, Answer(status=202), Verdict.REFUSED_OTHERWISE),
        (Evidence.RESULT, Answer(status=200, body=b"<html>"), Verdict.REFUSED_OTHERWISE),
        (Evidence.RESULT, Answer(status=200, body=RESULT), Verdict.THROUGH),
        (Evidence.RESULT, Answer(status=500, body=RESULT), Verdict.THROUGH),
        (Evidence.RESULT, Answer(status=200, body=b"[" + ERROR + b"," + RESULT + b"]"), Verdict.THROUGH),
        (
            Evidence.RESULT,
            Answer(status=200, body=b"data: " + ERROR + b"\n\ndata:" + RESULT + b"\n\n"),
            Verdict.THROUGH,
        ),
        (Evidence.ACCEPTED, Answer(status=202), Verdict.THROUGH),
        (Evidence.ACCEPTED, Answer(status=200, body=ERROR), Verdict.REFUSED),
        (Evidence.CORS, Answer(status=204), Verdict.REFUSED_OTHERWISE),
        (Evidence.CORS, Answer(status=204, headers=(("access-control-allow-origin", "*"),)), Verdict.THROUGH),
        (Evidence.SWITCHED, Answer(status=200, body=RESULT), Verdict.REFUSED_OTHERWISE),
        (Evidence.SWITCHED, Answer(status=101), Verdict.THROUGH),
    ],
)
def test_what_an_answer_to_an_attack_shows(evidence: Evidence, answer: Answer, verdict: Verdict) -> None:
    assert judge(case(Expected.REFUSE, evidence), answer)[0] is verdict


def test_a_control_passes_only_with_its_result() -> None:
    assert judge(case(Expected.ALLOW), Answer(status=200, body=RESULT))[0] is Verdict.PASSED
    assert judge(case(Expected.ALLOW), Answer(status=200, body=ERROR))[0] is Verdict.BLOCKED
