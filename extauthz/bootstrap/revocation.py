"""The revocations of one serving process, joined to those of the others where there is a Redis."""

import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from extauthz.adapters.io_loop import IoLoop
from extauthz.adapters.redis.client import RedisClient
from extauthz.adapters.redis.connect import redis_client
from extauthz.adapters.redis.revocation_log import RedisRevocationLog
from extauthz.adapters.revocation.channel import COMMAND_DEADLINE_S, RevocationChannel
from extauthz.adapters.revocation.process_revoker import ProcessRevoker
from extauthz.config.settings.redis_password import redis_password
from extauthz.config.settings.settings import RedisSettings
from extauthz.pdp.redaction import Redactor
from extauthz.service.ports import Observer
from extauthz.service.revocation.revocation_cipher import RevocationCipher
from extauthz.service.revocation.revocation_sharing import RevocationSharing
from extauthz.service.revocation.revocations import Revocations


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationParts:
    """`known` is what checks ask, `revoker` what those call who revoke."""

    known: Revocations
    revoker: ProcessRevoker
    channel: RevocationChannel | None
    client: RedisClient | None

    @property
    def state(self) -> str:
        """One sentence for the operator; empty when all is well."""
        channel = "" if self.channel is None else self.channel.state
        merged = f"{self.known.merged} stand for several others (docs/howto/revoke.md)" if self.known.merged else ""
        return "; ".join(filter(None, (channel, merged)))

    def counts(self) -> Mapping[str, int]:
        """How many revocations are known, by what they are."""
        return {"exact": len(self.known) - self.known.merged, "merged": self.known.merged}

    def lag_s(self) -> float:
        """For how long other processes may have known revocations that this one does not; 0 without Redis."""
        return self.known.lag_s(time.time())

    def start(self) -> None:
        """Get in step with the others; waits for that, but not for longer than `FIRST_ROUND_S`."""
        if self.channel is not None:
            self.channel.start()

    async def close(self) -> None:
        """Stop listening to the others."""
        if self.channel is not None:
            self.channel.stop()
        if self.client is not None:
            await self.client.close()


def revocation_parts(
    redis: RedisSettings | None, *, loop: IoLoop, observer: Observer, redactor: Redactor
) -> RevocationParts:
    """Build them. Raises ValueError for a Redis URL that cannot be used."""
    if redis is None:
        known = Revocations(monotonic=time.monotonic)
        return RevocationParts(known=known, revoker=_revoker(known, None), channel=None, client=None)
    known = Revocations(shared_since=time.time(), monotonic=time.monotonic)
    client = redis_client(
        redis.url.reveal(),
        clock=time.monotonic,
        deadline_s=COMMAND_DEADLINE_S,
        password=redis_password(redis, redactor),
    )
    cipher = RevocationCipher([secret.reveal().encode() for secret in redis.cache_secrets], os.urandom)
    log = RedisRevocationLog(client, cipher=cipher, new_epoch=_random_word, clock=time.time)
    sharing = RevocationSharing(revocations=known, log=log, observer=observer, clock=time.time)
    channel = RevocationChannel(sharing, revocations=known, loop=loop)
    return RevocationParts(known=known, revoker=_revoker(known, channel), channel=channel, client=client)


def _revoker(known: Revocations, channel: RevocationChannel | None) -> ProcessRevoker:
    return ProcessRevoker(known, channel, clock=time.time, new_id=_random_word)


def _random_word() -> str:
    """128 random bits in hexadecimal."""
    return secrets.token_hex(16)
