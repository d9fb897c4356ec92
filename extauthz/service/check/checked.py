"""The result of a check: the bytes for the proxy, and the facts for observers."""

from typing import NamedTuple

from extauthz.pdp.answer.verdict import Reply, Verdict
from extauthz.pdp.decision.decision import Decision, Deny, Permit
from extauthz.pdp.operation import Operation, Unreadable
from extauthz.pdp.policy import Policy, Resource
from extauthz.pdp.principal import Principal
from extauthz.pdp.reason import Reason, outcome_of
from extauthz.service.call import Call
from extauthz.service.details import MAX_TOLD_CHARS, CacheUse, CheckDetails, Wait, told, told_targets
from extauthz.service.needs import Write


class Checked(NamedTuple):
    """One finished check. A named tuple, as `Operation` is: one is made for every check."""

    response: bytes
    decision_id: str
    decision: Decision | None
    """None for an answered preflight."""
    reason: Reason
    verdict: Verdict
    policy: Policy
    resource: Resource | None
    operation: Operation | Unreadable | None
    principal: Principal | None
    cache: CacheUse
    writes: tuple[Write, ...] = ()

    def __repr__(self) -> str:
        """Only what cannot hold a secret."""
        return f"Checked({self.decision_id} {self.reason})"

    @property
    def status(self) -> int:
        """HTTP status of the answer; 0 when the request is forwarded."""
        return self.verdict.status if isinstance(self.verdict, Reply) else 0

    @property
    def rule(self) -> str:
        """`<file>:<line>` of the rule that decided, `baseline`, or empty."""
        decision = self.decision
        if isinstance(decision, Permit | Deny) and decision.rule is not None:
            return f"{self.policy.source}:{decision.rule.line}"
        return "baseline" if isinstance(decision, Permit) else ""

    def details(self, call: Call, ended_ns: int, waits: tuple[Wait, ...] = ()) -> CheckDetails:
        """What observers learn."""
        decision, operation = self.decision, self.operation
        read = operation if isinstance(operation, Operation) else None
        targets = () if read is None else told_targets(read.targets)
        request_id = None if operation is None else operation.request_id
        return CheckDetails(
            decision_id=self.decision_id,
            outcome=outcome_of(self.reason),
            reason=self.reason,
            detail="" if decision is None or isinstance(decision, Permit) else told(decision.detail),
            status=self.status,
            resource="" if self.resource is None else self.resource.name,
            method="" if operation is None else told(operation.method),
            targets=targets,
            shortened=read is not None and targets is not read.targets,
            protocol_version="" if read is None else told(read.protocol_version),
            request_id=told(request_id) if isinstance(request_id, str) else request_id,
            principal=self.principal,
            rule=self.rule,
            policy_revision=self.policy.revision,
            cache=self.cache,
            missing_scopes=decision.missing if isinstance(decision, Deny) else (),
            traceparent=told(call.traceparent),
            tracestate="" if len(call.tracestate) > MAX_TOLD_CHARS else call.tracestate,
            started_ns=call.now_ns,
            ended_ns=ended_ns,
            waits=waits,
            header_only=False if read is None else read.header_only,
        )
