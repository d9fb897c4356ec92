"""One check, from `CheckRequest` bytes to `CheckResponse` bytes, without waiting.

The order, which is also the order of precedence:

 0. decode what the proxy says
 1. resource: which protected MCP server is this for?
 2. origin: may this browser origin talk to it? (preflights are answered here) Is it POST, GET or DELETE?
 3. credentials: exactly one bearer token
 4. token: remembered, or vouched for by the shared store, or verified with the issuer's keys (and introspected)
 5. body and operation: exactly one message that every server reads alike
 6. policy: may this principal do this?
 7. session: does the session id belong to this principal?
 8. answer

Each step can end the check. A caller without a valid token learns nothing about its body: where the body has to be
read before step 4 (the shared store is asked about token and operation together), what was found is kept back.

The procedure is a generator. When keys, a stored entry, an introspection or a binding are not at hand, it yields a
`Need` and is resumed with `Supplied`; with everything at hand it never yields. A shell only obtains what is needed;
no rule lives there.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from extauthz.pdp.access_token import SignedToken, TokenFault, UnverifiedToken, digest_of, inspect
from extauthz.pdp.caller import Caller
from extauthz.pdp.cors import is_preflight, origin_allowed
from extauthz.pdp.credentials import BadCredentials, Bearer, NoCredentials, bearer_credentials
from extauthz.pdp.decide import decide
from extauthz.pdp.decision import Decision, Deny, Indeterminate, Permit
from extauthz.pdp.mcp.read import read_operation
from extauthz.pdp.operation import Operation, RequestId, Unreadable
from extauthz.pdp.policy import Issuer, Resource
from extauthz.pdp.principal import VerifiedToken
from extauthz.pdp.reason import Reason
from extauthz.pdp.request import HttpRequest
from extauthz.pdp.verdict import Verdict, forward, preflight, refuse
from extauthz.service.authentication import TOO_LATE, Moment, authenticate, issuer_of, judge_claims
from extauthz.service.call import Call
from extauthz.service.checked import Checked
from extauthz.service.codec import NotACheckRequest, decode, encode
from extauthz.service.details import CacheUse
from extauthz.service.live import ENTRY_BYTES, Live, Surroundings
from extauthz.service.needs import Need, NeedStored, Supplied, Write
from extauthz.service.session_binding import SessionUse, owns_session
from extauthz.service.stored_decision import KIND as DECISION_KIND
from extauthz.service.stored_decision import decision_key, pack, vouched_until

METHODS: Final = frozenset({"POST", "GET", "DELETE"})

Steps: TypeAlias = Generator[Need, Supplied, Checked]

_NO_REQUEST: Final = HttpRequest(method="", scheme="", authority="", path="", headers={})


def check(data: bytes, call: Call, live: Live, around: Surroundings) -> Steps:
    """Decide one request. Yields what it lacks; returns the answer with all that observers may know."""
    return _Check(call, live, around).steps(data)


@dataclass(frozen=True, slots=True)
class _Authenticated:
    """A token that counts, until when it may be remembered, and the shared key under which others may learn of it.

    `decision` came along when the shared store vouched for the token.
    """

    token: VerifiedToken
    until: float
    shared_key: str | None = None
    decision: Permit | Deny | None = None


class _Check:
    """One run of the procedure: what has been found so far."""

    __slots__ = ("around", "caller", "decision_id", "live", "moment", "operation", "request", "resource", "writes")

    def __init__(self, call: Call, live: Live, around: Surroundings) -> None:
        self.live = live
        self.around = around
        self.moment = Moment(call.now_ns / 1e9, call.deadline)
        self.decision_id = around.new_id()
        self.request = _NO_REQUEST
        self.resource: Resource | None = None
        self.caller: Caller | None = None
        self.operation: Operation | Unreadable | None = None
        self.writes: tuple[Write, ...] = ()

    def steps(self, data: bytes) -> Steps:
        """The numbered steps of the module's docstring."""
        # 0
        try:
            request = self.request = decode(data)
        except NotACheckRequest as error:
            return self._refuse(Indeterminate(reason=Reason.INTERNAL_ERROR, detail=str(error)))

        # 1
        resource = self.live.index.find(request)
        if resource is None:
            return self._refuse(Deny(reason=Reason.RESOURCE_UNKNOWN, detail=_address(request)))
        self.resource = resource

        # 2
        if not origin_allowed(resource, request):
            return self._refuse(Deny(reason=Reason.ORIGIN_REFUSED, detail="not among the resource's `origins`"))
        if is_preflight(request):
            return self._checked(None, preflight(request, self.decision_id), CacheUse.NONE)
        if request.method not in METHODS or "upgrade" in request.headers:
            detail = "an Upgrade" if "upgrade" in request.headers else "neither POST, GET nor DELETE"
            return self._refuse(Deny(reason=Reason.HTTP_METHOD_REFUSED, detail=detail))

        # 3
        credentials = bearer_credentials(request)
        if isinstance(credentials, NoCredentials):
            return self._refuse(Deny(reason=Reason.TOKEN_MISSING))
        if isinstance(credentials, BadCredentials):
            return self._refuse(Deny(reason=Reason.CREDENTIALS_MALFORMED, detail=credentials.detail))

        # 4
        memory_key = (self.live.policy.revision, resource.name, digest_of(credentials.token))
        caller = self.around.memories.callers.get(memory_key, self.moment.now)
        found: _Authenticated | None = None
        if caller is None:
            outcome = yield from self._authenticate(credentials, resource)
            if not isinstance(outcome, _Authenticated):
                return self._refuse(outcome)
            found, caller = outcome, Caller.of(outcome.token, resource)
            self.around.memories.callers.put(memory_key, caller, found.until, ENTRY_BYTES + caller.size_bytes)
        self.caller = caller

        # 5
        operation = self._read()
        if isinstance(operation, Unreadable):
            return self._refuse(Deny(reason=operation.reason, detail=operation.detail))

        # 6
        if found is not None and found.decision is not None:
            decision, cache = found.decision, CacheUse.REDIS
        else:
            decision, cache = self._decide(memory_key, caller, operation, resource)
            if found is not None and found.shared_key is not None and decision.memorable:
                self._share(found.shared_key, decision, found.until)

        # 7
        use = SessionUse.of(resource, operation, caller.principal) if isinstance(decision, Permit) else None
        if use is not None:
            owned = yield from owns_session(use, self.around.memories.bindings, self.around.sealer, self.moment)
            if not owned:
                decision = Deny(reason=Reason.SESSION_UNKNOWN, detail="the session belongs to another principal")

        # 8
        if self.moment.too_late:
            return self._refuse(TOO_LATE)
        if isinstance(decision, Permit):
            return self._checked(decision, forward(resource, decision, caller, request, self.decision_id), cache)
        return self._refuse(decision, cache)

    def _authenticate(
        self, credentials: Bearer, resource: Resource
    ) -> Generator[Need, Supplied, _Authenticated | Deny | Indeterminate]:
        """Step 4 for a token that this process does not remember."""
        unverified = inspect(credentials.token)
        if isinstance(unverified, TokenFault):
            return Deny(reason=unverified.reason, detail=unverified.detail)
        issuer = issuer_of(unverified, resource)
        if issuer is None:
            return Deny(reason=Reason.TOKEN_ISSUER, detail="`iss` is none of the resource's issuers")
        key = self._shared_key(unverified, issuer, resource)
        if key is not None:
            vouched = yield from self._vouched(key, unverified, issuer, resource)
            if vouched is not None:
                return vouched
        verified = yield from authenticate(
            unverified,
            text=credentials.token,
            issuer=issuer,
            resource=resource,
            ring=self.around.ring,
            moment=self.moment,
        )
        if not isinstance(verified, VerifiedToken):
            return verified
        return _Authenticated(verified, self._until(verified), key)

    def _shared_key(self, token: UnverifiedToken, issuer: Issuer, resource: Resource) -> str | None:
        """The store's key for this token and operation; None when nothing is shared about it.

        Nobody asks the store about a token whose key id the issuer is known not to have: such tokens cost nothing to
        invent, and must not cost a round trip each.
        """
        operation = self._read()
        if self.around.sealer is None or isinstance(operation, Unreadable):
            return None
        keys = self.around.ring.held(issuer, self.moment.now)
        if keys is not None and not keys.knows(token.key_id):
            return None
        return decision_key(self.live.policy.revision, resource.name, token.digest, operation)

    def _vouched(
        self, key: str, token: UnverifiedToken, issuer: Issuer, resource: Resource
    ) -> Generator[Need, Supplied, _Authenticated | None]:
        """What the shared store has: an authentic statement that agrees with our own decision, or nothing."""
        supplied = yield NeedStored(key=key)
        self.moment.resumed(supplied)
        sealer, operation = self.around.sealer, self._read()
        if sealer is None or isinstance(operation, Unreadable) or not isinstance(supplied.answer, bytes):
            return None
        payload = sealer.open(DECISION_KIND, key, supplied.answer, self.moment.now)
        if payload is None:
            return None
        judged = judge_claims(SignedToken.vouched(token), issuer, resource, self.moment)
        if not isinstance(judged, VerifiedToken):
            return None
        decision = decide(resource, judged.principal, operation, self._values(operation))
        until = vouched_until(payload, decision)
        return None if until is None else _Authenticated(judged, until, decision=decision)

    def _share(self, key: str, decision: Permit | Deny, until: float) -> None:
        """Tell the other processes that the token is genuine, and what was decided."""
        ttl_s = int(until - self.moment.now)
        if self.around.sealer is not None and ttl_s > 0:
            entry = self.around.sealer.seal(DECISION_KIND, key, pack(decision, int(until)), int(until))
            self.writes = (*self.writes, Write(key=key, value=entry, ttl_s=ttl_s))

    def _decide(
        self, memory_key: tuple[str, str, bytes], caller: Caller, operation: Operation, resource: Resource
    ) -> tuple[Permit | Deny, CacheUse]:
        """Step 6, from memory where the same was decided before."""
        decisions = self.around.memories.decisions
        key = (*memory_key, operation.kind, operation.era, operation.method, operation.targets)
        remembered = decisions.get(key, self.moment.now)
        if remembered is not None:
            return remembered, CacheUse.MEMORY
        decision = decide(resource, caller.principal, operation, self._values(operation))
        if decision.memorable:
            size_bytes = ENTRY_BYTES + sum(len(target.name) for target in operation.targets)
            decisions.put(key, decision, self._until(caller.token), size_bytes)
        return decision, CacheUse.NONE

    def _until(self, token: VerifiedToken) -> float:
        """How long anything about this token may be remembered: its own life, and the policy's ceiling."""
        return min(float(token.expires_at), self.moment.now + self.live.policy.cache.max_ttl_s)

    def _read(self) -> Operation | Unreadable:
        """The operation, read once."""
        if self.operation is None:
            self.operation = read_operation(self.request)
        return self.operation

    def _values(self, operation: Operation) -> Mapping[str, str]:
        """What conditions read under `request.`."""
        request = self.request
        return {
            "host": request.authority,
            "path": request.path.partition("?")[0],
            "http_method": request.method,
            "method": operation.method,
            "protocol_version": operation.protocol_version,
        }

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
            policy=self.live.policy,
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
    if request.route_resource:
        return "the route names a resource that the policy does not have"
    return "no resource has this authority and path"
