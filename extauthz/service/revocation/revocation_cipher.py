"""Revocations as they stand in the shared store: readable and makeable only with the operator's secret.

An encrypted item is

    version (1 byte) | nonce (12 bytes) | AES-256-GCM ciphertext and tag of the item as JSON

with the store's key as associated data, so that an item moved to another key does not open. The key of the cipher is
derived from the cache secret (HKDF-SHA-256, RFC 5869) for this purpose alone. Random nonces are good for 2**32 items
per secret (NIST SP 800-38D §8.3): 50,000 items written anew every 10 s would take ten days at the worst, and healthy
ones are written once.
"""

from collections.abc import Callable, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from extauthz.pdp.revocation.revocation import MAX_PACKED_BYTES, Revocation, RevocationFault, pack, parse
from extauthz.service.cache.signed_entry import MIN_SECRET_BYTES

_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_KEY_BYTES: Final = 32
_PURPOSE: Final = b"extauthz revocation"

MAX_ENTRY_BYTES: Final = len(_VERSION) + _NONCE_BYTES + MAX_PACKED_BYTES + _TAG_BYTES
"""Nothing larger is one of ours."""


class RevocationCipher:
    """Encrypts with the first secret, opens with each (rotation: run with (old, new), then (new, old), then (new))."""

    __slots__ = ("_ciphers", "_random_bytes")

    def __init__(self, secrets: Sequence[bytes], random_bytes: Callable[[int], bytes]) -> None:
        """Take the cache secrets; `random_bytes` makes nonces. Raises ValueError for no secret, or a short one."""
        if not secrets or min(map(len, secrets)) < MIN_SECRET_BYTES:
            raise ValueError(f"give one or more cache secrets of at least {MIN_SECRET_BYTES} random bytes each")
        self._ciphers = tuple(AESGCM(_derived(secret)) for secret in secrets)
        self._random_bytes = random_bytes

    def sign(self, key: str, item: Revocation) -> bytes:
        """The item, to be written at the store's `key`."""
        nonce = self._random_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._ciphers[0].encrypt(nonce, pack(item), key.encode())

    def open(self, key: str, entry: bytes, *, first_only: bool = False) -> Revocation | None:
        """The item, or None for anything that was not encrypted for this key with one of the secrets. Never raises.

        `first_only`: only with the first of them.
        """
        if not len(_VERSION) + _NONCE_BYTES + _TAG_BYTES <= len(entry) <= MAX_ENTRY_BYTES or entry[:1] != _VERSION:
            return None
        nonce, text = entry[1 : 1 + _NONCE_BYTES], entry[1 + _NONCE_BYTES :]
        for cipher in self._ciphers[:1] if first_only else self._ciphers:
            try:
                item = parse(cipher.decrypt(nonce, text, key.encode()))
            except InvalidTag:
                continue
            return None if isinstance(item, RevocationFault) else item
        return None


def _derived(secret: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE).derive(secret)
