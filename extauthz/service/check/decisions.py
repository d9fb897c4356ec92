"""Step 6 of a check: may this caller do this? Looked up in memory, then in the shared store, then decided.

 a. in memory
 b. in the shared store, where `cache.shared` has decisions shared
 c. decided by the policy

Keys hold everything that a decision reads: policy, resource, token, and of the operation what `decide` looks at. A
decision that read arguments or `request.*` is cached nowhere, and where a matching rule may read them the store is not
even asked.

A permit is stated by the index of its rule: what that permits, and to whom, the reader knows from its own policy and
from the token that it has found valid itself. A refusal is stated by its reason alone, since scopes do not belong in
the store: its reader works out which are missing. The version of the program is part of the key, so that a release
which decides otherwise never goes by what an older one decided.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from extauthz import __version__
from extauthz.pdp.answer.caller import Caller
from extauthz.pdp.decision.decide import decide, reads_beyond_identity
from extauthz.pdp.decision.decision import Deny, Permit
from extauthz.pdp.decision.request_values import request_values
from extauthz.pdp.operation import Operation, Target
from extauthz.pdp.policy import Effect, Policy, Resource
from extauthz.pdp.reason import Outcome
from extauthz.pdp.request import HttpRequest
from extauthz.service.asking import Asking
from extauthz.service.cache.bounded_cache import ENTRY_BYTES, BoundedCache
from extauthz.service.cache.keyed_lock import KeyedLock
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.cache.sizes import targets_bytes
from extauthz.service.cache.statement import Statement, Word, find_statement, leave_statement, store_key
from extauthz.service.call import Moment
from extauthz.service.details import CacheUse
from extauthz.service.needs import Write
from extauthz.service.tokens.lookup import cache_until
from extauthz.service.tokens.stored_token import TokenKey

KIND: Final = "decision"
BASELINE: Final = -1
"""Stands for the index of a rule where the baseline permits."""

DecisionKey: TypeAlias = tuple[str, str, bytes, str, str, bool, bool, str, tuple[Target, ...]]


def decision_key(token: TokenKey, operation: Operation) -> DecisionKey:
    """Everything that a cacheable decision reads: the token at its resource, and what of the operation is not free."""
    return (
        *token,
        operation.kind,
        operation.era,
        operation.known,
        operation.baseline,
        operation.method,  # guard: decision-key-method
        operation.targets,  # guard: decision-key-targets
    )


def stored_decision_key(key: DecisionKey) -> str:
    """The store's key of a decision: the same parts, and the version of the program that decides."""
    *parts, targets = key
    # guard: stored-decision-key-targets - in their order
    names = (part for target in targets for part in (target.kind, target.name))
    texts = (part if isinstance(part, bytes) else str(part) for part in parts)
    return store_key(KIND, __version__, *texts, *names)


class DecisionOutcome(NamedTuple):
    """What was decided, where that was found, and what to tell the other processes."""

    decision: Permit | Deny
    cache: CacheUse = CacheUse.NONE
    writes: tuple[Write, ...] = ()


class DecisionQuestion(NamedTuple):
    """May this caller do this operation at this resource? `request` is what conditions read under `request.`."""

    key: DecisionKey
    policy: Policy
    resource: Resource
    caller: Caller
    operation: Operation
    request: HttpRequest
    moment: Moment

    def __repr__(self) -> str:
        """Without what the request holds."""
        return f"DecisionQuestion({self.resource.name}, {self.operation})"


class DecisionLookup(NamedTuple):
    """What one process has for finding decisions."""

    decisions: BoundedCache[Permit | Deny]
    locks: KeyedLock
    signer: Signer | None
    soon: Callable[[float, float], float]

    def find(self, question: DecisionQuestion) -> Asking[DecisionOutcome]:
        """b and c, for a decision that is not in memory."""
        signer = self.signer
        if signer is None or not _is_shared(question):
            # To decide costs less than to wait for another check that does.
            return self._decided(question)
        return (
            yield from self.locks.find(
                question.key, question.moment, lambda: self._cached(question), lambda: self._find_out(question, signer)
            )
        )

    def _cached(self, question: DecisionQuestion) -> DecisionOutcome | None:
        decision = self.decisions.get(question.key, question.moment.now)
        return None if decision is None else DecisionOutcome(decision, CacheUse.MEMORY)

    def _find_out(self, question: DecisionQuestion, signer: Signer) -> Asking[DecisionOutcome]:
        key, moment = stored_decision_key(question.key), question.moment
        statement = yield from find_statement(key, signer, moment)
        found: Permit | Deny | None = None
        if statement is not None:
            found = permit_of(statement, question.resource, question.caller) or _denial_of(statement, question)
        if statement is None or found is None:
            return self._decided(question, key, signer)
        # No later than the statement says: the ceiling counts from the decision.
        self._keep(question, found, min(self._until(question), self.soon(statement.until, moment.now)))
        return DecisionOutcome(found, CacheUse.REDIS)

    def _decided(self, question: DecisionQuestion, key: str = "", signer: Signer | None = None) -> DecisionOutcome:
        """c. With a signer, the decision is left in the store."""
        decision = _decide(question)
        if not decision.cacheable:
            return DecisionOutcome(decision)
        until = self._until(question)
        self._keep(question, decision, until)
        if signer is None:
            return DecisionOutcome(decision)
        now = question.moment.now
        return DecisionOutcome(decision, writes=leave_statement(key, words_of(decision), until, signer, now))

    def _until(self, question: DecisionQuestion) -> float:
        return cache_until(question.caller.token, question.policy, question.moment.now, self.soon)

    def _keep(self, question: DecisionQuestion, decision: Permit | Deny, until: float) -> None:
        size_bytes = ENTRY_BYTES + targets_bytes(question.operation.targets)
        self.decisions.put(question.key, decision, until, size_bytes, now=question.moment.now)


def words_of(decision: Permit | Deny) -> tuple[Word, ...]:
    """What the store is told: that it is a permit, in so many words, and its rule; or a refusal, and its reason."""
    if isinstance(decision, Deny):
        return (Outcome.DENY, decision.reason)
    return (Outcome.ALLOW, BASELINE if decision.rule is None else decision.rule.index)


def permit_of(statement: Statement, resource: Resource, caller: Caller) -> Permit | None:
    """The permit that an authentic statement says; None where it says none that this policy can give."""
    if statement.words[:1] != (Outcome.ALLOW,):  # guard: stored-permit
        return None
    match statement.words[1:]:
        case (int() as index,) if type(index) is int:
            pass
        case _:
            return None
    if index == BASELINE:
        return Permit(principal=caller.principal, rule=None, cacheable=True)
    rule = resource.rules[index] if 0 <= index < len(resource.rules) else None
    if rule is None or rule.effect is not Effect.ALLOW:
        return None
    return Permit(principal=caller.principal, rule=rule, cacheable=True)


def _denial_of(statement: Statement, question: DecisionQuestion) -> Deny | None:
    """The refusal that an authentic statement says, with the scopes that the reader's own policy asks for.

    None where the reader itself would decide otherwise: a statement never refuses what the policy permits.
    """
    if statement.words[:1] != (Outcome.DENY,):
        return None
    own = _decide(question)
    return own if isinstance(own, Deny) and statement.words[1:] == (own.reason,) else None


def _decide(question: DecisionQuestion) -> Permit | Deny:
    resource, operation = question.resource, question.operation
    values = request_values(question.request, operation, resource)
    return decide(resource, question.caller.principal, operation, values)


def _is_shared(question: DecisionQuestion) -> bool:
    return question.policy.cache.shares_decisions and not reads_beyond_identity(question.resource, question.operation)
