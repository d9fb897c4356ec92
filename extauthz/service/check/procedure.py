"""One check, from `CheckRequest` bytes to `CheckResponse` bytes, without waiting.

The order, which is also the order of precedence:

 0. decode what the proxy says
 1. resource: which protected MCP server is this for?
 2. origin: may this browser origin talk to it? (preflights are answered here) Is it POST, GET or DELETE?
 3. credentials: exactly one bearer token
 4. token
    a. whom does it speak for? In memory, else looked up (`service.tokens.lookup`)
    b. it is not revoked, however it was found
 5. body and operation: exactly one message that every server reads alike
 6. policy: may this caller do this? In memory, else looked up (`service.check.decisions`)
 7. session: does the session id belong to this principal?
 8. answer

Each step can end the check, and none begins before the one above has passed: a caller without a valid token learns
nothing about its body, which has not even been read.

The procedure is a generator. When keys, a stored statement, an introspection or a binding are not at hand, it asks for
them (`service.asking`); with everything at hand it never does. Whoever drives it only obtains what it asks for; no rule
lives there.
"""

from typing import Final, TypeAlias

from extauthz.pdp.answer.caller import Caller
from extauthz.pdp.answer.cors import is_preflight, origin_allowed, origin_detail
from extauthz.pdp.decision.decision import Decision, Deny, Indeterminate, Permit
from extauthz.pdp.mcp.read import read_operation
from extauthz.pdp.operation import Unreadable
from extauthz.pdp.policy import LastEventId
from extauthz.pdp.quoting import quoted
from extauthz.pdp.reason import Reason
from extauthz.pdp.request import MAX_HEADERS, HttpRequest
from extauthz.pdp.token.credentials import BadCredentials, NoCredentials, bearer_credentials
from extauthz.service.asking import Asking, TooLateError
from extauthz.service.call import Call, Moment
from extauthz.service.check.active_policy import ActivePolicy, SharedState
from extauthz.service.check.answer import AnswerBuilder
from extauthz.service.check.checked import Checked
from extauthz.service.check.codec import NotACheckRequest, decode
from extauthz.service.check.decisions import DecisionQuestion, decision_key
from extauthz.service.details import CacheUse
from extauthz.service.needs import Write
from extauthz.service.sessions.session_binding import use_session
from extauthz.service.tokens.lookup import TokenQuestion, token_key

METHODS: Final = frozenset({"POST", "GET", "DELETE"})
TOO_LATE: Final = Indeterminate(
    reason=Reason.DEADLINE_EXCEEDED, detail="waiting for keys, store or issuer took too long"
)

Steps: TypeAlias = Asking[Checked]


def check(data: bytes, call: Call, active: ActivePolicy, shared_state: SharedState) -> Steps:
    """Decide one request; returns the answer with all that observers may know."""
    answer = AnswerBuilder(shared_state.new_id(), active.policy)
    try:
        return (yield from _steps(data, Moment(call.now_ns / 1e9, call.deadline), active, shared_state, answer))
    except TooLateError:
        return answer.refused(TOO_LATE)


def _steps(
    data: bytes, moment: Moment, active: ActivePolicy, shared_state: SharedState, answer: AnswerBuilder
) -> Steps:
    policy, caches = active.policy, shared_state.caches

    # 0 decode
    try:
        request = answer.request = decode(data)
    except NotACheckRequest as error:
        return answer.refused(Indeterminate(reason=Reason.INTERNAL_ERROR, detail=str(error)))

    # 1 resource
    resource = answer.resource = active.index.find(request)
    if resource is None:
        return answer.refused(Deny(reason=Reason.RESOURCE_UNKNOWN, detail=_not_found(request)))

    # 2 origin
    if not origin_allowed(resource, request):
        return answer.refused(Deny(reason=Reason.ORIGIN_REFUSED, detail=origin_detail(resource, request)))
    if is_preflight(request):
        return answer.preflight()
    if request.method not in METHODS or "upgrade" in request.headers:
        came = "an Upgrade" if "upgrade" in request.headers else f"the method {quoted(request.method)}"
        detail = f"{came}, expected POST, GET or DELETE: MCP has nothing else"
        return answer.refused(Deny(reason=Reason.HTTP_METHOD_REFUSED, detail=detail))

    # 3 credentials
    credentials = bearer_credentials(request)
    if isinstance(credentials, NoCredentials):
        return answer.refused(Deny(reason=Reason.TOKEN_MISSING, detail=credentials.detail))
    if isinstance(credentials, BadCredentials):
        return answer.refused(Deny(reason=Reason.CREDENTIALS_MALFORMED, detail=credentials.detail))

    # 4a token: whom does it speak for?
    token = token_key(policy, resource, credentials.token)
    caller = caches.callers.get(token, moment.now)
    token_from = CacheUse.NONE
    writes: tuple[Write, ...] = ()
    if caller is None:
        question = TokenQuestion(credentials.token, token, policy, resource, moment)
        found, token_from, writes = yield from shared_state.tokens.find(question)
        if not isinstance(found, Caller):
            answer.cache = token_from
            return answer.refused(found)
        caller = found
    # 4b revocation
    revocations = shared_state.revocations
    if moment.now >= revocations.look_from:
        refusal = revocations.refuse(caller.revocation_keys, caller.token.issued_at, policy.when_stale, moment.now)
        if refusal is not None:
            return answer.refused(refusal)
    answer.caller, answer.writes = caller, writes

    # 5 body and operation
    operation = answer.operation = read_operation(
        request,
        resource.header_only,
        own_path=resource.own_path,
        strips_last_event=resource.last_event_id is LastEventId.STRIP,
    )
    if isinstance(operation, Unreadable):
        yield from _bind(answer, moment, shared_state, permitted=False)
        return answer.refused(Deny(reason=operation.reason, detail=operation.detail))

    # 6 policy
    key = decision_key(token, operation)  # guard: decision-key
    decision = caches.decisions.get(key, moment.now)
    if decision is not None:
        answer.cache = CacheUse.MEMORY
    else:
        asked = DecisionQuestion(key, policy, resource, caller, operation, request, moment)
        decision, decision_from, more_writes = yield from shared_state.decisions.find(asked)
        answer.cache = token_from if decision_from is CacheUse.NONE else decision_from
        answer.writes += more_writes

    # 7 session: also what is refused binds it, since the id is the caller's
    refusal = yield from _bind(answer, moment, shared_state, permitted=isinstance(decision, Permit))
    final: Decision = decision if refusal is None or isinstance(decision, Deny) else refusal

    # 8 answer
    if moment.too_late:
        return answer.refused(TOO_LATE)
    if isinstance(final, Permit):  # guard: only-permit-forwards
        return answer.forwarded(final, caller, resource)
    return answer.refused(final)


def _bind(
    answer: AnswerBuilder, moment: Moment, shared_state: SharedState, *, permitted: bool
) -> Asking[Deny | Indeterminate | None]:
    """Why the session cannot be used; None where it can, or there is none."""
    use = answer.session_use(permitted=permitted)
    if use is None:
        return None
    lookups, signer = shared_state.session_lookups, shared_state.signer
    ruling = yield from use_session(use, shared_state.caches.bindings, lookups, signer, moment)
    answer.writes += ruling.writes
    return ruling.refusal


def _not_found(request: HttpRequest) -> str:
    if request.too_many_headers:
        return f"more than {MAX_HEADERS} header lines, so that nothing was read: send fewer"
    if request.route_resource:
        return "the route names a resource that the policy does not have"
    return "no resource has this authority and path"
