"""What stands in a store can be read and made only with the secret, and only at its own key."""

import os

import pytest

from extauthz.pdp.revocation.revocation import pack
from extauthz.service.revocation.revocation_cipher import MAX_ENTRY_BYTES, RevocationCipher
from tests.support.revocations import revocation
from tests.support.tokens import SUBJECT

ONE, TWO = b"1" * 32, b"2" * 32
ITEM = revocation()
KEY = "item:1"


def cipher(*secrets: bytes) -> RevocationCipher:
    return RevocationCipher(secrets or (ONE,), os.urandom)


def test_what_is_sealed_opens_at_its_key() -> None:
    assert cipher().open(KEY, cipher().sign(KEY, ITEM)) == ITEM


def test_no_two_sealed_items_are_alike_and_none_says_what_it_holds() -> None:
    sealed = {cipher().sign(KEY, ITEM) for _ in range(50)}
    assert len(sealed) == 50
    assert all(SUBJECT.encode() not in each and pack(ITEM)[:8] not in each for each in sealed)


def test_the_first_secret_seals_and_every_one_opens() -> None:
    assert cipher(TWO, ONE).open(KEY, cipher(ONE).sign(KEY, ITEM)) == ITEM
    assert cipher(ONE).open(KEY, cipher(TWO, ONE).sign(KEY, ITEM)) is None
    assert cipher(TWO, ONE).open(KEY, cipher(ONE).sign(KEY, ITEM), first_only=True) is None


def test_another_key_or_secret_opens_nothing() -> None:
    sealed = cipher().sign(KEY, ITEM)
    assert cipher().open("item:2", sealed) is None
    assert cipher(TWO).open(KEY, sealed) is None


def test_no_changed_byte_goes_unnoticed() -> None:
    sealed = cipher().sign(KEY, ITEM)
    for index in range(len(sealed)):
        changed = bytearray(sealed)
        changed[index] ^= 1
        assert cipher().open(KEY, bytes(changed)) is None


@pytest.mark.parametrize("length", [0, 1, 13, 28, 29, 60])
def test_a_part_opens_nothing(length: int) -> None:
    assert cipher().open(KEY, cipher().sign(KEY, ITEM)[:length]) is None


def test_a_huge_text_is_not_looked_at() -> None:
    assert cipher().open(KEY, b"\x01" * (MAX_ENTRY_BYTES + 1)) is None


@pytest.mark.parametrize("secrets", [(), (b"short",), (ONE, b"short")])
def test_secrets_that_could_be_guessed_are_refused(secrets: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        RevocationCipher(secrets, os.urandom)
