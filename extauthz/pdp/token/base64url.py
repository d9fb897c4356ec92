"""Base64url as JOSE wants it (RFC 7515 §2, RFC 4648 §5): no padding, no other alphabet, no unused bits.

A text that decodes has exactly one spelling, so that two different tokens can never mean the same bytes: caches and
deny-lists name a token by the digest of its text.
"""

from binascii import a2b_base64, b2a_base64
from typing import Final

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_PADDING: Final = (b"", b"===", b"==", b"=")
# By length modulo 4: what the last character can be. After a whole byte it carries 2 bits (length 2) or 4 bits
# (length 3) and its other bits are zero (RFC 4648 §3.5); one character alone spells nothing.
_LAST: Final[tuple[frozenset[int], ...]] = (
    frozenset(_ALPHABET),
    frozenset(),
    frozenset(_ALPHABET[::16]),
    frozenset(_ALPHABET[::4]),
)


def encode_base64url(data: bytes) -> bytes:
    """The one spelling of `data`."""
    return b2a_base64(data, newline=False).rstrip(b"=").replace(b"+", b"-").replace(b"/", b"_")


def decode_base64url(text: bytes) -> bytes | None:
    """The bytes that `text` spells, or None where it is not the one spelling of them.

    The decoder of the standard library skips what it does not know and ignores unused bits, so both are looked for
    first.
    """
    surplus = len(text) % 4
    if text.translate(None, _ALPHABET) or (surplus and text[-1] not in _LAST[surplus]):
        return None
    return a2b_base64(text.replace(b"-", b"+").replace(b"_", b"/") + _PADDING[surplus])
