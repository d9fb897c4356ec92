"""SSO-logout notifications and webhooks of Casdoor: ordinary ones, and what somebody may slip in."""

import itertools
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.pdp.revocation.casdoor_events import (
    MAX_WEBHOOK_AGE_S,
    CasdoorEvent,
    EventFault,
    Ignored,
    read_sso_logout,
    read_webhook,
)
from extauthz.pdp.revocation.revocation import RevokedBy, fault_in
from tests.support.casdoor_notices import HASHES, SSO_SECRET, record, sso_logout
from tests.support.tokens import ISSUER, NOW, SUBJECT, issuer

Found = CasdoorEvent | Ignored | EventFault

ALICE = {"owner": "acme", "name": "alice", "id": SUBJECT}
USER_CHANGED = "/api/update-user?id=acme%2Falice"
TOKEN_ROW = {"owner": "admin", "name": "d1f28060-b76d-410f-b3ff-3a0d3fd39e48", "expiresIn": 604800}


def told(notice: Any, *, secrets: tuple[str, ...] = (SSO_SECRET,), now: float = NOW) -> Found:
    content = notice if isinstance(notice, bytes) else json.dumps(notice).encode()
    ids = itertools.count()
    return read_sso_logout(content, issuer(), [each.encode() for each in secrets], now, lambda: f"item-{next(ids):08}")


def hooked(sent: Any, *, now: float = NOW) -> Found:
    body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    ids = itertools.count()
    return read_webhook(body, issuer(), now, lambda: f"item-{next(ids):08}")


def meant(found: Found) -> list[tuple[str, str]]:
    assert isinstance(found, CasdoorEvent), found
    assert all(fault_in(item, NOW) is None for item in found.revocations)
    assert len({item.id for item in found.revocations}) == len(found.revocations)
    return [(item.by.value, item.value) for item in found.revocations]


class TestSsoLogout:
    def test_the_users_tokens_are_revoked_by_name_and_by_hash(self) -> None:
        found = told(sso_logout())
        assert meant(found) == [("user", "acme/alice"), ("token", HASHES[0]), ("token", HASHES[1])]
        assert isinstance(found, CasdoorEvent)
        user, token, _ = found.revocations
        assert (user.issuer, user.before, user.source) == (ISSUER, NOW, "casdoor-sso-logout")
        assert token.issuer == ""
        assert found.replay_id == "5f6d1d3c-8d0e-4b52-9f39-0a7c5b2a1e11"

    def test_go_writes_an_empty_list_as_null(self) -> None:
        assert meant(told(sso_logout(sessionIds=None, accessTokenHashes=None))) == [("user", "acme/alice")]

    def test_a_hash_that_stands_twice_counts_once(self) -> None:
        assert len(meant(told(sso_logout(accessTokenHashes=[HASHES[0]] * 3)))) == 2

    def test_any_of_several_secrets_fits(self) -> None:
        """Users sign up at several applications, each with a secret of its own."""
        assert isinstance(told(sso_logout(), secrets=("other" * 8, SSO_SECRET)), CasdoorEvent)

    def test_a_name_of_any_letters_can_be_signed_out(self) -> None:
        assert meant(told(sso_logout(name="Zoë, 爱丽丝")))[0] == ("user", "acme/Zoë, 爱丽丝")

    def test_a_notification_about_something_else_is_ignored(self) -> None:
        assert isinstance(told(sso_logout(event="new-device")), Ignored)

    @pytest.mark.parametrize("age_s", [-60, 0, 300])
    def test_the_present_has_some_width(self, age_s: int) -> None:
        assert isinstance(told(sso_logout(timestamp=NOW - age_s)), CasdoorEvent)

    @pytest.mark.parametrize("age_s", [-61, 301])
    def test_the_past_and_the_future_are_refused(self, age_s: int) -> None:
        assert isinstance(told(sso_logout(timestamp=NOW - age_s)), EventFault)

    @pytest.mark.parametrize(
        "changed",
        [
            {"owner": "rival"},
            {"name": "bob"},
            {"nonce": "another"},
            {"timestamp": NOW + 1},
            {"sessionIds": []},
            {"accessTokenHashes": ["c" * 64]},
            {"signature": ""},
            {"signature": "0" * 64},
            {"signature": None},
        ],
    )
    def test_whatever_the_signature_covers_cannot_be_changed(self, changed: dict[str, Any]) -> None:
        assert isinstance(told({**sso_logout(), **changed}), EventFault)

    def test_the_subject_which_it_does_not_cover_decides_nothing(self) -> None:
        notice = sso_logout()
        assert told({**notice, "id": "somebody-else"}) == told(notice)

    @pytest.mark.parametrize("secrets", [(), ("x" * 40,)])
    def test_without_the_secret_nothing_is_believed(self, secrets: tuple[str, ...]) -> None:
        assert isinstance(told(sso_logout(), secrets=secrets), EventFault)

    @pytest.mark.parametrize(
        "members",
        [
            {"name": "alice|5f6d"},
            {"owner": "acme|alice"},
            {"nonce": "a|b"},
            {"sessionIds": ["a|b"]},
            {"sessionIds": ["a,b"]},
            {"accessTokenHashes": [f"{HASHES[0]},{HASHES[1]}"]},
            {"accessTokenHashes": ["A" * 64]},
            {"accessTokenHashes": ["a" * 63]},
            {"accessTokenHashes": [HASHES[0] + "\n"]},
            {"name": "ali\nce"},
            {"name": ""},
            {"nonce": ""},
            {"timestamp": True},
            {"timestamp": float(NOW)},
            {"timestamp": str(NOW)},
            {"sessionIds": "a"},
            {"sessionIds": [1]},
            {"name": "a" * 1001},
        ],
    )
    def test_a_field_that_can_be_read_in_two_ways_is_refused_although_it_is_signed(
        self, members: dict[str, Any]
    ) -> None:
        assert isinstance(told(sso_logout(**members)), EventFault)

    def test_a_signature_for_one_split_of_the_fields_is_none_for_another(self) -> None:
        """`acme|a` with nonce `b|n` signs the same bytes as `acme|a|b` with nonce `n`."""
        notice = sso_logout(name="a", nonce="b|n")
        assert notice["signature"] == sso_logout(name="a|b", nonce="n")["signature"]
        assert isinstance(told(notice), EventFault)
        assert isinstance(told({**notice, "name": "a|b", "nonce": "n"}), EventFault)

    @given(st.binary(max_size=200))
    def test_no_bytes_raise(self, content: bytes) -> None:
        assert isinstance(told(content), EventFault)

    @given(
        st.dictionaries(st.sampled_from(sorted(sso_logout())), st.none() | st.booleans() | st.integers() | st.text())
    )
    def test_no_members_raise(self, members: dict[str, Any]) -> None:
        assert isinstance(told({**sso_logout(), **members}), CasdoorEvent | EventFault | Ignored)


FOLLOWS: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "logout": (record("logout", organization="acme", user="alice"), ("user", "acme/alice")),
    "logout that redirects": (
        record("logout", organization="acme", user="alice", response='{status:"", msg:""}', method="GET"),
        ("user", "acme/alice"),
    ),
    "sso-logout": (record("sso-logout", organization="acme", user="alice"), ("user", "acme/alice")),
    "password set": (record("set-password", organization="acme", user="alice"), ("user", "acme/alice")),
    "user forbidden": (
        record("update-user", posted={**ALICE, "isForbidden": True}, requestUri=USER_CHANGED),
        ("user", "acme/alice"),
    ),
    "user deleted softly": (
        record("update-user", posted={**ALICE, "isDeleted": True}, requestUri=USER_CHANGED + "&columns=isDeleted"),
        ("user", "acme/alice"),
    ),
    "user forbidden by subject": (
        record(
            "update-user",
            posted={**ALICE, "isForbidden": True},
            requestUri=f"/api/update-user?owner=acme&userId={SUBJECT}",
        ),
        ("user", "acme/alice"),
    ),
    "user deleted": (record("delete-user", posted=ALICE), ("user", "acme/alice")),
    "token deleted": (record("delete-token", posted=TOKEN_ROW), ("jti", f"admin/{TOKEN_ROW['name']}")),
    "token ended": (
        record(
            "update-token",
            posted={**TOKEN_ROW, "expiresIn": 0},
            requestUri=f"/api/update-token?id=admin/{TOKEN_ROW['name']}",
        ),
        ("jti", f"admin/{TOKEN_ROW['name']}"),
    ),
    "organization deleted": (
        record("delete-organization", posted={"owner": "admin", "name": "acme"}),
        ("organization", "acme"),
    ),
}

REFUSED_BY_CASDOOR = '{status:"error", msg:"Unauthorized operation"}'

NOTHING_FOLLOWS: dict[str, dict[str, Any]] = {
    "an action of no interest": record("login"),
    "an action that does not exist": record("x" * 900),
    "an application": record("delete-application", posted={"owner": "admin", "name": "app", "clientId": "victim"}),
    "a logout of nobody": record("logout", organization="", user=""),
    "a change that ends nothing": record("update-user", posted=ALICE, requestUri=USER_CHANGED),
    "forbidden as a text": record("update-user", posted={**ALICE, "isForbidden": "true"}, requestUri=USER_CHANGED),
    "a token that lives on": record("update-token", posted=TOKEN_ROW, requestUri="/api/update-token?id=admin/x"),
    "an object that is no JSON": record("delete-user", posted="{"),
    "an object that is a list": record("delete-user", posted="[]"),
    "an object with two names": record("delete-user", posted='{"owner":"acme","name":"bob","name":"alice"}'),
    "an object without a name": record("delete-user", posted={"owner": "acme", "id": SUBJECT}),
    "a name with a line end": record("delete-user", posted={"owner": "acme", "name": "a\nb"}),
    "a name that is a number": record("delete-user", posted={"owner": "acme", "name": 1}),
    "a redirect of another action": record("delete-user", posted=ALICE, response='{status:"", msg:""}'),
    "an SSO logout without a status": record(
        "sso-logout", organization="acme", user="a", response='{status:"", msg:""}'
    ),
    "a status that only looks like success": record(
        "delete-user", posted=ALICE, response='{status:"error", msg:"{status:"ok", "}'
    ),
    "a response that is an object": record("delete-user", posted=ALICE, response={"status": "ok"}),
    "no response": record("delete-user", posted=ALICE, response=None),
    "another user's row in the body": record(
        "update-user", posted={**ALICE, "isForbidden": True}, requestUri="/api/update-user?id=acme/mallory"
    ),
    "another organization's user by subject": record(
        "update-user", posted={**ALICE, "isForbidden": True}, requestUri="/api/update-user?owner=rival&userId=7"
    ),
    "the user named twice": record(
        "update-user", posted={**ALICE, "isForbidden": True}, requestUri=USER_CHANGED + "&id=acme%2Fmallory"
    ),
    "no user named": record("update-user", posted={**ALICE, "isForbidden": True}, requestUri="/api/update-user"),
    "a path that is no URL": record("update-user", posted={**ALICE, "isForbidden": True}, requestUri="//[?id=x"),
    "a path too long": record(
        "update-user", posted={**ALICE, "isForbidden": True}, requestUri=USER_CHANGED + "&x=" + "y" * 1000
    ),
    "older than a day": record("logout", organization="acme", user="alice", at=NOW - MAX_WEBHOOK_AGE_S - 1),
    "of the future": record("logout", organization="acme", user="alice", at=NOW + 61),
}

NOT_RECORDS: dict[str, Any] = {
    "a list": [],
    "an empty object": {},
    "the documentation's payload": {"event": "logout", "timestamp": NOW, "user": "alice"},
    "no id": record("logout", name=""),
    "a date without an offset": record("logout", createdTime="2026-11-23T10:00:00"),
    "a date that is none": record("logout", createdTime="yesterday"),
    "a day that is none": record("logout", createdTime="2026-02-29T10:00:00Z"),
    "a month that is none": record("logout", createdTime="2026-13-01T10:00:00Z"),
    "an hour that is none": record("logout", createdTime="2026-11-23T24:00:00Z"),
    "a date with digits of another script": record("logout", createdTime="2026-11-٢٣T10:00:00Z"),
    "a date that is a number": record("logout", createdTime=NOW),
}


class TestWebhook:
    @pytest.mark.parametrize(("sent", "expected"), FOLLOWS.values(), ids=FOLLOWS.keys())
    def test_what_follows(self, sent: dict[str, Any], expected: tuple[str, str]) -> None:
        found = hooked(sent)
        assert meant(found) == [expected]
        assert isinstance(found, CasdoorEvent)
        (item,) = found.revocations
        assert (item.issuer, item.before, item.source) == (ISSUER, NOW, "casdoor-webhook")
        assert found.replay_id == sent["name"]

    @pytest.mark.parametrize(("sent", "_"), FOLLOWS.values(), ids=FOLLOWS.keys())
    def test_nothing_follows_from_a_request_that_casdoor_refused(self, sent: dict[str, Any], _: object) -> None:
        """Anybody can send Casdoor a request, and the webhook tells of it all the same."""
        assert isinstance(hooked({**sent, "response": REFUSED_BY_CASDOOR}), Ignored)

    @pytest.mark.parametrize("sent", NOTHING_FOLLOWS.values(), ids=NOTHING_FOLLOWS.keys())
    def test_nothing_follows(self, sent: dict[str, Any]) -> None:
        assert isinstance(hooked(sent), Ignored)

    @pytest.mark.parametrize("sent", NOT_RECORDS.values(), ids=NOT_RECORDS.keys())
    def test_what_is_no_record_is_refused(self, sent: Any) -> None:
        assert isinstance(hooked(sent), EventFault)

    @pytest.mark.parametrize(
        "created", ["2026-11-23T12:32:43Z", "2026-11-23T20:32:43+08:00", "2026-11-23T07:02:43-05:30"]
    )
    def test_dates_are_read_with_their_offset(self, created: str) -> None:
        found = hooked(record("logout", organization="acme", user="alice", createdTime=created))
        assert isinstance(found, CasdoorEvent)
        assert found.revocations[0].before == NOW

    @given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)), st.integers(-1439, 1439))
    def test_dates_are_read_as_pythons_own_reader_does(self, moment: datetime, offset_min: int) -> None:
        zone = timezone(timedelta(minutes=offset_min))
        text = moment.replace(tzinfo=zone, microsecond=0).isoformat()
        at = int(datetime.fromisoformat(text).timestamp())
        found = hooked(record("logout", organization="acme", user="alice", createdTime=text), now=at)
        assert isinstance(found, CasdoorEvent)
        assert found.revocations[0].before == at

    def test_a_date_beyond_all_dates_does_not_raise(self) -> None:
        assert isinstance(hooked(record("logout", createdTime="9999-12-31T23:59:59-23:59")), Ignored)

    def test_a_record_sent_again_by_hand_says_the_moment_of_the_event(self) -> None:
        found = hooked(record("logout", organization="acme", user="alice", at=NOW - MAX_WEBHOOK_AGE_S))
        assert isinstance(found, CasdoorEvent)
        assert found.revocations[0].before == NOW - MAX_WEBHOOK_AGE_S

    def test_no_answer_repeats_what_was_sent(self) -> None:
        for sent in (*NOTHING_FOLLOWS.values(), *NOT_RECORDS.values()):
            assert "alice" not in repr(hooked(sent))

    @given(st.binary(max_size=200))
    def test_no_bytes_raise(self, body: bytes) -> None:
        assert isinstance(hooked(body), EventFault)

    @given(
        st.sampled_from([sent for sent, _ in FOLLOWS.values()]),
        st.dictionaries(
            st.sampled_from(sorted(record("logout"))),
            st.none() | st.booleans() | st.integers() | st.text() | st.just('{"owner":"a","name":"b"}'),
            max_size=4,
        ),
    )
    def test_no_members_raise(self, sent: dict[str, Any], members: dict[str, Any]) -> None:
        found = hooked({**sent, **members})
        assert isinstance(found, CasdoorEvent | Ignored | EventFault)
        if isinstance(found, CasdoorEvent):
            assert found.revocations[0].by in RevokedBy
