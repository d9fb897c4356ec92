"""Entries that a shared store cannot forge, and names that say nothing to whoever reads the store.

A signed entry is

    version (1 byte) | expires_at (8 bytes, Unix seconds, big endian) | payload | tag (32 bytes)

where the tag is HMAC-SHA-256 (RFC 2104) over kind, store key, version with expiry, and payload, each preceded by its
length. Kind and store key are not in the entry: they are what the reader expects, so an entry that was moved to another
key, or is of another kind, does not open. The payload is readable to whoever reads the store; put nothing secret there.

The HMAC keys are derived from the operator's secrets, one per purpose, so a tag can never serve as a pseudonym or the
other way round.
"""

import hashlib
import hmac
import struct
from collections.abc import Sequence
from typing import Final, TypeAlias

MIN_SECRET_BYTES: Final = 32
"""As long as the digest: a shorter HMAC key weakens it (RFC 2104 §3)."""
MAX_ENTRY_BYTES: Final = 1024 * 1024
"""Largest entry looked at: twice the largest key set (`pdp.jwks`), which is the largest thing shared."""

_VERSION: Final = b"\x01"
_EXPIRY: Final = struct.Struct(">Q")
_HEAD_BYTES: Final = len(_VERSION) + _EXPIRY.size
_TAG_BYTES: Final = hashlib.sha256().digest_size
_LENGTH: Final = struct.Struct(">Q")
# Part of every signature: another text would make a miss of each entry that is there.
_SIGNING: Final = b"extauthz sealed entry"
_PSEUDONYM: Final = b"extauthz pseudonym"

Part: TypeAlias = str | bytes


class Signer:
    """Signs entries with the first secret and opens those of every secret (rotation without a flush).

    To rotate without losing what stands in the store: run with (old, new), then (new, old), then (new).
    """

    __slots__ = ("_pseudonym_keys", "_signing_keys")

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """Take one or more secrets of at least 32 random bytes. Raises ValueError for none, or a short one."""
        if not secrets:
            raise ValueError("no cache secret: give one of at least 32 random bytes (`openssl rand -base64 32`)")
        for number, secret in enumerate(secrets, 1):
            if len(secret) < MIN_SECRET_BYTES:
                raise ValueError(
                    f"cache secret {number} has {len(secret)} bytes and needs {MIN_SECRET_BYTES}: "
                    "make one with `openssl rand -base64 32`"
                )
        self._signing_keys = tuple(hmac.digest(secret, _SIGNING, "sha256") for secret in secrets)
        self._pseudonym_keys = tuple(hmac.digest(secret, _PSEUDONYM, "sha256") for secret in secrets)

    def sign(self, kind: str, key: str, payload: bytes, expires_at: int, *, secret: int = 0) -> bytes:
        """The entry for `payload`, good at store key `key` as a `kind` until `expires_at` (Unix seconds).

        `secret` says by which of the secrets, for keys that are made with another than the first (`pseudonyms`).
        """
        head = _VERSION + _EXPIRY.pack(expires_at)
        return head + payload + _tag(self._signing_keys[secret], kind, key, head, payload)

    def open(self, kind: str, key: str, blob: bytes, now: float) -> bytes | None:
        """The payload, or None for anything that was not signed for this kind and key or has had its time."""
        if not _HEAD_BYTES + _TAG_BYTES <= len(blob) <= MAX_ENTRY_BYTES or blob[:1] != _VERSION:
            return None
        head, payload, tag = blob[:_HEAD_BYTES], blob[_HEAD_BYTES:-_TAG_BYTES], blob[-_TAG_BYTES:]
        if not any(hmac.compare_digest(_tag(each, kind, key, head, payload), tag) for each in self._signing_keys):
            return None
        (expires_at,) = _EXPIRY.unpack_from(head, len(_VERSION))
        return payload if now < expires_at else None

    def pseudonym(self, purpose: str, *parts: Part) -> bytes:
        """A keyed digest (32 bytes) under the first secret, for values that a reader of the store must not guess."""
        return hmac.digest(self._pseudonym_keys[0], _framed((purpose, *parts)), "sha256")

    def pseudonyms(self, purpose: str, *parts: Part) -> tuple[bytes, ...]:
        """The pseudonym under each secret, first secret first: what to look for while secrets are being rotated."""
        text = _framed((purpose, *parts))
        return tuple(hmac.digest(key, text, "sha256") for key in self._pseudonym_keys)


def framed_digest(*parts: Part) -> str:
    """SHA-256 in hexadecimal over the parts, each preceded by its length, so that no two part lists collide."""
    return hashlib.sha256(_framed(parts)).hexdigest()  # guard: whole-digest


def _tag(hmac_key: bytes, kind: str, key: str, head: bytes, payload: bytes) -> bytes:
    signed = (
        kind,  # guard: kind-signed
        key,  # guard: key-signed
        head,
        payload,
    )
    return hmac.digest(hmac_key, _framed(signed), "sha256")


def _framed(parts: Sequence[Part]) -> bytes:
    frames: list[bytes] = []
    for part in parts:
        # `surrogatepass`: text from outside may hold lone surrogates, and must give a digest all the same.
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        frames += (_LENGTH.pack(len(data)), data)  # guard: framed
    return b"".join(frames)
