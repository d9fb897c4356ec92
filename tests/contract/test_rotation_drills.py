"""Key rotation as a caller sees it: whole decisions, keys from a real HTTP issuer, a clock that the test moves."""

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from extauthz.adapters.issuers.key_sets import IssuerHttp
from extauthz.pdp.policy import Issuer
from extauthz.pdp.reason import Reason
from extauthz.service.details import CheckDetails
from extauthz.service.keys.key_service import KeyService
from extauthz.service.keys.keyring import KeyRing
from extauthz.service.needs import Answer, Need, NeedKeys
from extauthz.service.ports import CacheKind, CacheResult, FetchResult, ReloadResult, Tier
from tests.support import tokens
from tests.support.checks import check_request
from tests.support.http_issuer import HttpIssuer
from tests.support.policies import policy
from tests.support.world import World, weather

START = float(tokens.NOW)
HOUR_S = 3_600
TTL_S = 300
"""`cache.jwks_ttl`, the default: how long a withdrawn key may go unnoticed."""
CEILING_S = 60
"""`cache.max_ttl`, the default: how much longer a token that was seen before may go on."""


class Nobody:
    def checked(self, details: CheckDetails) -> None: ...

    def looked_up(self, tier: Tier, kind: CacheKind, result: CacheResult) -> None: ...

    def fetched(self, issuer: str, result: FetchResult) -> None: ...

    def reloaded(self, result: ReloadResult) -> None: ...


@dataclass
class Drill:
    """One process: the procedure, the key service, and a clock."""

    http: HttpIssuer
    world: World = field(init=False)
    keys: KeyService = field(init=False)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def __post_init__(self) -> None:
        issuer = Issuer(
            name="casdoor",
            issuer=tokens.ISSUER,
            jwks_uri=f"{self.http.url}/jwks",
            organizations=frozenset({"acme"}),
        )
        self.world = World(policy=policy(weather(issuers=(issuer,))), keys=None, now=START, answer=self._answer)
        ring: KeyRing = self.world.shared_state.ring
        self.keys = KeyService(
            ring=ring,
            fetcher=IssuerHttp(clock=lambda: self.world.now),
            store=None,
            signer=None,
            observer=Nobody(),
            clock=lambda: self.world.now,
            random=random.Random(7).random,
        )

    def _answer(self, need: Need) -> Answer:
        assert isinstance(need, NeedKeys)
        return self.loop.run_until_complete(self.keys.obtain(need))

    def passes(self, seconds: float, every: Callable[[], None] = lambda: None, step_s: float = 5.0) -> None:
        """Let time pass, with the background loop looking for what is due."""
        end = self.world.now + seconds
        while self.world.now < end:
            self.world.now = min(end, self.world.now + step_s)
            self.loop.run_until_complete(self.keys.refresh_due())
            every()

    def reason(self, key: str = "RS256", kid: str | None = None) -> Reason:
        """What a token of this key is told now. Each call has a token of its own, so that no memory helps."""
        more = {"nonce": str(random.random())}
        signed = tokens.mint(
            {"scope": "weather:read", **more},
            alg=key if key in tokens.ALGORITHMS else "RS256",
            key=tokens.SIGNING_KEYS[key],
            kid=kid or tokens.SIGNING_KEYS[key].kid,
            now=self.world.now,
        )
        return self.world.check(check_request(token=signed)).reason

    def publishes(self, *keys: str, kid: str | None = None) -> None:
        """The issuer's key set from now on."""
        jwks = [tokens.SIGNING_KEYS[key] for key in keys]
        extra = [] if kid is None else [tokens.SIGNING_KEYS["rotate-new"].jwk(kid=kid)]
        self.http.answer("/jwks", body=tokens.key_set_document(jwks, extra=extra))


@pytest.fixture
def drill() -> Iterator[Drill]:
    with HttpIssuer() as http:
        one = Drill(http)
        one.publishes("RS256", "rotate")
        assert one.reason() is Reason.ALLOWED
        yield one
        one.loop.run_until_complete(one.keys.close())
        one.loop.close()


def test_a_new_kid_counts_from_its_first_token_on(drill: Drill) -> None:
    drill.passes(40)
    drill.publishes("RS256", "rotate", "ES256")
    assert drill.reason("ES256") is Reason.ALLOWED
    assert drill.reason() is Reason.ALLOWED


def test_a_new_key_under_the_same_kid_counts_after_one_refetch_and_the_old_one_no_more(drill: Drill) -> None:
    kid = tokens.SIGNING_KEYS["rotate"].kid
    assert drill.reason("rotate") is Reason.ALLOWED
    drill.passes(40)
    drill.publishes("RS256", kid=kid)
    assert drill.reason("rotate-new", kid) is Reason.ALLOWED
    assert drill.reason("rotate") is Reason.TOKEN_SIGNATURE
    assert drill.reason() is Reason.ALLOWED


def test_a_withdrawn_key_is_gone_after_the_promised_time_also_for_tokens_seen_before(drill: Drill) -> None:
    seen = check_request(
        token=tokens.mint({"scope": "weather:read"}, key=tokens.SIGNING_KEYS["rotate"], kid="cert-rotate", now=START)
    )
    assert drill.world.check(seen).reason is Reason.ALLOWED
    drill.publishes("RS256")
    drill.passes(TTL_S + CEILING_S, every=lambda: drill.world.check(seen) and None)
    assert drill.reason("rotate") is Reason.TOKEN_KEY_UNKNOWN
    assert drill.world.check(seen).reason is Reason.TOKEN_KEY_UNKNOWN
    assert drill.reason() is Reason.ALLOWED


def test_an_issuer_down_for_an_hour_is_not_noticed_and_its_return_is(drill: Drill) -> None:
    drill.http.answer("/jwks", status=500, body=b"")

    def nobody_notices() -> None:
        assert drill.reason() is Reason.ALLOWED

    drill.passes(HOUR_S, every=nobody_notices, step_s=30)
    drill.publishes("RS256", "ES256")
    drill.passes(TTL_S)
    assert drill.reason("ES256") is Reason.ALLOWED
    assert drill.reason("rotate") is Reason.TOKEN_KEY_UNKNOWN


@pytest.mark.parametrize("body", [b'{"status":"error","msg":"x"}', b"<html></html>", b'{"keys":[]}', b""])
def test_an_answer_that_is_no_key_set_takes_no_key_away(drill: Drill, body: bytes) -> None:
    drill.http.answer("/jwks", body=body)
    drill.passes(HOUR_S, step_s=60)
    assert drill.reason() is Reason.ALLOWED
    assert drill.reason("rotate") is Reason.ALLOWED


def test_an_issuer_down_for_longer_than_a_day_is_503_and_its_return_mends_it(drill: Drill) -> None:
    drill.http.answer("/jwks", status=500, body=b"")
    drill.passes(25 * HOUR_S, step_s=600)
    assert drill.reason() is Reason.KEYS_UNAVAILABLE
    drill.publishes("RS256")
    drill.passes(120)
    assert drill.reason() is Reason.ALLOWED
