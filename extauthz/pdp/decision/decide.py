"""Policy: may this principal do this operation on this resource? Total, deterministic, default deny.

For each target of the operation (most have one or none):

1. A matching deny rule refuses: `policy_denied`. Its condition counts when it holds *or cannot be evaluated*.
2. The allow rules that match, and the baseline where the method needs no more, are alternatives. None: an operation
   that MCP or the policy knows is `operation_uncovered`, any other `method_unknown`.
3. One alternative must be met whole: its condition holds, and all its scopes are held (`includes` honoured).
4. None met: where a condition holds and only scopes are missing, `scope_insufficient` with all scopes of the
   alternative that misses fewest (the first on a tie). Otherwise `policy_denied`: no new token would help.

A resource URI is compared in every form in which a server can take it (`uri.uri_forms`): a deny rule matches when one
form does, an allow rule when all do; the same holds for what conditions read as `request.target`.

Several targets are permitted when each is; a refusal that no token can mend is told before one that a token can.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from extauthz.pdp.decision.decision import Deny, Permit
from extauthz.pdp.operation import MessageKind, Operation, Target, TargetKind
from extauthz.pdp.policy import Effect, Resource, Rule, Truth
from extauthz.pdp.principal import Principal
from extauthz.pdp.reason import Reason
from extauthz.pdp.uri.uri_forms import UriForms, forms_of, readings_of
from extauthz.pdp.uri.uri_pattern import UriPatterns

# The one field of `request.*` that depends on the target. A condition that reads it has the word in its text.
_TARGET_FIELD: Final = "target"


def granted_scopes(resource: Resource, principal: Principal) -> frozenset[str]:
    """All scopes of the resource that the principal's scopes amount to (MCP 2026-07-28, authorization: hierarchies)."""
    closure = resource.closure
    held: set[str] = set()
    for scope in principal.scopes:
        held |= closure.get(scope, frozenset())
    return frozenset(held)


def decide(resource: Resource, principal: Principal, operation: Operation, request: Mapping[str, Any]) -> Permit | Deny:
    """Judge one operation. `request` are the values that conditions read under `request.`, but `target`."""
    judge = _Judge(resource, principal, operation, request, granted_scopes(resource, principal))
    targets: tuple[Target | None, ...] = operation.targets or (None,)
    if len(targets) == 1:
        return judge.target(targets[0])
    return _all_of([judge.target(target) for target in targets])


def reads_beyond_identity(resource: Resource, operation: Operation) -> bool:
    """Whether a condition that reads arguments or `request.*` may take part in the decision on this operation."""
    targets: tuple[Target | None, ...] = operation.targets or (None,)
    return any(
        rule.when is not None
        and rule.when.reads_beyond_identity
        and any(_matches(rule, operation.method, target, _forms(target)) for target in targets)
        for rule in resource.rules
    )


def _all_of(decisions: list[Permit | Deny]) -> Permit | Deny:
    """Permitted when each is."""
    denials = [decision for decision in decisions if isinstance(decision, Deny)]
    cacheable = all(decision.cacheable for decision in decisions)
    for denial in denials:
        if denial.reason is not Reason.SCOPE_INSUFFICIENT:
            # Which of several refusals is told depends on all of them.
            return replace(denial, cacheable=cacheable)
    if denials:
        return Deny(
            reason=Reason.SCOPE_INSUFFICIENT,
            detail=denials[0].detail,
            rule=denials[0].rule,
            required=_in_order(scope for denial in denials for scope in denial.required),
            missing=_in_order(scope for denial in denials for scope in denial.missing),
            cacheable=cacheable,
        )
    permit = decisions[0]
    assert isinstance(permit, Permit)  # noqa: S101 - no denial, at least one decision
    return Permit(principal=permit.principal, rule=permit.rule, cacheable=cacheable)


def _in_order(scopes: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(scopes))


@dataclass(slots=True)
class _Judge:
    resource: Resource
    principal: Principal
    operation: Operation
    request: Mapping[str, Any]
    granted: frozenset[str]
    cacheable: bool = True

    def target(self, target: Target | None) -> Permit | Deny:
        self.cacheable = True
        if self.operation.kind is MessageKind.RESPONSE and not self.resource.responses:
            return self._deny(Reason.OPERATION_UNCOVERED, "the resource has `responses: deny`", None)
        forms = _forms(target)
        matching = [rule for rule in self.resource.rules if _matches(rule, self.operation.method, target, forms)]
        for rule in matching:
            if rule.effect is Effect.DENY and self._condition(rule, target) is not Truth.FALSE:
                return self._deny(Reason.POLICY_DENIED, f"denied by the rule on line {rule.line}", rule)
        allowing: list[Rule | None] = [rule for rule in matching if rule.effect is Effect.ALLOW]
        if self.operation.baseline:
            allowing.insert(0, None)
        if not allowing:
            return self._uncovered(matching)
        return self._first_met(allowing, target)

    def _first_met(self, alternatives: list[Rule | None], target: Target | None) -> Permit | Deny:
        nearest: tuple[Rule | None, tuple[str, ...], tuple[str, ...]] | None = None
        for rule in alternatives:
            if rule is not None and self._condition(rule, target) is not Truth.TRUE:
                continue
            scopes = self.resource.baseline if rule is None else rule.scopes
            missing = tuple(scope for scope in scopes if scope not in self.granted)
            if not missing:
                return Permit(principal=self.principal, rule=rule, cacheable=self.cacheable)
            if nearest is None or len(missing) < len(nearest[2]):
                nearest = (rule, scopes, missing)
        if nearest is None:
            return self._deny(Reason.POLICY_DENIED, "no matching rule has a condition that holds", None)
        rule, required, missing = nearest
        return Deny(
            reason=Reason.SCOPE_INSUFFICIENT,
            detail="missing " + " ".join(missing) + self._unread(),
            rule=rule,
            required=required,
            missing=missing,
            cacheable=self.cacheable,
        )

    def _unread(self) -> str:
        claim = self.principal.unread_scopes
        return f" (the token has scopes in `{claim}`, which the issuer's `profile` does not read)" if claim else ""

    def _uncovered(self, matching: list[Rule]) -> Deny:
        method = self.operation.method
        if not matching and self.operation.kind in (MessageKind.STREAM, MessageKind.END):
            detail = f"the baseline covers {method} only at the resource's own path, and no rule covers it elsewhere"
            return self._deny(Reason.OPERATION_UNCOVERED, detail, None)
        if matching or self.operation.known or any(rule.methods.matches(method) for rule in self.resource.rules):
            return self._deny(Reason.OPERATION_UNCOVERED, "no rule covers this operation", None)
        return self._deny(Reason.METHOD_UNKNOWN, "neither an MCP revision nor the policy knows this method", None)

    def _deny(self, reason: Reason, detail: str, rule: Rule | None) -> Deny:
        return Deny(reason=reason, detail=detail, rule=rule, cacheable=self.cacheable)

    def _condition(self, rule: Rule, target: Target | None) -> Truth:
        if rule.when is None:
            return Truth.TRUE
        if rule.when.reads_beyond_identity:
            self.cacheable = False  # guard: arguments-not-cached
        if rule.when.reads_arguments and not self.operation.arguments_exact:
            return Truth.UNKNOWN
        names: tuple[str, ...] = ("",) if target is None else (target.name,)
        if target is not None and target.kind is TargetKind.RESOURCE and _TARGET_FIELD in rule.when.text:
            names = readings_of(target.name)
            if rule.effect is Effect.DENY:
                names = tuple(dict.fromkeys((*names, *forms_of(target.name).names)))
        truth = Truth.UNKNOWN
        against = Truth.TRUE if rule.effect is Effect.DENY else Truth.FALSE
        for name in names:
            truth = rule.when.evaluate(self.principal, self.operation, {**self.request, _TARGET_FIELD: name})
            if truth in (against, Truth.UNKNOWN):
                break
        return truth


def _forms(target: Target | None) -> UriForms | None:
    return forms_of(target.name) if target is not None and target.kind is TargetKind.RESOURCE else None


def _matches(rule: Rule, method: str, target: Target | None, forms: UriForms | None) -> bool:
    if not rule.methods.matches(method):
        return False
    if not rule.targets:
        return True
    if target is None:
        return False
    patterns = rule.targets.get(target.kind)
    if isinstance(patterns, UriPatterns) and forms is not None:
        return patterns.denies(forms) if rule.effect is Effect.DENY else patterns.permits(forms)
    return patterns is not None and patterns.matches(target.name)
