"""SSO-logout notifications of Casdoor: ordinary ones, and what somebody may slip in."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.pdp.revocation.casdoor_events import (
    MAX_DIGESTS_OF_ONE,
    CasdoorEvent,
    EventFault,
    Ignored,
    read_sso_logout,
)
from extauthz.pdp.revocation.revocation import fault_in
from tests.support.casdoor_notices import HASHES, SSO_SECRET, sso_logout
from tests.support.tokens import ISSUER, NOW, SUBJECT, issuer

Found = CasdoorEvent | Ignored | EventFault


def told(notice: Any, *, secrets: tuple[str, ...] = (SSO_SECRET,), now: float = NOW) -> Found:
    content = notice if isinstance(notice, bytes) else json.dumps(notice).encode()
    ids = itertools.count()
    return read_sso_logout(content, issuer(), [each.encode() for each in secrets], now, lambda: f"item-{next(ids):08}")


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

    def test_more_hashes_than_are_taken_one_by_one_become_the_user_and_the_subject(self) -> None:
        hashes = [f"{number:064x}" for number in range(MAX_DIGESTS_OF_ONE + 1)]
        found = told(sso_logout(accessTokenHashes=hashes))
        assert meant(found) == [("user", "acme/alice"), ("subject", SUBJECT)]
        assert isinstance(found, CasdoorEvent)
        assert {item.organization for item in found.revocations} == {"acme"}
        assert len(meant(told(sso_logout(accessTokenHashes=hashes[1:])))) == MAX_DIGESTS_OF_ONE + 1
        assert len(meant(told(sso_logout(accessTokenHashes=hashes, id="")))) == MAX_DIGESTS_OF_ONE + 2

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
        forged, honest = told({**notice, "id": "somebody-else"}), told(notice)
        assert isinstance(forged, CasdoorEvent)
        assert isinstance(honest, CasdoorEvent)
        assert forged.revocations == honest.revocations

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
