"""Step 4 of a check: whom a token speaks for. Looked up in memory, then in the shared store, then found out.

 a. in memory, as accepted before
 b. one check at a time finds out about one token; the others look into memory again when it has ended
 c. in memory, as refused before, where the refusal lasts (`negative_cache`)
 d. the structure of the token, and its issuer: one of the resource's own
 e. in the shared store, as found valid by its issuer, where `cache.shared` has tokens shared
 f. the signature, with the issuer's keys
 g. the claims, at this moment; also of a token that the store has as valid
 h. introspection, where the issuer has it; not again of a token that the store has as valid

f comes before e where the keys are at hand and the store can only save an introspection: tokens cost nothing to invent,
and a forged one must not cost a look there. For the same reason the store is never asked about a token whose key the
issuer is known not to have.

Whether the token was revoked is asked afterwards, however it was found. The body of the request plays no part.
"""

from collections.abc import Callable
from typing import NamedTuple

from extauthz.pdp.answer.caller import Caller
from extauthz.pdp.decision.decision import Deny, Indeterminate
from extauthz.pdp.policy import Issuer, Policy, Resource
from extauthz.pdp.principal import VerifiedToken
from extauthz.pdp.token.access_token import SignedToken, TokenFault, UnverifiedToken, digest_of, inspect, issuer_fault
from extauthz.service.asking import Asking
from extauthz.service.cache.bounded_cache import ENTRY_BYTES, BoundedCache
from extauthz.service.cache.keyed_lock import KeyedLock
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.cache.sizes import caller_bytes
from extauthz.service.call import Moment
from extauthz.service.details import CacheUse
from extauthz.service.keys.keyring import KeyRing
from extauthz.service.needs import Write
from extauthz.service.tokens.authentication import authenticate, issuer_of, judge_claims, with_good_signature
from extauthz.service.tokens.negative_cache import HeldKeys, NegativeCache
from extauthz.service.tokens.stored_token import TokenKey, find_valid, leave_valid, stored_token_key


def token_key(policy: Policy, resource: Resource, token: str) -> TokenKey:
    """Everything that the outcome of this step depends on, besides time, keys and the issuer's word."""
    return (
        policy.revision,
        resource.name,  # guard: token-key-resource
        digest_of(token),  # guard: token-key-token
    )


def cache_until(token: VerifiedToken, policy: Policy, now: float, soon: Callable[[float, float], float]) -> float:
    """How long anything about this token may be cached: its own life, and the policy's ceiling."""
    # guard: ceiling - an issuer may take back what it said
    return min(float(token.expires_at), soon(now + policy.cache.max_ttl_s, now))


class TokenOutcome(NamedTuple):
    """Whom the token speaks for, or why it is refused; where that was found, and what to tell the other processes."""

    found: Caller | Deny | Indeterminate
    cache: CacheUse = CacheUse.NONE
    writes: tuple[Write, ...] = ()


class TokenQuestion(NamedTuple):
    """One token at one resource, in one check."""

    text: str
    key: TokenKey
    policy: Policy
    resource: Resource
    moment: Moment

    def __repr__(self) -> str:
        """Without the token."""
        return f"TokenQuestion({self.resource.name})"


class TokenLookup(NamedTuple):
    """What one process has for finding out about tokens."""

    ring: KeyRing
    callers: BoundedCache[Caller]
    refusals: NegativeCache
    locks: KeyedLock
    signer: Signer | None
    soon: Callable[[float, float], float]

    def find(self, question: TokenQuestion) -> Asking[TokenOutcome]:
        """b to h, for a token that is not cached as accepted."""
        return self.locks.find(
            question.key, question.moment, lambda: self._cached(question), lambda: self._find_out(question)
        )

    def _cached(self, question: TokenQuestion) -> TokenOutcome | None:
        """a again, and c."""
        key, now = question.key, question.moment.now
        caller = self.callers.get(key, now)
        if caller is not None:
            return TokenOutcome(caller)
        refusal = self.refusals.get(key, self.ring, now)
        return None if refusal is None else TokenOutcome(refusal, CacheUse.MEMORY)

    def _find_out(self, question: TokenQuestion) -> Asking[TokenOutcome]:
        """d to h."""
        resource, moment = question.resource, question.moment
        # d
        token = inspect(question.text)
        if isinstance(token, TokenFault):
            return self._refused(question, Deny(reason=token.reason, detail=token.detail))
        issuer = issuer_of(token, resource)
        if issuer is None:
            fault = issuer_fault(token, resource)
            return self._refused(question, Deny(reason=fault.reason, detail=fault.detail))
        held = HeldKeys(issuer, self.ring.held(issuer, moment.now))
        signer = self._sharing(token, issuer, question, held)
        # f before e, see above
        signed: SignedToken | None = None
        if signer is None or (held.keys is not None and issuer.introspection is not None):
            checked = yield from with_good_signature(token, issuer, self.ring, moment)
            if not isinstance(checked, SignedToken):
                return self._not_signed(question, checked, held)
            signed = checked
        # e
        store_key = stored_token_key(question.key)
        if signer is not None:
            until = yield from find_valid(store_key, signer, moment)
            judged = None if until is None else judge_claims(SignedToken.vouched(token), issuer, resource, moment)
            if until is not None and isinstance(judged, VerifiedToken):
                # No later than the statement says: the ceiling counts from the signature check.
                ends_at = min(self.soon(until, moment.now), self._until(question, judged))
                return self._accepted(question, judged, ends_at, CacheUse.REDIS)
        # f
        if signed is None:
            checked = yield from with_good_signature(token, issuer, self.ring, moment)
            if not isinstance(checked, SignedToken):
                return self._refused(question, checked)
            signed = checked
        # g, h
        verified = yield from authenticate(signed, text=question.text, issuer=issuer, resource=resource, moment=moment)
        if not isinstance(verified, VerifiedToken):
            return self._refused(question, verified)
        ends_at = self._until(question, verified)
        writes = () if signer is None else leave_valid(store_key, ends_at, signer, moment.now)
        return self._accepted(question, verified, ends_at, writes=writes)

    def _sharing(
        self, token: UnverifiedToken, issuer: Issuer, question: TokenQuestion, held: HeldKeys
    ) -> Signer | None:
        """The signer, where this token is shared."""
        if self.signer is None or not question.policy.cache.shares_tokens(issuer):
            return None
        known = held.keys is None or held.keys.candidates(token.key_id, token.algorithm)
        return self.signer if known else None

    def _until(self, question: TokenQuestion, token: VerifiedToken) -> float:
        return cache_until(token, question.policy, question.moment.now, self.soon)

    def _accepted(
        self,
        question: TokenQuestion,
        token: VerifiedToken,
        until: float,
        cache: CacheUse = CacheUse.NONE,
        writes: tuple[Write, ...] = (),
    ) -> TokenOutcome:
        """Cache whom the token speaks for."""
        caller = Caller.of(token, question.resource)
        self.callers.put(question.key, caller, until, ENTRY_BYTES + caller_bytes(caller), now=question.moment.now)
        return TokenOutcome(caller, cache, writes)

    def _not_signed(self, question: TokenQuestion, fault: Deny | Indeterminate, held: HeldKeys) -> TokenOutcome:
        """Cache the refusal while the keys that it rests on decide: no other process can vouch for the token."""
        if isinstance(fault, Deny):
            self.refusals.put_with_keys(question.key, fault, held, self.ring, question.moment.now)
        return self._refused(question, fault)

    def _refused(self, question: TokenQuestion, fault: Deny | Indeterminate) -> TokenOutcome:
        """Cache the refusal if it is one that lasts."""
        if isinstance(fault, Deny):
            self.refusals.put(question.key, fault, question.moment.now)
        return TokenOutcome(fault)
