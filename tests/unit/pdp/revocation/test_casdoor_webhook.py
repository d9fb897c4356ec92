"""Webhooks of Casdoor: ordinary records, forged ones, and those in which somebody hides."""

import itertools
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.pdp.revocation.casdoor_events import CasdoorEvent, EventFault, Ignored
from extauthz.pdp.revocation.casdoor_webhook import MAX_WEBHOOK_AGE_S, read_webhook
from extauthz.pdp.revocation.revocation import RevokedBy, fault_in
from tests.support.casdoor_notices import record
from tests.support.tokens import ISSUER, NOW, SUBJECT, issuer

Found = CasdoorEvent | Ignored | EventFault

ALICE = {"owner": "acme", "name": "alice", "id": SUBJECT}
BOB_ID = "5c1c3a9e-0c9e-4b44-8f0e-6f2f1d3c7b10"
BOB = {"owner": "acme", "name": "bob", "id": BOB_ID}
USER_CHANGED = "/api/update-user?id=acme%2Falice"
BOB_CHANGED = "/api/update-user?id=acme%2Fbob"
TOKEN_ROW = {"owner": "admin", "name": "d1f28060-b76d-410f-b3ff-3a0d3fd39e48", "expiresIn": 604800}

USER, SUBJECT_OF = ("user", "acme/alice"), ("subject", SUBJECT)


def hooked(sent: Any, *, now: float = NOW) -> Found:
    body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    ids = itertools.count()
    return read_webhook(body, issuer(), now, lambda: f"item-{next(ids):08}")


def meant(found: Found) -> list[tuple[str, str]]:
    assert isinstance(found, CasdoorEvent), found
    assert all(fault_in(item, NOW) is None for item in found.revocations)
    assert len({item.id for item in found.revocations}) == len(found.revocations)
    return [(item.by.value, item.value) for item in found.revocations]


def by(organization: str, user: str, *, admin: bool | None = None, subject: str = "id-of-actor") -> dict[str, Any]:
    """The members that say who acted; `admin` None: a webhook without `User extended`."""
    row = {"owner": organization, "name": user, "id": subject, "isAdmin": admin, "score": 2**70}
    return {"organization": organization, "user": user, "extendedUser": None if admin is None else row}


FOLLOWS: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "logout": (record("logout", organization="acme", user="alice"), [USER]),
    "logout that redirects": (
        record("logout", organization="acme", user="alice", response='{status:"", msg:""}', method="GET"),
        [USER],
    ),
    "sso-logout": (record("sso-logout", organization="acme", user="alice"), [USER]),
    "password set": (record("set-password", organization="acme", user="alice"), [USER]),
    "user forbidden": (
        record("update-user", posted={**ALICE, "isForbidden": True}, requestUri=USER_CHANGED),
        [USER, SUBJECT_OF],
    ),
    "user deleted softly": (
        record("update-user", posted={**ALICE, "isDeleted": True}, requestUri=USER_CHANGED + "&columns=isDeleted"),
        [USER, SUBJECT_OF],
    ),
    "user forbidden by subject": (
        record(
            "update-user",
            posted={**ALICE, "isForbidden": True},
            requestUri=f"/api/update-user?owner=acme&userId={SUBJECT}",
        ),
        [USER, SUBJECT_OF],
    ),
    "user deleted": (record("delete-user", posted=ALICE), [USER, SUBJECT_OF]),
    "token deleted": (record("delete-token", posted=TOKEN_ROW), [("jti", f"admin/{TOKEN_ROW['name']}")]),
    "token ended": (
        record(
            "update-token",
            posted={**TOKEN_ROW, "expiresIn": 0},
            requestUri=f"/api/update-token?id=admin/{TOKEN_ROW['name']}",
        ),
        [("jti", f"admin/{TOKEN_ROW['name']}")],
    ),
    "organization deleted": (
        record("delete-organization", posted={"owner": "admin", "name": "acme"}),
        [("organization", "acme")],
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
    "the user named twice": record(
        "update-user", posted={**ALICE, "isForbidden": True}, requestUri=USER_CHANGED + "&id=acme%2Fmallory"
    ),
    "no user named": record("update-user", posted={**ALICE, "isForbidden": True}, requestUri="/api/update-user"),
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
    def test_what_follows(self, sent: dict[str, Any], expected: list[tuple[str, str]]) -> None:
        found = hooked(sent)
        assert meant(found) == expected
        assert isinstance(found, CasdoorEvent)
        assert {(item.issuer, item.before, item.source) for item in found.revocations} == {
            (ISSUER, NOW, "casdoor-webhook")
        }
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


FORBIDDEN = {"isForbidden": True}

FORGED: dict[str, dict[str, Any]] = {
    "another's user before her own, in another case": record(
        "update-user",
        posted='{"owner":"acme","name":"bob","isForbidden":true,"Owner":"rival","Name":"eve","IsForbidden":false}',
        requestUri="/api/update-user?id=rival/eve",
        **by("rival", "eve", admin=False),
    ),
    "the same, as a webhook with object fields sends it": record(
        "update-user",
        posted={"owner": "acme", "name": "bob", **FORBIDDEN},
        requestUri="/api/update-user?id=rival/eve",
        **by("rival", "eve", admin=False),
    ),
    "the same, by an administrator of another tenant": record(
        "update-user", posted={**BOB, **FORBIDDEN}, requestUri=BOB_CHANGED, **by("rival", "root", admin=True)
    ),
    "an organization under two spellings": record(
        "delete-organization", posted='{"owner":"zzz","name":"acme","Name":"rival"}', **by("rival", "root", admin=True)
    ),
    "an organization of an owner that has none": record(
        "delete-organization", posted={"owner": "zzz", "name": "acme"}, **by("acme", "root", admin=True)
    ),
    "another organization": record(
        "delete-organization", posted={"owner": "admin", "name": "acme"}, **by("rival", "root", admin=True)
    ),
    "the own organization by a plain user": record(
        "delete-organization", posted={"owner": "admin", "name": "acme"}, **by("acme", "alice", admin=False)
    ),
    "the organization of global administrators, which Casdoor keeps": record(
        "delete-organization", posted={"owner": "admin", "name": "built-in"}
    ),
    "a user of another organization deleted": record("delete-user", posted=BOB, **by("rival", "root", admin=True)),
    "a colleague deleted by a plain user": record("delete-user", posted=BOB, **by("acme", "alice", admin=False)),
    "a colleague forbidden by a plain user": record(
        "update-user", posted={**BOB, **FORBIDDEN}, requestUri=BOB_CHANGED, **by("acme", "alice", admin=False)
    ),
    "a user of an organization that differs in case": record(
        "delete-user", posted={**BOB, "owner": "ACME"}, **by("acme", "root", admin=True)
    ),
    "nobody's act": record("delete-user", posted=BOB, organization="", user=""),
    "a name twice": record("delete-user", posted='{"owner":"acme","name":"bob","name":"eve"}'),
    "an owner twice": record("delete-user", posted='{"owner":"rival","owner":"acme","name":"bob"}'),
    "an id in two spellings": record("delete-user", posted='{"owner":"acme","name":"bob","id":"a","ID":"b"}'),
    "a flag in two spellings": record(
        "update-user",
        posted='{"owner":"acme","name":"alice","isForbidden":true,"isforbidden":false}',
        requestUri=USER_CHANGED,
    ),
    "a flag with a long s, which Go folds": record(
        "update-user",
        posted='{"owner":"acme","name":"alice","isForbidden":true,"i\u017fForbidden":false}',
        requestUri=USER_CHANGED,
    ),
    "a spelling by escapes": record("delete-user", posted='{"owner":"acme","name":"bob","\\u004eame":"eve"}'),
    "a token of another organization": record(
        "delete-token", posted={**TOKEN_ROW, "organization": "acme"}, **by("rival", "root", admin=True)
    ),
    "a token, by a plain user": record(
        "delete-token", posted={**TOKEN_ROW, "organization": "acme"}, **by("acme", "alice", admin=False)
    ),
    "a tenant's user moved into another tenant": record(
        "update-user",
        posted={**BOB, "owner": "rival", **FORBIDDEN},
        requestUri=BOB_CHANGED,
        **by("acme", "root", admin=True),
    ),
    **{
        f"{action} that affected nothing": record(
            action,
            posted={**posted, **FORBIDDEN, "expiresIn": 0},
            requestUri=f"/api/{action}?id={posted['owner']}/{posted['name']}",
            response='{status:"ok", msg:"", data:"Unaffected"}',
        )
        for action, posted in (
            ("update-user", ALICE),
            ("delete-user", ALICE),
            ("delete-token", TOKEN_ROW),
            ("update-token", TOKEN_ROW),
            ("delete-organization", {"owner": "admin", "name": "acme"}),
        )
    },
}


class TestForged:
    @pytest.mark.parametrize("sent", FORGED.values(), ids=FORGED.keys())
    def test_nothing_follows(self, sent: dict[str, Any]) -> None:
        assert isinstance(hooked(sent), Ignored)

    def test_whatever_an_actor_of_a_tenant_sends_nobody_outside_is_meant(self) -> None:
        """Every action, every object and every address, by each actor of `rival`: no item is about `acme`."""
        objects = [
            {"owner": owner, "name": name, "id": BOB_ID, "organization": "acme", **FORBIDDEN, "expiresIn": 0}
            for owner in ("acme", "rival", "admin", "zzz")
            for name in ("acme", "rival", "bob", "eve")
        ]
        addresses = ["", "?id=acme/bob", "?id=rival/eve", "?owner=acme&userId=7", "?id=" + "y" * 1_100]
        actions = ("logout", "update-user", "delete-user", "delete-token", "update-token", "delete-organization")
        for action, posted, address, admin in itertools.product(actions, objects, addresses, (True, False, None)):
            sent = record(
                action, posted=posted, requestUri=f"/api/{action}{address}", **by("rival", "eve", admin=admin)
            )
            found = hooked(sent)
            for item in found.revocations if isinstance(found, CasdoorEvent) else ():
                assert "rival" in (item.organization, item.value), (sent, item)

    def test_an_administrator_whose_row_is_not_sent_is_not_believed_and_it_is_told_what_to_turn_on(self) -> None:
        found = hooked(record("delete-user", posted=BOB, **by("acme", "root")))
        assert isinstance(found, EventFault)
        assert "User extended" in found.detail

    @pytest.mark.parametrize(
        "row",
        [
            {"owner": "rival", "name": "root", "isAdmin": True},
            {"owner": "acme", "name": "other", "isAdmin": True},
            {"owner": "acme", "name": "root", "isAdmin": "true"},
            {"owner": "acme", "name": "root"},
            [],
            "isAdmin",
        ],
    )
    def test_a_row_that_is_not_the_actors_or_has_no_flag_is_none(self, row: Any) -> None:
        sent = record("delete-user", posted=BOB, organization="acme", user="root", extendedUser=row)
        assert isinstance(hooked(sent), EventFault)

    def test_a_record_with_a_member_twice_is_refused(self) -> None:
        text = json.dumps(record("logout", **by("rival", "eve")))
        assert isinstance(hooked(text[:-1].encode() + b',"organization":"acme"}'), EventFault)
        assert isinstance(hooked(text[:-1].encode() + b',"Organization":"acme"}'), EventFault)


ADMIN_OF_ACME = by("acme", "root", admin=True)
BELIEVED: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "a tenant's administrator forbids": (
        record("update-user", posted={**BOB, **FORBIDDEN}, requestUri=BOB_CHANGED, **ADMIN_OF_ACME),
        [("user", "acme/bob"), ("subject", BOB_ID)],
    ),
    "a tenant's administrator deletes": (
        record("delete-user", posted=BOB, **ADMIN_OF_ACME),
        [("user", "acme/bob"), ("subject", BOB_ID)],
    ),
    "a tenant's administrator deletes the tenant": (
        record("delete-organization", posted={"owner": "admin", "name": "acme"}, **ADMIN_OF_ACME),
        [("organization", "acme")],
    ),
    "a plain user of herself": (
        record("update-user", posted={**BOB, **FORBIDDEN}, requestUri=BOB_CHANGED, **by("acme", "bob", admin=False)),
        [("user", "acme/bob"), ("subject", "id-of-actor")],
    ),
    "a logout, with the actor's row": (
        record("logout", **by("acme", "bob", admin=False)),
        [("user", "acme/bob"), ("subject", "id-of-actor")],
    ),
    "renamed and forbidden in one save": (
        record("update-user", posted={**BOB, "name": "robert", **FORBIDDEN}, requestUri=BOB_CHANGED, **ADMIN_OF_ACME),
        [("user", "acme/bob"), ("user", "acme/robert"), ("subject", BOB_ID)],
    ),
    "renamed before, forbidden now": (
        record(
            "update-user",
            posted={**BOB, "name": "robert", **FORBIDDEN},
            requestUri="/api/update-user?id=acme/robert",
            **ADMIN_OF_ACME,
        ),
        [("user", "acme/robert"), ("subject", BOB_ID)],
    ),
    "addressed by subject, renamed in the same save": (
        record(
            "update-user",
            posted={"owner": "acme", "name": "robert", **FORBIDDEN},
            requestUri=f"/api/update-user?owner=acme&userId={BOB_ID}",
            **ADMIN_OF_ACME,
        ),
        [("user", "acme/robert"), ("subject", BOB_ID)],
    ),
    "moved to another organization by a global administrator": (
        record("update-user", posted={**BOB, "owner": "rival", **FORBIDDEN}, requestUri=BOB_CHANGED),
        [("user", "acme/bob"), ("subject", BOB_ID), ("user", "rival/bob"), ("subject", BOB_ID)],
    ),
    "a name with a slash": (
        record("delete-user", posted={"owner": "acme", "name": "b/c"}, **ADMIN_OF_ACME),
        [("user", "acme/b/c")],
    ),
    "a name that no token can bear": (
        record("delete-user", posted={**BOB, "name": "b\nb"}, **ADMIN_OF_ACME),
        [("subject", BOB_ID)],
    ),
    "an address of 999 characters, which is whole": (
        record(
            "update-user",
            posted={**BOB, **FORBIDDEN},
            requestUri=("/api/update-user?x=" + "y" * 1_000)[: 1_000 - 15] + "&id=acme%2Fbo",
            **ADMIN_OF_ACME,
        ),
        [("user", "acme/bo"), ("user", "acme/bob"), ("subject", BOB_ID)],
    ),
    "an address of a thousand characters, which Casdoor has cut": (
        record(
            "update-user",
            posted={**BOB, **FORBIDDEN},
            requestUri=("/api/update-user?x=" + "y" * 1_000)[: 1_000 - 13] + "&id=acme%2Fbo",
            **ADMIN_OF_ACME,
        ),
        [("user", "acme/bob"), ("subject", BOB_ID)],
    ),
    "an address that is none": (
        record("update-user", posted={**BOB, **FORBIDDEN}, requestUri="//[?id=x", **ADMIN_OF_ACME),
        [("user", "acme/bob"), ("subject", BOB_ID)],
    ),
}


class TestBelieved:
    @pytest.mark.parametrize(("sent", "expected"), BELIEVED.values(), ids=BELIEVED.keys())
    def test_what_follows(self, sent: dict[str, Any], expected: list[tuple[str, str]]) -> None:
        assert meant(hooked(sent)) == expected

    def test_a_subject_counts_within_the_organization_alone(self) -> None:
        """An administrator can give a user of hers the subject of somebody elsewhere."""
        found = hooked(record("delete-user", posted=BOB, **ADMIN_OF_ACME))
        assert isinstance(found, CasdoorEvent)
        assert {item.organization for item in found.revocations} == {"acme"}

    def test_a_token_counts_within_the_organization_of_whom_deletes_it(self) -> None:
        found = hooked(record("delete-token", posted={**TOKEN_ROW, "organization": "acme"}, **ADMIN_OF_ACME))
        assert isinstance(found, CasdoorEvent)
        (item,) = found.revocations
        assert (item.by, item.organization) == (RevokedBy.JTI, "acme")


def stuffed(text: str) -> str:
    """Bob's own record with something in it that he chose, forbidden."""
    return f'{{"owner":"acme","name":"bob","score":{text},"id":"{BOB_ID}","isForbidden":true}}'


DEEP = "[" * 5_000 + "]" * 5_000
CHOSEN: dict[str, str] = {
    "2**53": str(2**53),
    "a number of a thousand digits": "9" * 1_000,
    "an overflow": "1e999",
    "a fraction": "-0.5e-7",
    "not a number": "NaN",
    "300 KB of properties": json.dumps({"p": "x" * 300_000}),
    "many properties": json.dumps({f"p{number}": "x" for number in range(20_000)}),
    "properties named as members": json.dumps({"owner": "rival", "name": "eve", "isForbidden": False}),
    "text with quotes, brackets and backslashes": json.dumps('"}]{\\",\\"owner\\":\\"rival\\"'),
    "half a pair of surrogates": '"\\ud800"',
    "a control character": '"\x01"',
    "5,000 levels": DEEP,
    "a prototype": '{"__proto__":1}',
    "a duplicate deep inside": '{"a":1,"a":2}',
}


class TestHiding:
    """What a user puts into her own record must not keep her from being revoked."""

    @pytest.mark.parametrize("text", CHOSEN.values(), ids=CHOSEN.keys())
    def test_whatever_stands_in_the_object_its_user_is_revoked(self, text: str) -> None:
        sent = record("update-user", posted=stuffed(text), requestUri=BOB_CHANGED, **ADMIN_OF_ACME)
        assert meant(hooked(sent)) == [("user", "acme/bob"), ("subject", BOB_ID)]

    @pytest.mark.parametrize("text", CHOSEN.values(), ids=CHOSEN.keys())
    def test_whatever_stands_in_the_actors_row_she_is_revoked(self, text: str) -> None:
        body = json.dumps(record("logout", organization="acme", user="bob", extendedUser="ROW"))
        row = f'{{"owner":"acme","name":"bob","score":{text},"id":"{BOB_ID}","isAdmin":false}}'
        assert meant(hooked(body.replace('"ROW"', row).encode()))[0] == ("user", "acme/bob")

    @pytest.mark.parametrize("end", range(30, 86, 7))
    def test_an_object_that_breaks_off_revokes_whom_it_or_the_address_names(self, end: int) -> None:
        whole = stuffed("1")
        sent = record("update-user", posted=whole[:end], requestUri=BOB_CHANGED, **ADMIN_OF_ACME)
        assert ("user", "acme/bob") in meant(hooked(sent))

    def test_more_than_is_scanned_revokes_whom_it_names(self) -> None:
        many = json.dumps({f"p{number}": 0 for number in range(300_000)})
        sent = record("update-user", posted=stuffed(many), requestUri=BOB_CHANGED, **ADMIN_OF_ACME)
        assert meant(hooked(sent)) == [("user", "acme/bob")]

    def test_bytes_that_are_no_utf8_are_passed_over(self) -> None:
        body = json.dumps(record("delete-user", posted={**BOB, "bio": "BIO"}, **ADMIN_OF_ACME)).encode()
        assert ("user", "acme/bob") in meant(hooked(body.replace(b"BIO", b"\xff\xfe")))

    def test_a_life_that_cannot_be_read_ends_the_token(self) -> None:
        posted = '{"owner":"admin","name":"t","organization":"acme","expiresIn":-1e3}'
        sent = record("update-token", posted=posted, requestUri="/api/update-token?id=admin/t", **ADMIN_OF_ACME)
        assert meant(hooked(sent)) == [("jti", "admin/t")]

    def test_nobody_hides_another_by_an_object_that_cannot_be_read(self) -> None:
        """The same rules of belief hold: a plain user revokes herself by it."""
        for posted in (stuffed("1")[:40], stuffed(DEEP)):
            sent = record("update-user", posted=posted, requestUri=BOB_CHANGED, **by("acme", "alice", admin=False))
            assert isinstance(hooked(sent), Ignored)
