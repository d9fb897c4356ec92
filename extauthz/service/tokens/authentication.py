"""From a token as sent to whom it verifiably speaks for.

1. The issuer is the one of the resource's own issuers whose `iss` the token claims; a URL is never taken from a token.
2. The shared store may vouch for the signature: an entry that only a holder of the secret can have written says that
   this very token was found genuine for this very operation. The claims are judged again all the same.
3. Otherwise the signature is checked with every key that fits `kid` and algorithm. An unknown `kid` and a signature
   that does not fit a known one each lead to one look for newer keys, when the ring says that one is due.
4. The claims are judged at the present moment.
5. Where the issuer has introspection, it has the last word.
"""

from typing import TypeAlias

from extauthz.pdp.decision.decision import Deny, Indeterminate
from extauthz.pdp.policy import Issuer, Resource
from extauthz.pdp.principal import VerifiedToken
from extauthz.pdp.reason import Reason
from extauthz.pdp.token.access_token import SignedToken, TokenFault, UnverifiedToken, judge, screen, verify_signature
from extauthz.pdp.token.jwks import KeySet
from extauthz.service.asking import Asking, ask
from extauthz.service.cache.signed_entry import framed_digest
from extauthz.service.call import Moment
from extauthz.service.keys.keyring import KeyRing
from extauthz.service.needs import Introspected, KeysCause, KeysUnavailable, NeedIntrospection, NeedKeys

Refusal: TypeAlias = Deny | Indeterminate


def issuer_of(token: UnverifiedToken, resource: Resource) -> Issuer | None:
    """The resource's issuer that the token claims to be from (RFC 8414 §3.3: compared byte for byte)."""
    for issuer in resource.issuers:
        if issuer.issuer == token.issuer:  # guard: issuer-configured
            return issuer
    return None


def authenticate(
    signed: SignedToken, *, text: str, issuer: Issuer, resource: Resource, moment: Moment
) -> Asking[VerifiedToken | Refusal]:
    """Steps 4 and 5. `text` is the token as sent, for the issuer alone."""
    verified = judge_claims(signed, issuer, resource, moment)
    if not isinstance(verified, VerifiedToken) or issuer.introspection is None:
        return verified
    principal = verified.principal
    caller = framed_digest(issuer.issuer, principal.organization, principal.subject)
    answer = yield from ask(NeedIntrospection(issuer=issuer, token=text, caller=caller), moment)
    match answer:
        case Introspected.ACTIVE:
            return verified
        case Introspected.INACTIVE:
            return Deny(reason=Reason.TOKEN_REVOKED, detail=f"issuer {issuer.name} says that the token is not active")
        case _:
            return Indeterminate(
                reason=Reason.INTROSPECTION_UNAVAILABLE, detail=f"issuer {issuer.name} did not answer about the token"
            )


def judge_claims(signed: SignedToken, issuer: Issuer, resource: Resource, moment: Moment) -> VerifiedToken | Deny:
    """Step 4."""
    judged = judge(signed, issuer, resource, moment.now)
    if isinstance(judged, TokenFault):
        return Deny(reason=judged.reason, detail=judged.detail)
    return judged


def with_good_signature(
    token: UnverifiedToken, issuer: Issuer, ring: KeyRing, moment: Moment
) -> Asking[SignedToken | Refusal]:
    """Step 3, after what the issuer's terms say of the header."""
    fault = screen(token, issuer)
    if fault is not None:
        return Deny(reason=fault.reason, detail=fault.detail)
    signed = yield from signed_by(token, issuer, ring, moment)
    return signed


def signed_by(token: UnverifiedToken, issuer: Issuer, ring: KeyRing, moment: Moment) -> Asking[SignedToken | Refusal]:
    """Check the signature with the issuer's keys, and once with newer ones where it may not fit for want of them."""
    keys = ring.held(issuer, moment.now)
    asked = keys is None
    if keys is None:
        answer = yield from _keys(issuer, KeysCause.NONE_HELD, moment)
        if not isinstance(answer, KeySet):
            return answer  # guard: keys-or-nothing
        keys = answer
    while True:
        candidates = keys.candidates(token.key_id, token.algorithm)
        signed = verify_signature(token, candidates) if candidates else None
        if signed is not None:
            return signed
        cause = KeysCause.BAD_SIGNATURE if candidates else KeysCause.UNKNOWN_KEY
        if asked or not ring.may_refetch(issuer, moment.now):  # guard: refetch-interval
            return _not_signed(cause, issuer)
        asked = True
        answer = yield from _keys(issuer, cause, moment)
        if not isinstance(answer, KeySet):
            return answer
        keys = answer


def _keys(issuer: Issuer, cause: KeysCause, moment: Moment) -> Asking[KeySet | Indeterminate]:
    answer = yield from ask(NeedKeys(issuer=issuer, cause=cause), moment)
    match answer:
        case KeySet():
            return answer
        case KeysUnavailable(detail):
            return Indeterminate(reason=Reason.KEYS_UNAVAILABLE, detail=f"keys of issuer {issuer.name}: {detail}")
        case _:
            return Indeterminate(reason=Reason.KEYS_UNAVAILABLE, detail=f"no keys of issuer {issuer.name}")


def _not_signed(cause: KeysCause, issuer: Issuer) -> Deny:
    if cause is KeysCause.UNKNOWN_KEY:
        return Deny(
            reason=Reason.TOKEN_KEY_UNKNOWN, detail=f"no key of issuer {issuer.name} has this kid and algorithm"
        )
    return Deny(reason=Reason.TOKEN_SIGNATURE, detail=f"no key of issuer {issuer.name} with this kid fits")
