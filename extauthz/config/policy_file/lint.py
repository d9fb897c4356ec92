"""Advice on a policy that works: what probably was not meant, or permits more than it should.

Each piece of advice is a warning of `extauthz check`; with `--strict` it fails the check.
"""

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from extauthz.config.policy_file.fault import Path, Report
from extauthz.config.policy_file.policy_schema import IssuerShape, PolicyShape, ResourceShape
from extauthz.config.policy_file.reach import KNOWN_METHODS, TARGET_KEYS, applicable, is_everything, matched_methods
from extauthz.config.policy_file.rule_check import RuleDraft
from extauthz.pdp.answer.metadata import REFRESH_SCOPE
from extauthz.pdp.mcp.header_only import SETTLED_METHODS, settled_methods
from extauthz.pdp.mcp.methods import METHODS
from extauthz.pdp.operation import TargetKind
from extauthz.pdp.policy import Rule
from extauthz.pdp.quoting import quoted
from extauthz.pdp.token.key_scope import KeyScope, key_scope

# Signs of regular expressions and shell patterns; tool and prompt names have none of them (MCP 2026-07-28, tools).
_OTHER_PATTERN_SIGNS: Final = frozenset("?[](){}|^$+\\")
# Methods whose message can name things, so that the baseline permits only some of them.
_PARTLY_BASELINE: Final = frozenset({"subscriptions/listen"})
# Organizations that one warning names.
MAX_NAMED: Final = 3


def advise(policy: PolicyShape, report: Report) -> None:
    """Advice on issuers, and on how resources use them."""
    used = {name for resource in policy.resources.values() for name in resource.issuers}
    uris = {resource.uri: name for name, resource in policy.resources.items()}
    for name, issuer in policy.issuers.items():
        _advise_issuer(("issuers", name), issuer, report, used=name in used)
    if policy.unsafe_allow_http:
        _advise_http(("unsafe_allow_http",), report)
    located = [name for name, resource in policy.resources.items() if resource.session_binding and resource.upstream]
    for name, resource in policy.resources.items():
        path: Path = ("resources", name)
        _advise_resource(path, resource, report)
        if located and resource.session_binding and not resource.upstream:
            message = (
                f"resource {name} has no upstream: if its server is that of {located[0]}, one session has two owners"
            )
            report.advise(path, message, "add upstream, by which session ids are bound", on_key=True)
        for index, audience in enumerate(resource.audiences):
            if uris.get(audience, name) != name:
                message = f"{quoted(audience)} is the resource {uris[audience]}: its tokens would be accepted here"
                report.advise((*path, "audiences", index), message, "remove it: each server has tokens of its own")
        open_issuers = [
            issuer
            for issuer in resource.issuers
            if issuer in policy.issuers and _any_client_of_casdoor(policy.issuers[issuer])
        ]
        if resource.audiences and open_issuers:
            message = f"any signed-in user of {open_issuers[0]} can get a token with a client id as audience"
            report.advise((*path, "audiences"), message, f"list `clients` at issuer {open_issuers[0]}", on_key=True)
        if open_issuers:
            _advise_self_service(path, resource, open_issuers[0], report)


def _advise_self_service(path: Path, resource: ResourceShape, issuer: str, report: Report) -> None:
    """Casdoor grants whatever scopes a client asks for (casdoor.md §6.4): alone they are no permission."""
    alone = [
        index
        for index, rule in enumerate(resource.rules)
        if rule.effect == "allow" and not rule.when and not set(rule.scopes) <= set(resource.baseline)
    ]
    if alone:
        more = f" (and {len(alone) - 1} more rules)" if len(alone) > 1 else ""
        scopes = " ".join(resource.rules[alone[0]].scopes)
        message = (
            f"nothing but the scope {quoted(scopes)} is asked for{more}, and every client of {issuer} can ask for it"
        )
        hint = f"list `clients` at issuer {issuer}, or add a `when` about the principal"
        report.advise((*path, "rules", alone[0], "scopes"), message, hint, on_key=True)


def _any_client_of_casdoor(issuer: IssuerShape) -> bool:
    return issuer.profile == "casdoor" and not issuer.clients


def _advise_http(path: Path, report: Report) -> None:
    report.advise(path, "plain http to other machines is accepted", "use https and remove the key", on_key=True)


def _advise_issuer(path: Path, issuer: IssuerShape, report: Report, *, used: bool) -> None:
    name = path[-1]
    if not used:
        report.advise(path, f"no resource uses the issuer {name}", "name it in a resource, or remove it", on_key=True)
    if issuer.profile == "casdoor" and not issuer.organizations:
        message = f"issuer {name} takes tokens of every organization of the Casdoor instance"
        report.advise(path, message, "list `organizations`", on_key=True)
    _advise_keys(path, issuer, report)
    if issuer.unsafe_allow_http:
        _advise_http((*path, "unsafe_allow_http"), report)


def _advise_keys(path: Path, issuer: IssuerShape, report: Report) -> None:
    """Whether other tenants of the Casdoor instance can sign for this issuer, without that being accepted in words."""
    if issuer.shared_keys or not issuer.organizations:
        return
    if key_scope(issuer.profile, issuer.jwks_uri) is not KeyScope.INSTANCE:
        return
    found = (
        f"jwks_uri {quoted(issuer.jwks_uri)} is not one application's own key set"
        if issuer.jwks_uri
        else f"issuer {path[-1]} has no jwks_uri, and discovery names the key set of the whole Casdoor instance"
    )
    listed = ", ".join(map(quoted, issuer.organizations[:MAX_NAMED]))
    listed += ", …" if len(issuer.organizations) > MAX_NAMED else ""
    message = f"{found}: an admin of any organization can add a key there and sign tokens of {listed}"
    own = f"{issuer.issuer.rstrip('/')}/.well-known/<application>/jwks"
    hint = f"set jwks_uri to {own}, or accept it with shared_keys: true"
    at = (*path, "jwks_uri") if issuer.jwks_uri else path
    report.advise(at, message, hint, on_key=not issuer.jwks_uri)


def _advise_resource(path: Path, resource: ResourceShape, report: Report) -> None:
    if "baseline" not in resource.model_fields_set:
        message = f"resource {path[-1]} has no baseline: any valid token opens sessions and lists what there is"
        report.advise(path, message, "add baseline with a scope, or [] if that is meant", on_key=True)
    if "/" not in resource.uri.partition("://")[2]:
        message = "the resource has no path: clients differ on the trailing slash of such a URI"
        report.advise((*path, "uri"), message, "publish it with a path, as in https://host/mcp")
    if resource.upstream_headers.forward_token:
        message = "the client's token goes to the MCP server, which can use it at the issuer's own API"
        hint = "leave it off unless the server checks tokens itself"
        report.advise((*path, "upstream_headers", "forward_token"), message, hint, on_key=True)
    if resource.last_event_id == "strip":
        message = "a client that resumes a stream without a session id gets a new one, and misses what it asked for"
        hint = "leave it off unless clients of a server without sessions send Last-Event-ID"
        report.advise((*path, "last_event_id"), message, hint, on_key=True)
    if resource.unsafe_allow_http:
        _advise_http((*path, "unsafe_allow_http"), report)
    named = {scope for shape in resource.scopes.values() for scope in shape.includes} | set(resource.baseline)
    named |= {scope for rule in resource.rules for scope in rule.scopes}
    for scope in resource.scopes:
        at = (*path, "scopes", scope)
        if scope == REFRESH_SCOPE:
            message = f"{REFRESH_SCOPE} is between client and authorization server; a resource must not ask for it"
            report.advise(at, message, "remove it", on_key=True)
        elif scope not in named:
            report.advise(at, f"nothing needs the scope {quoted(scope)}", "use it in a rule, or remove it", on_key=True)


def advise_rules(
    rules: Sequence[RuleDraft], baseline: Sequence[str], closure: Mapping[str, Collection[str]], report: Report
) -> None:
    """Advice on the rules of one resource."""
    for rule in rules:
        _advise_names(rule, report)
    sound = [rule for rule in rules if not report.holds_broken(rule.path) and rule.reach.atoms]
    held = [frozenset(scope for holder in rule.scopes for scope in closure.get(holder, (holder,))) for rule in sound]
    for rule, amount in zip(sound, held, strict=True):
        if rule.allows:
            _advise_breadth(rule, baseline, report)
            _advise_baseline(rule, baseline, amount, report)
            _advise_denied_names(rule, sound, report)
    _advise_shadowed(list(zip(sound, held, strict=True)), report)


def advise_header_only(path: Path, drafts: Sequence[RuleDraft], rules: Sequence[Rule], report: Report) -> None:
    """What `header_only` relies on, and which rules keep methods from it. Drafts and rules are of the same order."""
    message = "calls are permitted by their headers alone: the MCP server must refuse those whose body says otherwise"
    hint = "leave it off unless that was tested (docs/explanation/header-only.md)"
    report.advise((*path, "header_only"), message, hint, on_key=True)
    for draft, rule in zip(drafts, rules, strict=True):
        if lost := SETTLED_METHODS - settled_methods([rule]):
            message = f"the condition reads arguments, so {', '.join(sorted(lost))} needs the body despite header_only"
            report.advise((*draft.path, "when"), message, "judge arguments in the server, or let these have bodies")


def _advise_names(rule: RuleDraft, report: Report) -> None:
    for index, method in enumerate(rule.shape.methods):
        if not matched_methods(method):
            close = get_close_matches(method, KNOWN_METHODS, n=1, cutoff=0.6)
            hint = f"did you mean {quoted(close[0])}?" if close else "check the spelling; an extension may have it"
            report.advise((*rule.path, "methods", index), f"no revision of MCP has the method {quoted(method)}", hint)
        elif rule.reach.targets and not applicable(method, rule.reach.targets):
            message = f"the rule never applies to {quoted(method)}: nothing that it lists can be named there"
            report.advise((*rule.path, "methods", index), message, "give it a rule of its own")
    for key in ("tools", "prompts"):
        for index, text in enumerate(getattr(rule.shape, key)):
            if not _OTHER_PATTERN_SIGNS.isdisjoint(text):
                message = f"in {quoted(text)} only * is special; the other signs stand for themselves"
                report.advise((*rule.path, key, index), message, "list the names, or use *")
    for key in ("methods", *TARGET_KEYS, "scopes"):
        texts = getattr(rule.shape, key)
        for index, text in enumerate(texts):
            if text in texts[:index]:
                report.advise((*rule.path, key, index), f"{quoted(text)} stands twice in the list", "remove one")


def _advise_breadth(rule: RuleDraft, baseline: Sequence[str], report: Report) -> None:
    if not rule.unconditional or not set(rule.scopes) <= set(baseline):
        return
    if any(map(is_everything, rule.reach.methods)) and not rule.reach.targets:
        message = "the rule allows every method, known or not, to every caller who can list"
        report.advise(rule.path, message, "list methods, or scopes beyond the baseline")
        return
    tools = rule.reach.targets.get(TargetKind.TOOL, ())
    if rule.reach.method_patterns.matches("tools/call") and (not rule.reach.targets or any(map(is_everything, tools))):
        message = "the rule allows every tool, also future ones, to every caller who can list"
        report.advise(rule.path, message, "list tools, or scopes beyond the baseline")


def _advise_baseline(rule: RuleDraft, baseline: Sequence[str], held: Collection[str], report: Report) -> None:
    if rule.reach.targets or not set(baseline) <= set(held):
        return
    methods = rule.reach.methods
    if all(method in METHODS and METHODS[method].baseline and method not in _PARTLY_BASELINE for method in methods):
        message = f"the baseline permits {', '.join(methods)} already: the rule makes no difference"
        report.advise(rule.path, message, "remove it; a deny rule can narrow the baseline")


def _advise_denied_names(rule: RuleDraft, rules: Sequence[RuleDraft], report: Report) -> None:
    denials = [other for other in rules if not other.allows and other.unconditional]
    for key, kind in TARGET_KEYS.items():
        for index, text in enumerate(rule.reach.targets.get(kind, ())):
            atoms = [atom for atom in rule.reach.atoms if atom.kind is kind and atom.target == text]
            for denial in denials:
                if "*" not in text and atoms and all(map(denial.reach.covers_atom, atoms)):
                    message = f"{quoted(text)} is always denied in line {denial.line}"
                    report.advise((*rule.path, key, index), message, "remove it from one of the two")
                    break


def _advise_shadowed(rules: Sequence[tuple[RuleDraft, frozenset[str]]], report: Report) -> None:
    """Each rule comes with all scopes that those amount to which it needs."""
    for rule, held in rules:
        for other, others_held in rules:
            if other is rule or not _shadows(other, rule, held):
                continue
            if other.path > rule.path and _shadows(rule, other, others_held):
                continue  # the two say the same: told once, about the later one
            effect = "allows" if rule.allows else "denies"
            message = f"the rule makes no difference: the one in line {other.line} {effect} as much and needs no more"
            report.advise(rule.path, message, f"remove it, or narrow the rule in line {other.line}")
            break


def _shadows(wide: RuleDraft, narrow: RuleDraft, held: frozenset[str]) -> bool:
    """Whether `wide` does all that `narrow` does whenever `narrow`, whose scopes amount to `held`, does it."""
    return (
        wide.allows == narrow.allows
        and (wide.unconditional or wide.shape.when == narrow.shape.when)
        and held.issuperset(wide.scopes)
        and wide.reach.covers(narrow.reach)
    )
