"""What is wrong with the rules of a resource taken together: rules that can never make a difference.

An allow rule that is denied altogether, a target list that fits none of its rule's methods, and a rule that stands
twice are faults: each says something that the policy does not do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from extauthz.config.policy_file.fault import Path, Report
from extauthz.config.policy_file.policy_schema import RuleShape
from extauthz.config.policy_file.reach import TARGET_KEYS, Reach, applicable
from extauthz.pdp.operation import TargetKind
from extauthz.pdp.quoting import quoted
from extauthz.pdp.uri.uri_pattern import MAX_ORDERED_PARAMETERS, has_unordered_parameters, pattern_fault


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDraft:
    """A rule on its way from the file to the policy. `scopes` are the effective ones."""

    path: Path
    line: int
    shape: RuleShape
    reach: Reach
    scopes: tuple[str, ...]

    @property
    def allows(self) -> bool:
        """Whether it is an allow rule."""
        return self.shape.effect == "allow"

    @property
    def unconditional(self) -> bool:
        """Whether it has no `when`."""
        return self.shape.when == ""


_KEYS: Final[Mapping[TargetKind, str]] = {kind: key for key, kind in TARGET_KEYS.items()}


def targets_of(shape: RuleShape) -> dict[TargetKind, Sequence[str]]:
    """The target lists that a rule has."""
    lists = ((TARGET_KEYS[key], getattr(shape, key)) for key in TARGET_KEYS)
    return {kind: texts for kind, texts in lists if texts}


def check_rules(rules: Sequence[RuleDraft], report: Report) -> None:
    """Report every rule, or part of one, that can never make a difference."""
    for rule in rules:
        _check_targets(rule, report)
        _check_uris(rule, report)
    sound = [rule for rule in rules if not report.holds_broken(rule.path)]
    _check_duplicates(sound, report)
    denials = [rule for rule in sound if not rule.allows and rule.unconditional]
    for rule in sound:
        if rule.allows and rule.reach.atoms:
            _check_denied(rule, denials, report)


def _check_targets(rule: RuleDraft, report: Report) -> None:
    targets = rule.reach.targets
    if not targets or report.holds_broken((*rule.path, "methods")):
        return
    used = frozenset(kind for method in rule.reach.methods for kind in applicable(method, targets))
    for kind in targets:
        if kind not in used:
            key = _KEYS[kind]
            named = ", ".join(rule.reach.methods)
            message = f"the rule never applies: no operation with method {named} names one of {key}"
            if used:
                message = f"the list {key} never applies: no operation with method {named} names one of them"
            hint = f"list the methods that {key} are for, or remove the list"
            report.fault((*rule.path, key), message, hint, on_key=True)


def _check_uris(rule: RuleDraft, report: Report) -> None:
    """URIs that are refused before any rule is asked: a deny rule for one would deny nothing, however it looks."""
    for index, text in enumerate(rule.shape.uris):
        path: Path = (*rule.path, "uris", index)
        if not report.is_broken(path) and (fault := pattern_fault(text)):
            message, _, hint = fault.partition(": ")
            report.fault(path, f"{quoted(text)} matches nothing: {message}", hint)
        elif not rule.allows and has_unordered_parameters(text):
            message = f"{quoted(text)} names more than {MAX_ORDERED_PARAMETERS} parameters: another order passes it"
            report.fault(path, message, "deny by fewer parameters")


def _check_duplicates(rules: Sequence[RuleDraft], report: Report) -> None:
    seen: dict[object, RuleDraft] = {}
    for rule in rules:
        targets = frozenset((kind, frozenset(texts)) for kind, texts in rule.reach.targets.items())
        methods, scopes = frozenset(rule.reach.methods), frozenset(rule.scopes)
        key = (rule.shape.effect, methods, targets, scopes, rule.shape.when)
        first = seen.setdefault(key, rule)
        if first is not rule:
            report.fault(rule.path, f"the rule says the same as the one in line {first.line}", "remove one of the two")


def _check_denied(rule: RuleDraft, denials: Sequence[RuleDraft], report: Report) -> None:
    denying: set[int] = set()
    for atom in rule.reach.atoms:
        by = next((denial for denial in denials if denial.reach.covers_atom(atom)), None)
        if by is None:
            return
        denying.add(by.line)
    lines = ", ".join(map(str, sorted(denying)))
    message = f"the rule can never allow anything: all of it is denied in line {lines}"
    report.fault(rule.path, message, "remove it, or narrow the deny rule")
