"""Sealed entries, pseudonyms and framed digests."""

import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.service.cache.signed_entry import MAX_ENTRY_BYTES, MIN_SECRET_BYTES, Signer, framed_digest

OLD = b"o" * 32
NEW = b"n" * 32
NOW = 1_800_000_000.0
UNTIL = 1_800_000_060


def sealed(payload: bytes = b"payload", *, secret: bytes = OLD, kind: str = "decision", key: str = "k") -> bytes:
    return Signer([secret]).sign(kind, key, payload, UNTIL)


# Ordinary.


def test_what_was_sealed_opens_for_its_kind_and_key() -> None:
    assert Signer([OLD]).open("decision", "k", sealed(), NOW) == b"payload"


def test_an_empty_payload_opens_as_itself() -> None:
    assert Signer([OLD]).open("decision", "k", sealed(b""), NOW) == b""


def test_the_envelope_takes_41_bytes() -> None:
    assert len(sealed(b"")) == 41


def test_every_secret_opens_and_the_first_one_seals() -> None:
    both = Signer([NEW, OLD])
    assert both.open("decision", "k", sealed(secret=OLD), NOW) == b"payload"
    assert Signer([NEW]).open("decision", "k", both.sign("decision", "k", b"p", UNTIL), NOW) == b"p"
    assert Signer([OLD]).open("decision", "k", both.sign("decision", "k", b"p", UNTIL), NOW) is None


def test_an_entry_opens_until_the_moment_it_ends() -> None:
    opener = Signer([OLD])
    assert opener.open("decision", "k", sealed(), UNTIL - 0.001) == b"payload"
    assert opener.open("decision", "k", sealed(), float(UNTIL)) is None


def test_pseudonyms_are_the_same_in_every_process_with_the_secret() -> None:
    assert Signer([OLD]).pseudonym("session", "a", b"b") == Signer([OLD]).pseudonym("session", "a", b"b")
    assert len(Signer([OLD]).pseudonym("session")) == 32


def test_pseudonyms_under_rotation_begin_with_the_current_one() -> None:
    both = Signer([NEW, OLD]).pseudonyms("session", "a")
    assert both == (Signer([NEW]).pseudonym("session", "a"), Signer([OLD]).pseudonym("session", "a"))
    assert both[0] == Signer([NEW, OLD]).pseudonym("session", "a")


# Hostile.


def test_no_single_changed_bit_opens() -> None:
    blob, opener = sealed(b"x" * 20), Signer([OLD])
    for position, bit in itertools.product(range(len(blob)), range(8)):
        changed = bytearray(blob)
        changed[position] ^= 1 << bit
        assert opener.open("decision", "k", bytes(changed), NOW) is None


def test_no_truncated_or_extended_entry_opens() -> None:
    blob, opener = sealed(b"x" * 20), Signer([OLD])
    assert all(opener.open("decision", "k", blob[:end], NOW) is None for end in range(len(blob)))
    assert all(opener.open("decision", "k", blob[start:], NOW) is None for start in range(1, len(blob)))
    assert opener.open("decision", "k", blob + b"\0", NOW) is None
    assert opener.open("decision", "k", b"\0" + blob, NOW) is None


@pytest.mark.parametrize(
    ("kind", "key"),
    [("token", "k"), ("decision", "other"), ("", "k"), ("decision", ""), ("decisionk", ""), ("decisio", "nk")],
)
def test_an_entry_moved_to_another_key_or_kind_does_not_open(kind: str, key: str) -> None:
    assert Signer([OLD]).open(kind, key, sealed(), NOW) is None


def test_an_entry_sealed_with_another_secret_does_not_open() -> None:
    assert Signer([NEW]).open("decision", "k", sealed(secret=OLD), NOW) is None


def test_an_oversized_entry_does_not_open_even_when_genuine() -> None:
    signer = Signer([OLD])
    at_the_limit = signer.sign("decision", "k", b"x" * (MAX_ENTRY_BYTES - 41), UNTIL)
    assert signer.open("decision", "k", at_the_limit, NOW) is not None
    assert signer.open("decision", "k", signer.sign("decision", "k", b"x" * (MAX_ENTRY_BYTES - 40), UNTIL), NOW) is None


@given(st.binary(max_size=200))
def test_no_bytes_raise(blob: bytes) -> None:
    assert Signer([OLD]).open("decision", "k", blob, NOW) is None


@pytest.mark.parametrize("secrets", [[], [b""], [b"x" * (MIN_SECRET_BYTES - 1)], [OLD, b"short"]])
def test_a_missing_or_short_secret_is_refused_without_being_shown(secrets: list[bytes]) -> None:
    with pytest.raises(ValueError, match="openssl rand") as caught:
        Signer(secrets)
    assert "short" not in str(caught.value)


def test_no_secret_is_in_the_repr() -> None:
    signer = Signer([b"TOPSECRET-TOPSECRET-TOPSECRET-32"])
    assert "TOPSECRET" not in f"{signer!r} {signer}"
    assert not hasattr(signer, "__dict__")


def test_a_pseudonym_is_not_a_tag_and_depends_on_the_secret() -> None:
    blob = sealed(b"")
    assert blob[-32:] != Signer([OLD]).pseudonym("decision", "k", blob[:9], b"")
    assert Signer([OLD]).pseudonym("p", "a") != Signer([NEW]).pseudonym("p", "a")


SAME_TEXT = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("a", "b", "c"), ("ab", "", "c")]


def test_parts_that_spell_the_same_text_give_different_digests_and_pseudonyms() -> None:
    """azure-functions-host#11933, msal-node#8705, wallet#318: unframed concatenation collides."""
    assert len({framed_digest(*parts) for parts in SAME_TEXT}) == len(SAME_TEXT)
    assert len({Signer([OLD]).pseudonym(*parts) for parts in SAME_TEXT}) == len(SAME_TEXT)


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_different_parts_never_share_a_digest(one: list[str], other: list[str]) -> None:
    assert (framed_digest(*one) == framed_digest(*other)) == (one == other)


def test_a_digest_is_whole_sha256_over_the_framed_parts() -> None:
    """The recipe, so that two releases of a fleet agree: 8 bytes of length before each part."""
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in (b"a", b"\xc3\xa9"))
    assert framed_digest("a", "é") == hashlib.sha256(framed).hexdigest()
    assert framed_digest(b"a", "é") == framed_digest("a", "é")


def test_lone_surrogates_from_outside_give_a_digest_of_their_own() -> None:
    assert framed_digest("\ud800") not in (framed_digest("?"), framed_digest("\ud801"))
