import base64
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.pdp.token.base64url import decode_base64url, encode_base64url


@pytest.mark.parametrize(
    ("text", "data"),
    [
        # RFC 7515 appendix C.
        (b"A-z_4ME", bytes([3, 236, 255, 224, 193])),
        # RFC 4648 §10, without padding.
        (b"", b""),
        (b"Zg", b"f"),
        (b"Zm8", b"fo"),
        (b"Zm9v", b"foo"),
        (b"Zm9vYmFy", b"foobar"),
        (b"_-_-", bytes([255, 239, 254])),
    ],
)
def test_spelling_and_bytes_belong_together(text: bytes, data: bytes) -> None:
    assert decode_base64url(text) == data
    assert encode_base64url(data) == text


@pytest.mark.parametrize(
    "text",
    [
        b"Zg==",
        b"Zg=",
        b"=",
        b"A",
        b"Zm9vA",
        b"Zh",
        b"Zm9",
        b"/+/+",
        b"Zm 8",
        b"Zm8\n",
        b"\nZm8",
        b"Zm\x008",
        b"Zm8.",
        b"Zm%38",
        "Zm\uff18".encode(),
        b"\xff\xff",
    ],
)
def test_other_spelling_is_refused(text: bytes) -> None:
    assert decode_base64url(text) is None


def test_every_text_of_two_characters_is_a_spelling_or_refused() -> None:
    """Exhaustive over all 65,536 texts: 16 last characters times 64 first ones, and nothing else."""
    accepted = [bytes(pair) for pair in product(range(256), repeat=2) if decode_base64url(bytes(pair)) is not None]
    expected = [base64.urlsafe_b64encode(bytes([byte])).rstrip(b"=") for byte in range(256)]
    assert sorted(accepted) == sorted(expected)


@given(st.binary(max_size=200))
def test_bytes_survive(data: bytes) -> None:
    assert decode_base64url(encode_base64url(data)) == data


@given(st.text(alphabet="AQgwBR-_+/=. \nx", max_size=24) | st.text(max_size=24))
def test_what_decodes_is_the_only_spelling_of_its_bytes(text: str) -> None:
    data = decode_base64url(text.encode())
    if data is not None:
        assert encode_base64url(data) == text.encode()
