"""One check, from `CheckRequest` bytes to `CheckResponse` bytes, without waiting.

The order, which is also the order of precedence:

 0. decode what the proxy says
 1. resource: which protected MCP server is this for?
 2. origin: may this browser origin talk to it? (preflights are answered here) Is it POST, GET or DELETE?
 3. credentials: exactly one bearer token
 4. token: remembered, or vouched for by the shared store, or verified with the issuer's keys (and introspected);
    and, however it was found, not revoked
 5. body and operation: exactly one message that every server reads alike
 6. policy: may this principal do this?
 7. session: does the session id belong to this principal? (It is bound also where an earlier step refuses the request.)
 8. answer

Each step can end the check. A caller without a valid token learns nothing about its body: where the body has to be
read before step 4 (the shared store is asked about token and operation together), what was found is kept back.

The procedure is a generator. When keys, a stored entry, an introspection or a binding are not at hand, it yields a
`Need` and is resumed with `Resolved`; with everything at hand it never yields. A shell only obtains what is needed;
no rule lives there. Where another check is finding out about the same token, it yields `NeedLock` and looks at what
that one left in memory.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from extauthz.pdp.answer.caller import Caller
from extauthz.pdp.answer.cors import is_preflight, origin_allowed, origin_detail
from extauthz.pdp.answer.verdict import Verdict, forward, preflight, refuse
from extauthz.pdp.decision.decide import decide
from extauthz.pdp.decision.decision import Decision, Deny, Indeterminate, Permit
from extauthz.pdp.decision.request_values import request_values
from extauthz.pdp.mcp.read import read_operation
from extauthz.pdp.operation import Operation, RequestId, Unreadable
from extauthz.pdp.policy import Issuer, LastEventId, Resource
from extauthz.pdp.principal import VerifiedToken
from extauthz.pdp.quoting import quoted
from extauthz.pdp.reason import Reason
from extauthz.pdp.request import MAX_HEADERS, HttpRequest
from extauthz.pdp.token.access_token import SignedToken, TokenFault, UnverifiedToken, digest_of, inspect, issuer_fault
from extauthz.pdp.token.credentials import BadCredentials, Bearer, NoCredentials, bearer_credentials
from extauthz.service.cache.bounded_cache import ENTRY_BYTES, targets_bytes
from extauthz.service.call import Call
from extauthz.service.check.active_policy import ActivePolicy, SharedState
from extauthz.service.check.checked import Checked
from extauthz.service.check.codec import NotACheckRequest, decode, encode
from extauthz.service.details import CacheUse
from extauthz.service.needs import Awaited, Need, NeedLock, NeedStored, Resolved, Write
from extauthz.service.sessions.session_binding import use_session
from extauthz.service.sessions.session_use import SessionUse
from extauthz.service.tokens.authentication import (
    TOO_LATE,
    Moment,
    authenticate,
    issuer_of,
    judge_claims,
    with_good_signature,
)
from extauthz.service.tokens.negative_cache import HeldKeys
from extauthz.service.tokens.stored_decision import KIND as DECISION_KIND
from extauthz.service.tokens.stored_decision import decision_key, pack, vouched_until

METHODS: Final = frozenset({"POST", "GET", "DELETE"})

Steps: TypeAlias = Generator[Awaited, Resolved, Checked]
_MemoryKey: TypeAlias = tuple[str, str, bytes]
"""Policy revision, resource and digest of the token: what a caller or a refusal is remembered under."""

_NO_REQUEST: Final = HttpRequest(method="", scheme="", authority="", path="", headers={})


def check(data: bytes, call: Call, active: ActivePolicy, shared_state: SharedState) -> Steps:
    """Decide one request. Yields what it lacks; returns the answer with all that observers may know."""
    return _Check(call, active, shared_state).steps(data)


@dataclass(frozen=True, slots=True)
class _Authenticated:
    """A caller whose token counts, until when it may be remembered, and the shared key by which others may learn of it.

    `decision` came along when the shared store vouched for the token.
    """

    caller: Caller
    until: float
    shared_key: str | None = None
    decision: Permit | Deny | None = None


class _Check:
    """One run of the procedure: what has been found so far."""

    __slots__ = (
        "active",
        "cache",
        "caller",
        "decision_id",
        "moment",
        "operation",
        "request",
        "resource",
        "shared_state",
        "writes",
    )

    def __init__(self, call: Call, active: ActivePolicy, shared_state: SharedState) -> None:
        self.active = active
        self.shared_state = shared_state
        self.moment = Moment(call.now_ns / 1e9, call.deadline)
        self.decision_id = shared_state.new_id()
        self.request = _NO_REQUEST
        self.resource: Resource | None = None
        self.caller: Caller | None = None
        self.operation: Operation | Unreadable | None = None
        self.writes: tuple[Write, ...] = ()
        self.cache = CacheUse.NONE

    def steps(self, data: bytes) -> Steps:
        """The numbered steps of the module's docstring."""
        # 0
        try:
            request = self.request = decode(data)
        except NotACheckRequest as error:
            return self._refuse(Indeterminate(reason=Reason.INTERNAL_ERROR, detail=str(error)))

        # 1
        resource = self.active.index.find(request)
        if resource is None:
            return self._refuse(Deny(reason=Reason.RESOURCE_UNKNOWN, detail=_address(request)))
        self.resource = resource

        # 2
        if not origin_allowed(resource, request):
            return self._refuse(Deny(reason=Reason.ORIGIN_REFUSED, detail=origin_detail(resource, request)))
        if is_preflight(request):
            return self._checked(None, preflight(request, self.decision_id), CacheUse.NONE)
        if request.method not in METHODS or "upgrade" in request.headers:
            came = "an Upgrade" if "upgrade" in request.headers else f"the method {quoted(request.method)}"
            detail = f"{came}, expected POST, GET or DELETE: MCP has nothing else"
            return self._refuse(Deny(reason=Reason.HTTP_METHOD_REFUSED, detail=detail))

        # 3
        credentials = bearer_credentials(request)
        if isinstance(credentials, NoCredentials):
            return self._refuse(Deny(reason=Reason.TOKEN_MISSING, detail=credentials.detail))
        if isinstance(credentials, BadCredentials):
            return self._refuse(Deny(reason=Reason.CREDENTIALS_MALFORMED, detail=credentials.detail))

        # 4
        memory_key = (self.active.policy.revision, resource.name, digest_of(credentials.token))
        caller = self.shared_state.caches.callers.get(memory_key, self.moment.now)
        found: _Authenticated | None = None
        if caller is None:
            outcome = yield from self._find_out(memory_key, credentials, resource)
            if isinstance(outcome, Deny | Indeterminate):
                return self._refuse(outcome, self.cache)
            found = outcome if isinstance(outcome, _Authenticated) else None
            caller = outcome.caller if isinstance(outcome, _Authenticated) else outcome
        revocations, now = self.shared_state.revocations, self.moment.now
        if now >= revocations.look_from:
            refusal = revocations.refuse(
                caller.revocation_keys, caller.token.issued_at, self.active.policy.when_stale, now
            )
            if refusal is not None:
                return self._refuse(refusal)
        self.caller = caller

        # 5
        operation = self._read()
        if isinstance(operation, Unreadable):
            yield from self._bind(caller, operation, resource, permitted=False)
            return self._refuse(Deny(reason=operation.reason, detail=operation.detail))

        # 6
        if found is not None and found.decision is not None:
            decision, cache = found.decision, CacheUse.REDIS
        else:
            decision, cache = self._decide(memory_key, caller, operation, resource)
            if found is not None and found.shared_key is not None and decision.cacheable:
                self._share(found.shared_key, decision, found.until)

        # 7
        refusal = yield from self._bind(caller, operation, resource, permitted=isinstance(decision, Permit))
        final: Decision = decision if refusal is None or isinstance(decision, Deny) else refusal

        # 8
        if self.moment.too_late:
            return self._refuse(TOO_LATE)
        if isinstance(final, Permit):
            return self._checked(final, forward(resource, final, caller, request, self.decision_id), cache)
        return self._refuse(final, cache)

    def _bind(
        self, caller: Caller, operation: Operation | Unreadable, resource: Resource, *, permitted: bool
    ) -> Generator[Need, Resolved, Deny | Indeterminate | None]:
        """Step 7: why the session cannot be used; None where it can, or there is none.

        Also what is refused binds its session: the id is the caller's, who must not lose it to the next one.
        """
        use = SessionUse.of(resource, self.request, operation, caller.principal, permitted=permitted)
        if use is None:
            return None
        around = self.shared_state
        ruling = yield from use_session(use, around.caches.bindings, around.session_lookups, around.signer, self.moment)
        self.writes = (*self.writes, *ruling.writes)
        return ruling.refusal

    def _find_out(
        self, memory_key: _MemoryKey, credentials: Bearer, resource: Resource
    ) -> Generator[Awaited, Resolved, _Authenticated | Caller | Deny | Indeterminate]:
        """Step 4 for a token that was not remembered as good: one check at a time finds out about it."""
        caches, ring, locks = self.shared_state.caches, self.shared_state.ring, self.shared_state.locks
        others_end = locks.take(memory_key)
        if others_end is not None:
            resolved = yield NeedLock(ended=others_end)
            self.moment.resumed(resolved)
            if self.moment.too_late:
                return TOO_LATE
        try:
            # Also with the turn: another may have ended between the first look and this one.
            caller = caches.callers.get(memory_key, self.moment.now)
            if caller is not None:
                return caller
            refusal = caches.refusals.get(memory_key, ring, self.moment.now)
            if refusal is not None:
                self.cache = CacheUse.MEMORY
                return refusal
            # After another's turn: what it found out is not to be remembered. Nobody waits in line behind that again.
            return (yield from self._authenticate(memory_key, credentials, resource))
        finally:
            if others_end is None:
                locks.end(memory_key)

    def _authenticate(
        self, memory_key: _MemoryKey, credentials: Bearer, resource: Resource
    ) -> Generator[Need, Resolved, _Authenticated | Deny | Indeterminate]:
        """Find out about a token, and remember what may be."""
        caches, ring = self.shared_state.caches, self.shared_state.ring
        unverified = inspect(credentials.token)
        if isinstance(unverified, TokenFault):
            return self._refused(memory_key, Deny(reason=unverified.reason, detail=unverified.detail))
        issuer = issuer_of(unverified, resource)
        if issuer is None:
            fault = issuer_fault(unverified, resource)
            return self._refused(memory_key, Deny(reason=fault.reason, detail=fault.detail))
        key = self._shared_key(unverified, issuer, resource)
        held = HeldKeys(issuer, ring.held(issuer, self.moment.now))
        # Where the store can save an introspection, a forged token must not cost even a look there.
        checked_first = key is None or (held.keys is not None and issuer.introspection is not None)
        signed = (yield from with_good_signature(unverified, issuer, ring, self.moment)) if checked_first else None
        if key is not None and not isinstance(signed, Deny | Indeterminate):
            vouched = yield from self._vouched(key, unverified, issuer, resource)
            if vouched is not None:
                return self._accepted(memory_key, vouched)
        if signed is None:
            signed = yield from with_good_signature(unverified, issuer, ring, self.moment)
        if not isinstance(signed, SignedToken):
            verified: VerifiedToken | Deny | Indeterminate = signed
        else:
            verified = yield from authenticate(
                signed, text=credentials.token, issuer=issuer, resource=resource, moment=self.moment
            )
        if isinstance(verified, VerifiedToken):
            accepted = _Authenticated(Caller.of(verified, resource), self._until(verified), key)
            return self._accepted(memory_key, accepted)
        if isinstance(verified, Deny):
            if checked_first:
                caches.refusals.put_with_keys(memory_key, verified, held, ring, self.moment.now)
            return self._refused(memory_key, verified)
        return verified

    def _accepted(self, memory_key: _MemoryKey, accepted: _Authenticated) -> _Authenticated:
        """Remember who the token speaks for."""
        caller = accepted.caller
        size_bytes = ENTRY_BYTES + caller.size_bytes
        self.shared_state.caches.callers.put(memory_key, caller, accepted.until, size_bytes, now=self.moment.now)
        return accepted

    def _refused(self, memory_key: _MemoryKey, deny: Deny) -> Deny:
        """Remember the refusal, if it is one that lasts."""
        self.shared_state.caches.refusals.put(memory_key, deny, self.moment.now)
        return deny

    def _shared_key(self, token: UnverifiedToken, issuer: Issuer, resource: Resource) -> str | None:
        """The store's key for this token and operation; None when nothing is shared about it.

        Nobody asks the store about a token whose key the issuer is known not to have, nor is its body read: such tokens
        cost nothing to invent, and must not cost a round trip each.
        """
        if self.shared_state.signer is None or not self.active.policy.cache.shares(issuer):
            return None
        keys = self.shared_state.ring.held(issuer, self.moment.now)
        if keys is not None and not keys.candidates(token.key_id, token.algorithm):
            return None
        operation = self._read()
        if isinstance(operation, Unreadable):
            return None
        return decision_key(self.active.policy.revision, resource.name, token.digest, operation)

    def _vouched(
        self, key: str, token: UnverifiedToken, issuer: Issuer, resource: Resource
    ) -> Generator[Need, Resolved, _Authenticated | None]:
        """What the shared store has: an authentic statement that agrees with our own decision, or nothing."""
        resolved = yield NeedStored(key=key)
        self.moment.resumed(resolved)
        signer, operation = self.shared_state.signer, self._read()
        if signer is None or isinstance(operation, Unreadable) or not isinstance(resolved.answer, bytes):
            return None
        payload = signer.open(DECISION_KIND, key, resolved.answer, self.moment.now)
        if payload is None:
            return None
        judged = judge_claims(SignedToken.vouched(token), issuer, resource, self.moment)
        if not isinstance(judged, VerifiedToken):
            return None
        decision = decide(resource, judged.principal, operation, self._values(operation))
        until = vouched_until(payload, decision)
        if until is None:
            return None
        # Never longer than what we find out ourselves, whatever the clock of the process that vouches says.
        soon = min(self.shared_state.soon(until, self.moment.now), self._until(judged))
        return _Authenticated(Caller.of(judged, resource), soon, decision=decision)

    def _share(self, key: str, decision: Permit | Deny, until: float) -> None:
        """Tell the other processes that the token is genuine, and what was decided."""
        ttl_s = int(until - self.moment.now)
        if self.shared_state.signer is not None and ttl_s > 0:
            entry = self.shared_state.signer.sign(DECISION_KIND, key, pack(decision, int(until)), int(until))
            self.writes = (*self.writes, Write(key=key, value=entry, ttl_s=ttl_s))

    def _decide(
        self, memory_key: _MemoryKey, caller: Caller, operation: Operation, resource: Resource
    ) -> tuple[Permit | Deny, CacheUse]:
        """Step 6, from memory where the same was decided before."""
        decisions = self.shared_state.caches.decisions
        key = (*memory_key, operation.kind, operation.era, operation.method, operation.baseline, operation.targets)
        cached = decisions.get(key, self.moment.now)
        if cached is not None:
            return cached, CacheUse.MEMORY
        decision = decide(resource, caller.principal, operation, self._values(operation))
        if decision.cacheable:
            size_bytes = ENTRY_BYTES + targets_bytes(operation.targets)
            decisions.put(key, decision, self._until(caller.token), size_bytes, now=self.moment.now)
        return decision, CacheUse.NONE

    def _until(self, token: VerifiedToken) -> float:
        """How long anything about this token may be remembered: its own life, and the policy's ceiling."""
        now = self.moment.now
        return min(float(token.expires_at), self.shared_state.soon(now + self.active.policy.cache.max_ttl_s, now))

    def _read(self) -> Operation | Unreadable:
        """The operation, read once."""
        if self.operation is None:
            resource = self.resource
            if resource is None:
                self.operation = read_operation(self.request)
            else:
                self.operation = read_operation(
                    self.request,
                    resource.header_only,
                    own_path=resource.own_path,
                    strips_last_event=resource.last_event_id is LastEventId.STRIP,
                )
        return self.operation

    def _values(self, operation: Operation) -> Mapping[str, str | None]:
        """What conditions read under `request.`."""
        return request_values(self.request, operation, self.resource)

    def _refuse(self, decision: Deny | Indeterminate, cache: CacheUse = CacheUse.NONE) -> Checked:
        verdict = refuse(
            decision,
            request=self.request,
            decision_id=self.decision_id,
            resource=self.resource,
            operation=self.operation if isinstance(self.operation, Operation) else None,
            request_id=self._request_id(),
            principal=None if self.caller is None else self.caller.principal,
        )
        return self._checked(decision, verdict, cache)

    def _request_id(self) -> RequestId:
        """The id of the message, told only to a caller whose token counts."""
        return None if self.caller is None or self.operation is None else self.operation.request_id

    def _checked(self, decision: Decision | None, verdict: Verdict, cache: CacheUse) -> Checked:
        caller = self.caller
        operation = None if caller is None else self.operation
        reason = Reason.PREFLIGHT if decision is None else _reason(decision)
        return Checked(
            response=encode(verdict, self._metadata(reason, operation, cache)),
            decision_id=self.decision_id,
            decision=decision,
            reason=reason,
            verdict=verdict,
            policy=self.active.policy,
            resource=self.resource,
            operation=operation,
            principal=None if caller is None else caller.principal,
            cache=cache,
            writes=self.writes,
        )

    def _metadata(self, reason: Reason, operation: Operation | Unreadable | None, cache: CacheUse) -> Mapping[str, str]:
        """Dynamic metadata for the proxy's access log: short, and nothing that identifies a person in clear."""
        metadata = {"decision_id": self.decision_id, "reason": reason, "cache": cache}
        if self.resource is not None:
            metadata["resource"] = self.resource.name
        if operation is not None:
            metadata["method"] = operation.method
            if isinstance(operation, Operation) and operation.targets:
                metadata["target"] = operation.targets[0].name
        if self.caller is not None:
            metadata["subject_hash"] = self.caller.subject_hash
            metadata["client_id"] = self.caller.principal.client_id
            metadata["organization"] = self.caller.principal.organization
        return metadata


def _reason(decision: Decision) -> Reason:
    return Reason.ALLOWED if isinstance(decision, Permit) else decision.reason


def _address(request: HttpRequest) -> str:
    if request.too_many_headers:
        return f"more than {MAX_HEADERS} header lines, so that nothing was read: send fewer"
    if request.route_resource:
        return "the route names a resource that the policy does not have"
    return "no resource has this authority and path"
