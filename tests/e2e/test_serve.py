"""`extauthz serve` as a process: start, reload, keys, Redis, workers, end."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from extauthz.demo.processes import ProgramError, free_port
from tests.support import tokens
from tests.support.checks import call_tool, check_request
from tests.support.http_issuer import HttpIssuer
from tests.support.redis_server import RedisServer
from tests.support.served import Served, policy_text
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e


@pytest.fixture
def issuer() -> Iterator[HttpIssuer]:
    with HttpIssuer() as running:
        running.answer("/jwks", body=tokens.key_set_document())
        yield running


def without_sessions(policy: str) -> str:
    return policy.replace("    issuers: [casdoor]\n", "    issuers: [casdoor]\n    session_binding: false\n")


def good(scope: str = "weather:read", body: bytes | None = None) -> bytes:
    return check_request(body, token=tokens.mint({"scope": scope}, now=time.time()))


def test_it_answers_and_fetches_keys_without_credentials(tmp_path: Path, issuer: HttpIssuer) -> None:
    with Served(tmp_path, policy_text(issuer.url)) as served:
        assert served.ask(good()).allowed
        assert served.ask(check_request()).status == 401
        assert served.ask(good(body=call_tool("set_alert"))).reason == "scope_insufficient"
    assert issuer.count("/jwks") == 1
    assert "authorization" not in issuer.seen[0].headers


@pytest.mark.parametrize("workers", [1, 2])
def test_keys_of_every_tenant_are_told_once_at_start(tmp_path: Path, issuer: HttpIssuer, workers: int) -> None:
    told = "is not one application's own key set"
    shared = policy_text(issuer.url).replace("    baseline:", "    session_binding: false\n    baseline:")
    with Served(tmp_path, shared, arguments=(f"--workers={workers}",)) as served:
        eventually(lambda: served.program.output().count("serving on") == workers, "every worker serves")
        assert served.program.output().count(told) == 1
        assert f'issuer casdoor takes its keys from "{issuer.url}/jwks"' in served.program.output()
    accepted = shared.replace("organizations: [acme]", "organizations: [acme]\n    shared_keys: true")
    with Served(tmp_path, accepted, name="accepted") as served:
        assert served.ask(check_request()).status == 401
        assert told not in served.program.output()


def test_a_broken_policy_stops_it_with_every_fault(tmp_path: Path) -> None:
    broken = policy_text("https://door.example.com").replace("baseline", "basline").replace("version: 1", "version: 2")
    served = Served(tmp_path, broken)
    with pytest.raises(ProgramError):
        served.program.__enter__()
    lines = served.program.output().splitlines()
    assert any(line.startswith(f"{served.policy}:1:") for line in lines)
    assert any("basline" in line and "baseline" in line for line in lines)
    assert "Traceback" not in served.program.output()


def test_a_changed_policy_is_loaded_and_a_broken_one_keeps_the_last_good_one(
    tmp_path: Path, issuer: HttpIssuer
) -> None:
    with Served(tmp_path, policy_text(issuer.url)) as served:
        assert served.ask(good()).allowed
        served.policy.write_text("version: 1\nnonsense: true\n")
        eventually(lambda: "was not loaded" in served.program.output(), "the fault is logged")
        assert served.ask(good()).allowed
        served.policy.write_text(policy_text(issuer.url, tool="other"))
        eventually(lambda: served.ask(good()).reason == "operation_uncovered", "the new policy is in force")


def test_sighup_reads_the_policy_again(tmp_path: Path, issuer: HttpIssuer) -> None:
    with Served(tmp_path, policy_text(issuer.url)) as served:
        served.policy.write_text("version: 1\nnonsense: true\n")
        served.program.signal(signal.SIGHUP)
        eventually(lambda: "was not loaded" in served.program.output(), "the fault is logged")
        assert served.ask(good()).allowed


def test_unreachable_keys_are_503_with_retry_after_and_no_challenge(tmp_path: Path, issuer: HttpIssuer) -> None:
    issuer.answer("/jwks", status=500, body=b"")
    with Served(tmp_path, policy_text(issuer.url)) as served:
        answer = served.ask(good())
        assert (answer.status, answer.reason) == (503, "keys_unavailable")
        assert answer.headers["retry-after"]
        assert answer.challenge is None


def test_keys_that_come_later_end_the_503(tmp_path: Path, issuer: HttpIssuer) -> None:
    issuer.answer("/jwks", status=500, body=b"")
    with Served(tmp_path, policy_text(issuer.url)) as served:
        assert served.ask(good()).status == 503
        issuer.answer("/jwks", body=tokens.key_set_document())
        eventually(lambda: served.ask(good()).allowed, "keys are fetched", within_s=60)


SECRET = {"EXTAUTHZ_CACHE_SECRET": "0123456789abcdef0123456789abcdef"}


def test_two_processes_share_keys_decisions_and_sessions_through_redis(tmp_path: Path, issuer: HttpIssuer) -> None:
    policy = policy_text(issuer.url)
    with RedisServer(tmp_path) as redis:
        shared = {"EXTAUTHZ_REDIS_URL": redis.url, **SECRET}
        with Served(tmp_path, policy, environment=shared, name="one") as one:
            data = good()
            assert one.ask(data).allowed
            eventually(lambda: b"token:" in redis.command("KEYS", "*"), "the token is in Redis")
            eventually(lambda: b"decision:" in redis.command("KEYS", "*"), "the decision is in Redis")
            with Served(tmp_path, policy, environment=shared, name="two") as two:
                answer = two.ask(data)
                assert (answer.allowed, answer.metadata["cache"]) == (True, "redis")
                assert issuer.count("/jwks") == 1
                session = {"mcp-session-id": "s-1"}
                mine = check_request(token=tokens.mint({"scope": "weather:read"}, now=time.time()), headers=session)
                other = tokens.mint({"scope": "weather:read", "sub": "mallory"}, now=time.time())
                assert one.ask(mine).allowed
                assert two.ask(check_request(token=other, headers=session)).reason == "session_unknown"


def test_a_dump_of_redis_names_no_token_claim_or_subject(tmp_path: Path, issuer: HttpIssuer) -> None:
    with RedisServer(tmp_path) as redis:
        shared = {"EXTAUTHZ_REDIS_URL": redis.url, **SECRET}
        with Served(tmp_path, policy_text(issuer.url), environment=shared) as served:
            token = ""

            def all_is_there() -> bool:
                # A busy machine may keep Redis from answering in time, and a decision is written once: ask anew.
                nonlocal token
                token = tokens.mint({"scope": "weather:read", "nonce": str(time.monotonic_ns())}, now=time.time())
                assert served.ask(check_request(token=token, headers={"mcp-session-id": "my-session"})).allowed
                there = redis.command("KEYS", "*")
                return all(kind in there for kind in (b"token:", b"decision:", b"binding:", b"jwks:"))

            eventually(all_is_there, "key set, decision and binding are in Redis")
            keys = [line for line in redis.command("KEYS", "*").split(b"\r\n") if line.startswith(b"extauthz")]
            dump = b"".join(key + redis.command("GET", key) for key in keys)
    assert len(keys) >= 4
    for clear in (token, token[-60:], tokens.SUBJECT, "weather:read", "my-session", "acme", tokens.CLIENT):
        assert clear.encode() not in dump


def test_redis_killed_changes_no_answer(tmp_path: Path, issuer: HttpIssuer) -> None:
    with RedisServer(tmp_path) as redis:
        shared = {"EXTAUTHZ_REDIS_URL": redis.url, **SECRET}
        with Served(tmp_path, policy_text(issuer.url), environment=shared) as served:
            assert served.ask(good()).allowed
            redis.kill()
            for _ in range(5):
                assert served.ask(good()).allowed
                assert served.ask(good(body=call_tool("set_alert"))).reason == "scope_insufficient"


def test_the_admin_port_tells_how_it_stands(tmp_path: Path, issuer: HttpIssuer) -> None:
    with Served(tmp_path, policy_text(issuer.url)) as served:
        assert served.ask(good()).allowed
        admin = f"http://127.0.0.1:{served.admin_port}"
        assert httpx.get(f"{admin}/livez").status_code == 200
        eventually(lambda: httpx.get(f"{admin}/readyz").status_code == 200, "it is ready")
        metrics = httpx.get(f"{admin}/metrics").text
        assert 'reason="allowed"' in metrics
        assert 'gen_ai_tool_name="_other"' in metrics
        page = httpx.get(f"{admin}/").text
        assert "casdoor" in page
        assert tokens.SUBJECT not in metrics


def test_a_replica_that_never_had_a_key_is_not_ready_and_says_why(tmp_path: Path, issuer: HttpIssuer) -> None:
    """As in a rolling update with a broken egress: the old replica, which has keys, stays ready without its issuer."""

    def ready(served: Served) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{served.admin_port}/readyz")

    nobody = f"http://127.0.0.1:{free_port()}"
    with Served(tmp_path, policy_text(issuer.url), name="old") as old:
        eventually(lambda: ready(old).status_code == 200, "the old replica is ready")
        with Served(tmp_path, policy_text(nobody), name="new") as new:
            eventually(lambda: "keys of issuer casdoor cannot be fetched" in new.program.output(), "the log says why")
            answer = ready(new)
            assert answer.status_code == 503
            assert "casdoor: " in answer.text
            assert not new.ask(good()).allowed
            assert new.program.output().count("keys of issuer casdoor cannot be fetched") == 1
        assert old.ask(good()).allowed
        assert ready(old).status_code == 200


def test_each_decision_is_one_audit_line_without_the_token(tmp_path: Path, issuer: HttpIssuer) -> None:
    token = tokens.mint({"scope": "weather:read"}, now=time.time())
    with Served(tmp_path, policy_text(issuer.url)) as served:
        decision_id = served.ask(check_request(token=token)).metadata["decision_id"]
        eventually(lambda: decision_id in served.program.output(), "the audit line is written")
        (line,) = [json.loads(one) for one in served.program.output().splitlines() if decision_id in one]
    assert (line["reason"], line["resource"], line["method"]) == ("allowed", "weather", "tools/call")
    assert token not in served.program.output()


LOOKS = """
import gc
from extauthz.runtime import garbage_collection as collector

collector.EVERY_S = collector.LOOK_EVERY_S = 0.05

def looked(phase, info):
    if (phase, info["generation"]) == ("start", 2):
        with open({told!r}, "a") as file:
            print(gc.get_threshold()[2], file=file)

gc.callbacks.append(looked)
"""


def test_old_objects_are_looked_at_by_itself_while_nobody_asks(tmp_path: Path, issuer: HttpIssuer) -> None:
    told = tmp_path / "told"
    told.touch()
    (tmp_path / "sitecustomize.py").write_text(LOOKS.format(told=str(told)))
    with Served(tmp_path, policy_text(issuer.url), environment={"PYTHONPATH": str(tmp_path)}):
        eventually(lambda: any(int(word) > 10**9 for word in told.read_text().split()), "everything is looked at")


def test_sigterm_ends_it_well(tmp_path: Path, issuer: HttpIssuer) -> None:
    with Served(tmp_path, policy_text(issuer.url)) as served:
        assert served.ask(good()).allowed
        assert served.program.stop() == 0
        assert "Traceback" not in served.program.output()


@pytest.mark.parametrize("busy", ["listen", "admin-listen"])
def test_a_busy_port_is_told_in_one_line(tmp_path: Path, issuer: HttpIssuer, busy: str) -> None:
    with Served(tmp_path, policy_text(issuer.url)) as first:
        second = Served(tmp_path, policy_text(issuer.url), name="second")
        second.program.arguments = (*second.program.arguments, f"--{busy}=127.0.0.1:{first.port}")
        with pytest.raises(ProgramError):
            second.program.__enter__()
        assert str(first.port) in second.program.output()
        assert "Traceback" not in second.program.output()


def test_workers_listen_on_ports_that_count_up_and_are_replaced_when_they_end(
    tmp_path: Path, issuer: HttpIssuer
) -> None:
    served = Served(tmp_path, without_sessions(policy_text(issuer.url)), arguments=("--workers=2",))
    with served:

        def answers(port: int) -> bool:
            try:
                return served.ask(good(), port).allowed
            except grpc.RpcError:
                return False

        eventually(lambda: answers(served.port + 1), "the second worker answers")
        children = Path(f"/proc/{served.program.pid}/task/{served.program.pid}/children").read_text().split()
        assert len(children) == 2
        os.kill(int(children[0]), signal.SIGKILL)
        eventually(lambda: "starting another" in served.program.output(), "the loss is noticed")
        eventually(lambda: answers(served.port) and answers(served.port + 1), "both answer again")


def test_several_workers_share_sessions_or_do_not_start(tmp_path: Path, issuer: HttpIssuer) -> None:
    served = Served(tmp_path, policy_text(issuer.url), arguments=("--workers=2",))
    with pytest.raises(ProgramError):
        served.program.__enter__()
    (line,) = [line for line in served.program.output().splitlines() if "session" in line]
    for part in ("resources: weather", "EXTAUTHZ_REDIS_URL", "one worker", "session_binding: false"):
        assert part in line


def test_several_workers_take_no_policy_whose_sessions_they_cannot_share(tmp_path: Path, issuer: HttpIssuer) -> None:
    without = without_sessions(policy_text(issuer.url))
    with Served(tmp_path, without, arguments=("--workers=2",)) as served:

        def answers(port: int, data: bytes) -> str:
            try:
                return served.ask(data, port).reason
            except grpc.RpcError:
                return ""

        both = (served.port, served.port + 1)
        eventually(lambda: all(answers(port, good()) == "allowed" for port in both), "both workers answer")
        other = good(body=call_tool("other"))
        served.policy.write_text(policy_text(issuer.url, tool="other"))
        eventually(
            lambda: served.program.output().count("several workers without Redis") >= len(both), "both say why not"
        )
        assert [answers(port, other) for port in both] == ["operation_uncovered"] * 2
        served.policy.write_text(without_sessions(policy_text(issuer.url, tool="other")))
        eventually(lambda: all(answers(port, other) == "allowed" for port in both), "what they can keep they take")


def test_a_session_belongs_to_its_owner_at_every_worker(tmp_path: Path, issuer: HttpIssuer) -> None:
    with RedisServer(tmp_path) as redis:
        shared = {"EXTAUTHZ_REDIS_URL": redis.url, "EXTAUTHZ_CACHE_SECRET": "0123456789abcdef0123456789abcdef"}
        text = policy_text(issuer.url)
        with Served(tmp_path, text, environment=shared, arguments=("--workers=2",)) as served:

            def use(who: str, port: int) -> str:
                token = tokens.mint({"scope": "weather:read", "sub": who}, now=time.time())
                try:
                    return served.ask(check_request(token=token, headers={"mcp-session-id": "s1"}), port).reason
                except grpc.RpcError:
                    return ""

            eventually(lambda: use("alice", served.port) == "allowed", "the session is bound")
            eventually(lambda: use("mallory", served.port + 1) == "session_unknown", "the other worker knows it")
            eventually(lambda: use("alice", served.port + 1) == "allowed", "and whose it is")


def test_workers_do_not_outlive_their_parent(tmp_path: Path, issuer: HttpIssuer) -> None:
    with Served(tmp_path, without_sessions(policy_text(issuer.url)), arguments=("--workers=2",)) as served:
        pid = served.program.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        served.program.signal(signal.SIGKILL)
        eventually(lambda: not any(Path(f"/proc/{child}").exists() for child in children), "the workers are gone")


@pytest.mark.parametrize("switch", ["on", "off"])
def test_checks_are_answered_alike_with_the_fast_path_and_without(
    tmp_path: Path, issuer: HttpIssuer, switch: str
) -> None:
    environment = {"EXTAUTHZ_FAST_PATH": switch}
    with Served(tmp_path, policy_text(issuer.url), environment=environment) as served:
        assert served.ask(good()).allowed
        assert served.ask(check_request()).status == 401


@pytest.mark.parametrize(("host", "told"), [("127.0.0.1", 0), ("0.0.0.0", 1)])
def test_a_port_that_is_open_to_the_network_is_told_in_one_line(
    tmp_path: Path, issuer: HttpIssuer, host: str, told: int
) -> None:
    served = Served(tmp_path, policy_text(issuer.url))
    served.program.arguments += (f"--listen={host}:{served.port}",)  # the last one counts
    with served:
        served.ask(good())
    assert served.program.output().count("can ask for decisions") == told
