"""Too many revocations of events: what they are merged into, what is left alone, and what can never come of it."""

import itertools
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.pdp.policy import WhenStale
from extauthz.pdp.principal import Principal, VerifiedToken
from extauthz.pdp.revocation.revocation import (
    MERGED_SOURCE,
    Revocation,
    RevokedBy,
    keys_of,
    meant_keys,
    revokes,
    undo_of,
)
from extauthz.service.revocation import bounds
from extauthz.service.revocation.revocations import Revocations
from tests.support.revocations import revocation
from tests.support.tokens import ISSUER, NOW

UNTIL = NOW + 1_000
HOOK, LOGOUT = "casdoor-webhook", "backchannel-logout"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a test can reach."""
    for name, value in (
        ("MAX_OF_EVENTS", 40),
        ("MAX_OF_SOURCE", 20),
        ("MAX_OF_SUBJECT", 3),
        ("MAX_REVOCATIONS", 50),
    ):
        monkeypatch.setattr(bounds, name, value)
    monkeypatch.setattr("extauthz.service.revocation.revocations.MAX_REVOCATIONS", 50)


def user(number: int, organization: str = "acme", **fields: Any) -> Revocation:
    value = f"{organization}/u{number}"
    ordinary = {"organization": organization, "source": HOOK, "until": UNTIL}
    return revocation(**{"by": RevokedBy.USER, "value": value, **ordinary, **fields})


def kinds(known: Revocations) -> set[tuple[str, str]]:
    return {(item.by.value, item.value) for item in known.in_force(NOW) if item.source == MERGED_SOURCE}


def token(organization: str, name: str, **fields: Any) -> VerifiedToken:
    principal = Principal(
        issuer=ISSUER,
        subject=fields.get("subject", f"id-{name}"),
        organization=organization,
        name=name,
        client_id=fields.get("client", "c1"),
        scopes=frozenset(),
        roles=frozenset(),
        groups=frozenset(),
        machine=False,
    )
    return VerifiedToken(principal=principal, issued_at=NOW, expires_at=NOW + 60, token_id="j1", digests=(b"d",))


def refuses(known: Revocations, one: VerifiedToken, issued_at: int = NOW) -> bool:
    return known.refuse(keys_of(one), issued_at, WhenStale.ALLOW, NOW) is not None


@pytest.mark.usefixtures("small")
class TestMerging:
    def test_many_about_one_user_become_one(self) -> None:
        known = Revocations()
        for number in range(30):
            assert known.add([user(1, before=NOW - 100 + number, until=UNTIL + number)], NOW)
        assert len(known) <= bounds.MAX_OF_SUBJECT
        assert kinds(known) == {("user", "acme/u1")}
        assert refuses(known, token("acme", "u1"), NOW - 71)
        assert not refuses(known, token("acme", "u1"), NOW - 70)
        assert not refuses(known, token("acme", "u2"), NOW - 100)

    def test_many_clients_of_one_subject_become_all_of_that_subject(self) -> None:
        known = Revocations()
        items = [revocation(value="s", client=f"c{number}", source=LOGOUT) for number in range(5)]
        assert known.add(items, NOW)
        assert kinds(known) == {("subject", "s")}
        assert refuses(known, token("acme", "u1", subject="s", client="another"))

    def test_a_flood_of_one_source_becomes_its_largest_tenant_and_leaves_the_others_alone(self) -> None:
        known = Revocations()
        others = [user(number, source="casdoor-sso-logout") for number in range(100, 105)]
        few = [user(number, "small") for number in range(3)]
        assert known.add([*others, *few], NOW)
        for number in range(60):
            assert known.add([user(number, "rival")], NOW)
        assert kinds(known) == {("tenant", "rival")}
        assert len(known) <= 30
        assert not refuses(known, token("small", "u7"))
        assert refuses(known, token("small", "u1"))
        assert refuses(known, token("acme", "u100"))
        assert refuses(known, token("rival", "u59"))

    def test_a_flood_over_many_tenants_becomes_the_issuer(self) -> None:
        known = Revocations()
        for number in range(200):
            assert known.add([user(number, f"t{number}")], NOW)
        assert len(known) <= bounds.MAX_OF_EVENTS
        assert ("issuer", ISSUER) in kinds(known)

    def test_logouts_of_many_subjects_become_their_client(self) -> None:
        known = Revocations()
        for number in range(60):
            assert known.add([revocation(value=f"s{number}", client="c1", source=LOGOUT)], NOW)
        assert kinds(known) == {("client", "c1")}

    def test_operators_have_room_whatever_events_do_and_are_never_merged(self) -> None:
        known = Revocations()
        orders = [user(number, source="admin") for number in range(8)]
        assert known.add(orders[:4], NOW)
        for number in range(300):
            assert known.add([user(number, f"t{number % 7}")], NOW)
        assert known.add(orders[4:], NOW)
        assert set(orders) <= set(known.in_force(NOW))

    def test_what_an_operator_took_back_is_not_merged(self) -> None:
        known = Revocations()
        mistake = user(1)
        assert known.add([mistake, undo_of(mistake, id="undo-0001", source="admin")], NOW)
        for number in range(2, 15):
            assert known.add([user(number)], NOW)
        assert not refuses(known, token("acme", "u1"))

    def test_a_merged_item_cannot_be_taken_back(self) -> None:
        known = Revocations()
        for number in range(5):
            known.add([user(1, before=NOW - number)], NOW)
        (wide,) = [item for item in known.in_force(NOW) if item.source == MERGED_SOURCE]
        undo = undo_of(wide, id="undo-0002", source="admin")
        assert known.add([undo], NOW)
        assert refuses(known, token("acme", "u1"))
        assert wide in known.in_force(NOW)
        known.items(UNTIL + 1)
        assert not known.in_force(UNTIL + 1)

    def test_what_a_merged_item_stands_for_is_known_and_not_taken_up_again(self) -> None:
        known = Revocations()
        items = [user(1, before=NOW - number) for number in range(5)]
        known.add(items, NOW)
        held = len(known)
        assert all(item.id in known for item in items)
        assert known.add(items, NOW)
        assert len(known) == held

    def test_merged_items_are_told_once_to_whom_shares_them(self) -> None:
        known = Revocations()
        known.add([user(1, before=NOW - number) for number in range(5)], NOW)
        assert [item.source for item in known.take_merges()] == [MERGED_SOURCE]
        assert known.take_merges() == ()

    def test_two_processes_that_have_seen_the_same_agree_in_whatever_order(self) -> None:
        items = [user(number % 5, before=NOW - number) for number in range(30)]
        one, two = Revocations(), Revocations()
        for each in items:
            one.add([each], NOW)
        for each in reversed(items):
            two.add([each], NOW)
        for known, other in ((one, two), (two, one), (one, two)):
            known.add(other.items(NOW), NOW)
        assert set(one.in_force(NOW)) == set(two.in_force(NOW))


PEOPLE = [(organization, f"u{number}") for organization in ("acme", "rival") for number in range(4)]
ITEMS = st.builds(
    lambda who, before, life, source, form: replace(
        {
            "user": user(int(who[1][1:]), who[0]),
            "subject": revocation(value=f"id-{who[1]}", organization=who[0], source=HOOK),
            "client": revocation(value=f"id-{who[1]}", client="c1", source=LOGOUT),
            "jti": revocation(by=RevokedBy.JTI, value="j1", organization=who[0], source=HOOK),
            "organization": revocation(by=RevokedBy.ORGANIZATION, value=who[0], source=HOOK),
        }[form],
        before=NOW - before,
        until=NOW + life,
        source=source,
    ),
    st.sampled_from(PEOPLE),
    st.integers(0, 3),
    st.integers(50, 53),
    st.sampled_from([HOOK, LOGOUT, "casdoor-sso-logout", "admin"]),
    st.sampled_from(["user", "subject", "client", "jti", "organization"]),
)
STEPS = st.lists(ITEMS | st.integers(0, 50), max_size=60)
"""An item, or the number of one to take back."""


@given(STEPS, st.integers(0, 55))
def test_merging_lets_nothing_pass_that_was_refused(steps: list[Revocation | int], later: int) -> None:
    """Against a list without bounds, undos included, now and at every later moment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("MAX_OF_EVENTS", 12), ("MAX_OF_SOURCE", 6), ("MAX_OF_SUBJECT", 2)):
            patch.setattr(bounds, name, value)
        known, every, undone = Revocations(), [], set()
        numbers = itertools.count()
        for step in steps:
            if isinstance(step, Revocation):
                every.append(step)
                assert known.add([step], NOW)
            else:
                there = [item for item in known.in_force(NOW) if item.source != MERGED_SOURCE]
                if there:
                    item = there[step % len(there)]
                    undone.add(item.id)
                    assert known.add([undo_of(item, id=f"undo-{next(numbers):08}", source="admin")], NOW)
        now = NOW + later
        for (organization, name), issued_at in itertools.product([*PEOPLE, ("", "u1")], range(NOW - 4, NOW + 2)):
            keys = set(keys_of(token(organization, name)))
            naive = any(
                item.id not in undone
                and now < item.until
                and not keys.isdisjoint(meant_keys(item))
                and revokes(item, issued_at)
                for item in every
            )
            if naive:
                assert known.revoked(tuple(keys), issued_at, now) is not None
        events = [item for item in known.items(now) if item.source != "admin"]
        assert len(events) <= 12 + len(undone)


def test_a_full_list_is_merged_in_a_time_that_nobody_notices() -> None:
    """50,000 users of 5,000 tenants: what is counted is how often items are gone through."""
    known = Revocations()
    shuffled = [user(number, f"t{number % 5_000}") for number in range(bounds.MAX_OF_SOURCE + 2_000)]
    random.Random(1).shuffle(shuffled)
    for start in range(0, len(shuffled), 100):
        assert known.add(shuffled[start : start + 100], NOW)
    assert len(known) <= bounds.MAX_OF_SOURCE
    assert all(refuses(known, token(item.organization, item.value.partition("/")[2])) for item in shuffled[::500])
