"""The three outcomes of a check, as values that cannot be confused (a denial is never falsy, nor an allow truthy)."""

from dataclasses import dataclass
from typing import TypeAlias

from extauthz.pdp.policy import Rule
from extauthz.pdp.principal import Principal
from extauthz.pdp.reason import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """The operation is permitted to the principal. `rule` is None when the baseline permits it."""

    principal: Principal
    rule: Rule | None
    cacheable: bool
    """Whether the decision depends on nothing but policy, resource, token, era, method and targets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deny:
    """The request is refused. `detail` is for the operator; `required` are the scopes that a challenge names."""

    reason: Reason
    detail: str = ""
    told: str = ""
    """What a caller with a valid token is told instead of the reason's own sentence."""
    rule: Rule | None = None
    required: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    cacheable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Indeterminate:
    """It could not be decided; the proxy refuses with 503. Never remembered."""

    reason: Reason
    detail: str = ""
    told: str = ""
    """What a caller with a valid token is told instead of the reason's own sentence."""


Decision: TypeAlias = Permit | Deny | Indeterminate
