"""The audit record: who, what, which rule, why; and nothing that was not asked for."""

import json
from typing import Any

import pytest

from extauthz.adapters.telemetry.audit import MAX_LINE_BYTES, line, loss_line, record
from extauthz.pdp.operation import Target, TargetKind
from extauthz.pdp.principal import Principal
from extauthz.pdp.reason import Outcome, Reason
from extauthz.service.details import CacheUse
from tests.support.decided import ALICE, STARTED_NS, TRACE_ID, decided, tool


def read(made: bytes) -> dict[str, Any]:
    assert made.endswith(b"\n")
    assert made.count(b"\n") == 1
    assert made.isascii()
    assert len(made) <= MAX_LINE_BYTES
    loaded: dict[str, Any] = json.loads(made)
    return loaded


class TestContent:
    def test_an_allowed_call_says_who_what_which_rule_and_how_long(self) -> None:
        assert read(line(decided(), TRACE_ID)) == {
            "time": "2026-11-23T12:32:43.000165Z",
            "event": "decision",
            "decision_id": "4f1d0c8e2a7b9356",
            "outcome": "allow",
            "reason": "allowed",
            "status": 0,
            "issuer": "https://door.example.com",
            "organization": "acme",
            "subject": "a0170273-317f-4cd1-bbd2-3ecb2303e51a",
            "client_id": "client-mcp",
            "resource": "weather",
            "method": "tools/call",
            "targets": [{"kind": "tool", "name": "get_forecast"}],
            "protocol_version": "2026-07-28",
            "rule": "extauthz.yaml:31",
            "policy_revision": "5d41402abc4b2a76",
            "cache": "memory",
            "duration_us": 65,
            "trace_id": TRACE_ID,
        }

    def test_a_refusal_says_why_and_which_scopes_were_missing(self) -> None:
        made = read(
            line(
                decided(
                    outcome=Outcome.DENY,
                    reason=Reason.SCOPE_INSUFFICIENT,
                    status=403,
                    detail="the rule wants weather:write",
                    missing_scopes=("weather:write",),
                    cache=CacheUse.NONE,
                )
            )
        )
        assert (made["outcome"], made["reason"], made["status"]) == ("deny", "scope_insufficient", 403)
        assert made["detail"] == "the rule wants weather:write"
        assert made["missing_scopes"] == ["weather:write"]
        assert "header_only" not in made
        assert json.loads(line(decided(header_only=True)))["header_only"] is True
        assert made["cache"] == "none"
        assert "trace_id" not in made

    def test_what_a_check_did_not_get_to_is_left_out(self) -> None:
        made = read(
            line(
                decided(
                    outcome=Outcome.DENY,
                    reason=Reason.RESOURCE_UNKNOWN,
                    status=404,
                    resource="",
                    method="",
                    targets=(),
                    protocol_version="",
                    principal=None,
                    rule="",
                )
            )
        )
        assert set(made) == {
            *("time", "event", "decision_id", "outcome", "reason", "status", "policy_revision", "cache", "duration_us"),
        }

    def test_a_machine_is_marked(self) -> None:
        fields = {name: getattr(ALICE, name) for name in ALICE.__slots__}
        machine = Principal(**(fields | {"machine": True}))
        assert read(line(decided(principal=machine)))["machine"] is True
        assert "machine" not in read(line(decided()))

    def test_claims_that_were_not_asked_for_do_not_appear(self) -> None:
        made = line(decided(), TRACE_ID).decode()
        for claim in ("Alice Example", "scope-of-alice", "role-of-alice", "group-of-alice"):
            assert claim not in made


class TestHostile:
    """Everything in quotes below was chosen by a caller."""

    @pytest.mark.parametrize(
        "name",
        [
            'x"}\n{"event":"decision","outcome":"allow"',
            "\x1b[2J\x07\x00",
            "a\u2028b\u202ec",
            "\x85\x9b31m",
            "\u202etxt.exe",
        ],
    )
    def test_no_name_can_write_a_line_or_into_a_terminal(self, name: str) -> None:
        made = line(decided(targets=tool(name), method=name))
        assert all(0x20 <= byte < 0x7F for byte in made[:-1])
        assert read(made)["targets"][0]["name"] == name

    def test_half_a_character_is_replaced(self) -> None:
        assert read(line(decided(targets=tool("a\ud800b"))))["targets"][0]["name"] == "a?b"

    def test_long_names_are_cut_and_that_is_said(self) -> None:
        made = read(line(decided(targets=tool("x" * 100_000))))
        assert made["targets"][0]["name"] == "x" * 255 + "…"
        assert made["shortened"] is True

    @pytest.mark.parametrize("character", ["x", "\x00", "ä", "\U0001f600", '"', "\\"])
    def test_a_line_is_never_longer_than_a_pipe_takes_in_one_piece(self, character: str) -> None:
        long = character * 10_000
        targets = tuple(Target(TargetKind.RESOURCE, long) for _ in range(1_000))
        hostile = Principal(
            issuer=long,
            subject=long,
            organization=long,
            name=long,
            client_id=long,
            scopes=frozenset(),
            roles=frozenset(),
            groups=frozenset(),
            machine=True,
        )
        made = read(
            line(
                decided(
                    detail=long,
                    resource=long,
                    method=long,
                    targets=targets,
                    protocol_version=long,
                    principal=hostile,
                    rule=long,
                    policy_revision=long,
                    missing_scopes=tuple(long for _ in range(1_000)),
                ),
                TRACE_ID,
            )
        )
        assert made["shortened"] is True
        assert made["decision_id"] == "4f1d0c8e2a7b9356"
        assert made["trace_id"] == TRACE_ID

    def test_ordinary_records_are_not_cut_because_of_one_long_list(self) -> None:
        made = read(line(decided(targets=tuple(Target(TargetKind.RESOURCE, f"note://{n}") for n in range(1_000)))))
        assert made["subject"] == ALICE.subject
        assert made["shortened"] is True


def test_the_line_about_losses_says_how_many() -> None:
    assert read(loss_line(7, STARTED_NS)) == {
        "time": "2026-11-23T12:32:43.000100Z",
        "event": "records_lost",
        "count": 7,
    }


def test_a_record_holds_only_what_otlp_can_carry() -> None:
    def plain(value: Any) -> bool:
        match value:
            case dict():
                return all(type(key) is str and plain(one) for key, one in value.items())
            case list():
                return all(map(plain, value))
            case _:
                return type(value) in (str, int, bool)

    assert plain(record(decided(missing_scopes=("weather:write",)), TRACE_ID))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"detail": "why\n"},
        {"detail": 'é\u2028"}'},
        {"detail": "long" * 100},
        {"principal": None},
        {"targets": ()},
        {"method": "é" * 400},
    ],
)
@pytest.mark.parametrize("trace_id", ["", "0af7651916cd43dd8448eb211c80319c"])
def test_the_line_is_the_record_however_it_was_put_together(changes: dict[str, Any], trace_id: str) -> None:
    one = decided(**changes)
    assert json.loads(line(one, trace_id)) == json.loads(json.dumps(record(one, trace_id)))
