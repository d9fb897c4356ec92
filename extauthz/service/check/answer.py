"""What a check has found so far, and the answer that can be made of it at any step."""

from collections.abc import Mapping
from typing import Final

from extauthz.pdp.answer.caller import Caller
from extauthz.pdp.answer.verdict import Verdict, forward, preflight, refuse
from extauthz.pdp.decision.decision import Decision, Deny, Indeterminate, Permit
from extauthz.pdp.operation import Operation, RequestId, Unreadable
from extauthz.pdp.policy import Policy, Resource
from extauthz.pdp.reason import Reason
from extauthz.pdp.request import HttpRequest
from extauthz.service.check.checked import Checked
from extauthz.service.check.codec import encode
from extauthz.service.details import CacheUse
from extauthz.service.needs import Write
from extauthz.service.sessions.session_use import SessionUse

_NO_REQUEST: Final = HttpRequest(method="", scheme="", authority="", path="", headers={})


class AnswerBuilder:
    """Filled in by the steps. `caller` is set once its token is accepted, and nothing of the body is told before."""

    __slots__ = ("_decision_id", "_policy", "cache", "caller", "operation", "request", "resource", "writes")

    def __init__(self, decision_id: str, policy: Policy) -> None:
        self._decision_id = decision_id
        self._policy = policy
        self.request = _NO_REQUEST
        self.resource: Resource | None = None
        self.caller: Caller | None = None
        self.operation: Operation | Unreadable | None = None
        self.writes: tuple[Write, ...] = ()
        self.cache = CacheUse.NONE

    def session_use(self, *, permitted: bool) -> SessionUse | None:
        """The use of a session that the request is; None where nothing has to be bound."""
        if self.resource is None or self.caller is None or self.operation is None:
            return None
        return SessionUse.of(self.resource, self.request, self.operation, self.caller.principal, permitted=permitted)

    def refused(self, decision: Deny | Indeterminate) -> Checked:
        """The request is not let through."""
        verdict = refuse(
            decision,
            request=self.request,
            decision_id=self._decision_id,
            resource=self.resource,
            operation=self.operation if isinstance(self.operation, Operation) else None,
            request_id=self._request_id(),
            principal=None if self.caller is None else self.caller.principal,
        )
        return self._checked(decision, decision.reason, verdict)

    def preflight(self) -> Checked:
        """A CORS preflight of an allowed origin is answered."""
        return self._checked(None, Reason.PREFLIGHT, preflight(self.request, self._decision_id))

    def forwarded(self, permit: Permit, caller: Caller, resource: Resource) -> Checked:
        """The request passes, with the verified identity."""
        verdict = forward(resource, permit, caller, self.request, self._decision_id)
        return self._checked(permit, Reason.ALLOWED, verdict)

    def _request_id(self) -> RequestId:
        return None if self.caller is None or self.operation is None else self.operation.request_id

    def _checked(self, decision: Decision | None, reason: Reason, verdict: Verdict) -> Checked:
        caller = self.caller
        operation = None if caller is None else self.operation
        return Checked(
            response=encode(verdict, self._metadata(reason, operation)),
            decision_id=self._decision_id,
            decision=decision,
            reason=reason,
            verdict=verdict,
            policy=self._policy,
            resource=self.resource,
            operation=operation,
            principal=None if caller is None else caller.principal,
            cache=self.cache,
            writes=self.writes,
        )

    def _metadata(self, reason: Reason, operation: Operation | Unreadable | None) -> Mapping[str, str]:
        """Dynamic metadata for the proxy's access log: short, and nothing that identifies a person in clear."""
        metadata = {"decision_id": self._decision_id, "reason": reason, "cache": self.cache}
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
