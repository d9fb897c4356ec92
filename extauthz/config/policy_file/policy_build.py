"""What the values of a policy file mean together, and the `Policy` that is built of them.

URLs, names that refer to others, scopes, rules, conditions, secrets: everything beyond the shape. Each check reports
and goes on; the policy is worth something only when the report has no fault.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from extauthz.adapters.cel.condition import CelCondition, compile_condition
from extauthz.config.policy_file.fault import Path as ValuePath
from extauthz.config.policy_file.fault import Problem, Report
from extauthz.config.policy_file.lint import advise, advise_header_only, advise_rules
from extauthz.config.policy_file.policy_schema import (
    IntrospectionShape,
    IssuerShape,
    PolicyShape,
    ResourceShape,
    RuleShape,
)
from extauthz.config.policy_file.reach import Reach
from extauthz.config.policy_file.revision import revision_of
from extauthz.config.policy_file.rule_check import RuleDraft, check_rules, targets_of
from extauthz.config.policy_file.scope_closure import closures, cycles
from extauthz.config.policy_file.yaml_source import Document
from extauthz.config.settings.addresses import origin_complaint, resource_uri_complaint, url_complaint
from extauthz.config.settings.secret import secret_from_environment, secret_from_file
from extauthz.pdp.decision.resource_index import ResourceIndex
from extauthz.pdp.mcp.header_only import settled_methods
from extauthz.pdp.policy import (
    CacheTerms,
    ChallengeScopes,
    DenialForm,
    Effect,
    Introspection,
    Issuer,
    LastEventId,
    Policy,
    Resource,
    Rule,
    Scope,
    Sharing,
    UpstreamHeaders,
    WhenStale,
)
from extauthz.pdp.quoting import quoted, suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSource:
    """Where secrets that a policy names are read: variables, and files relative to the policy's folder."""

    env: Mapping[str, str]
    folder: Path


Secrets: TypeAlias = SecretSource | None
"""None: secrets are not read and stay empty, for whoever only looks at a policy."""


def build_policy(
    shape: PolicyShape, document: Document, report: Report, secrets: Secrets, *, with_advice: bool
) -> Policy:
    """Check and build. Whether the policy can be used, `report` says; advice costs time and is for people."""
    return _Builder(shape, document, report, secrets, with_advice=with_advice).build()


class _Builder:
    """Builds the policy from a shape, reporting what values mean together."""

    def __init__(
        self, shape: PolicyShape, document: Document, report: Report, secrets: Secrets, *, with_advice: bool
    ) -> None:
        self._shape = shape
        self._document = document
        self._report = report
        self._secrets = secrets
        self._with_advice = with_advice
        written = document.plain()
        self._issuer_names = _keys(written, "issuers")
        self._scope_names = {name: _keys(written, "resources", name, "scopes") for name in _keys(written, "resources")}

    def build(self) -> Policy:
        """The policy; worth something only when the report has no fault."""
        shape = self._shape
        issuers = {name: self._issuer(name, issuer) for name, issuer in shape.issuers.items()}
        resources = {name: self._resource(name, resource, issuers) for name, resource in shape.resources.items()}
        policy = Policy(
            revision="",
            issuers=issuers,
            resources=resources,
            cache=self._cache(),
            when_stale=WhenStale(shape.revocation.when_stale),
            source=self._report.file,
        )
        policy = replace(policy, revision=revision_of(policy))
        self._check_overlap(policy)
        if self._with_advice:
            advise(shape, self._report)
        return policy

    def _line(self, path: ValuePath) -> int:
        return self._document.key_position(path).line

    def _cache(self) -> CacheTerms:
        cache, path = self._shape.cache, ("cache", "jwks_max_stale")
        if cache.jwks_max_stale < cache.jwks_ttl:
            message = "jwks_max_stale is shorter than jwks_ttl: keys would be dropped before they are refreshed"
            self._report.fault(path, message, "make it longer")
        return CacheTerms(
            max_ttl_s=cache.max_ttl,
            jwks_ttl_s=cache.jwks_ttl,
            jwks_max_stale_s=cache.jwks_max_stale,
            shared=Sharing(cache.shared),
        )

    def _complain(self, path: ValuePath, complaint: Problem | None) -> None:
        if complaint is not None:
            self._report.fault(path, complaint.message, complaint.hint)

    def _issuer(self, name: str, shape: IssuerShape) -> Issuer:
        path: ValuePath = ("issuers", name)
        allow_http = self._shape.unsafe_allow_http or shape.unsafe_allow_http
        self._complain((*path, "issuer"), url_complaint(shape.issuer, allow_http=allow_http))
        if "jwks_uri" in shape.model_fields_set:
            complaint = url_complaint(shape.jwks_uri, allow_http=allow_http, allow_query=True)
            self._complain((*path, "jwks_uri"), complaint)
        if shape.clients:
            listed = Issuer(name=name, issuer="", jwks_uri="", clients=frozenset(shape.clients))
            for index, client in enumerate(shape.machine_clients):
                if not listed.takes_client(client):
                    message = f"{quoted(client)} is not among `clients`, so none of its tokens count"
                    self._report.fault((*path, "machine_clients", index), message, "add it to `clients`, or remove it")
        introspection = None
        if shape.introspection is not None:
            introspection = self._introspection((*path, "introspection"), shape.introspection, allow_http=allow_http)
        return Issuer(
            name=name,
            issuer=shape.issuer,
            jwks_uri=shape.jwks_uri,
            profile=shape.profile,
            organizations=frozenset(shape.organizations),
            clients=frozenset(shape.clients),
            machine_clients=frozenset(shape.machine_clients),
            algorithms=tuple(dict.fromkeys(shape.algorithms)),
            leeway_s=shape.leeway,
            shared_keys=shape.shared_keys,
            introspection=introspection,
            line=self._line(path),
        )

    def _introspection(self, path: ValuePath, shape: IntrospectionShape, *, allow_http: bool) -> Introspection:
        if "endpoint" in shape.model_fields_set:
            self._complain((*path, "endpoint"), url_complaint(shape.endpoint, allow_http=allow_http, allow_query=True))
        secret = ""
        if bool(shape.client_secret_file) == bool(shape.client_secret_env):
            message = "introspection needs one source of the client secret"
            self._report.fault(path, message, "set client_secret_file or client_secret_env, not both", on_key=True)
        elif self._secrets is not None:
            if shape.client_secret_file:
                key, found = "client_secret_file", secret_from_file(self._secrets.folder / shape.client_secret_file)
            else:
                key, found = "client_secret_env", secret_from_environment(shape.client_secret_env, self._secrets.env)
            if isinstance(found, Problem):
                self._complain((*path, key), found)
            else:
                secret = found.reveal()
        return Introspection(client_id=shape.client_id, client_secret=secret, endpoint=shape.endpoint)

    def _resource(self, name: str, shape: ResourceShape, issuers: Mapping[str, Issuer]) -> Resource:
        path: ValuePath = ("resources", name)
        allow_http = self._shape.unsafe_allow_http or shape.unsafe_allow_http
        self._complain((*path, "uri"), resource_uri_complaint(shape.uri, allow_http=allow_http))
        for index, origin in enumerate(shape.origins):
            self._complain((*path, "origins", index), origin_complaint(origin, allow_http=allow_http))
        self._check_scopes(name, shape)
        closure = closures({scope: found.includes for scope, found in shape.scopes.items()})
        drafts = [self._draft(path, index, rule, shape) for index, rule in enumerate(shape.rules)]
        rules = tuple(self._rule(draft) for draft in drafts)
        check_rules(drafts, self._report)
        if self._with_advice:
            advise_rules(drafts, shape.baseline, closure, self._report)
            if shape.header_only:
                advise_header_only(path, drafts, rules, self._report)
        return Resource(
            name=name,
            uri=shape.uri,
            issuers=self._issuers_of(path, shape, issuers),
            scopes={
                scope: Scope(name=scope, description=found.description, includes=tuple(found.includes))
                for scope, found in shape.scopes.items()
            },
            baseline=tuple(dict.fromkeys(shape.baseline)),
            rules=rules,
            closure=closure,
            hosts=tuple(dict.fromkeys(host.lower() for host in shape.hosts)),
            audiences=frozenset(shape.audiences),
            upstream=shape.upstream,
            challenge_scopes=ChallengeScopes(shape.challenge.scopes),
            denial=DenialForm(shape.denial),
            upstream_headers=UpstreamHeaders(
                prefix=shape.upstream_headers.prefix, forward_token=shape.upstream_headers.forward_token
            ),
            origins=frozenset(shape.origins),
            session_binding=shape.session_binding,
            last_event_id=LastEventId(shape.last_event_id),
            responses=shape.responses == "allow",
            header_only=settled_methods(rules) if shape.header_only else frozenset(),
            line=self._line(path),
        )

    def _issuers_of(self, path: ValuePath, shape: ResourceShape, issuers: Mapping[str, Issuer]) -> tuple[Issuer, ...]:
        found: dict[str, Issuer] = {}
        for index, name in enumerate(shape.issuers):
            at = (*path, "issuers", index)
            issuer = issuers.get(name)
            if self._report.is_broken(("issuers",)):
                continue
            if name not in self._issuer_names:
                known = ", ".join(self._issuer_names) or "none"
                hint = suggestion(name, self._issuer_names, f"issuers in this file: {known}")
                self._report.fault(at, f"unknown issuer {quoted(name)}", hint)
            elif issuer is not None and issuer.issuer in found:
                other = found[issuer.issuer].name
                message = f"{name} and {other} have the same `iss`, so that tokens cannot be told apart"
                self._report.fault(at, message, "list one of them")
            elif issuer is not None and not self._report.holds_broken(("issuers", name, "issuer")):
                found[issuer.issuer] = issuer
        return tuple(found.values())

    def _check_scopes(self, name: str, shape: ResourceShape) -> None:
        path: ValuePath = ("resources", name)
        for scope, found in shape.scopes.items():
            for index, included in enumerate(found.includes):
                self._check_scope(name, (*path, "scopes", scope, "includes", index), included)
        for way in cycles({scope: found.includes for scope, found in shape.scopes.items()}):
            message = "scopes include each other: " + " -> ".join(way)
            self._report.fault(
                (*path, "scopes", way[0], "includes"), message, "remove one of the includes", on_key=True
            )
        for index, scope in enumerate(shape.baseline):
            self._check_scope(name, (*path, "baseline", index), scope)

    def _check_scope(self, resource: str, path: ValuePath, scope: str) -> None:
        known = self._scope_names.get(resource, ())
        if scope in known or self._report.is_broken(("resources", resource, "scopes")):
            return
        otherwise = f"add it to `scopes` of {resource}" + (", which has " + ", ".join(known) if known else "")
        self._report.fault(path, f"unknown scope {quoted(scope)}", suggestion(scope, known, otherwise))

    def _draft(self, resource: ValuePath, index: int, shape: RuleShape, holder: ResourceShape) -> RuleDraft:
        path: ValuePath = (*resource, "rules", index)
        for position, scope in enumerate(shape.scopes):
            self._check_scope(str(resource[-1]), (*path, "scopes", position), scope)
        if shape.effect == "deny" and shape.scopes:
            message = "a deny rule with scopes: it denies whatever the scopes"
            self._report.fault((*path, "scopes"), message, "remove the scopes, or use `when`", on_key=True)
        scopes = shape.scopes or holder.baseline
        return RuleDraft(
            path=path,
            line=self._document.value_position(path).line,
            shape=shape,
            reach=Reach.of(shape.methods, targets_of(shape)),
            scopes=tuple(dict.fromkeys(scopes)) if shape.effect == "allow" else (),
        )

    def _rule(self, draft: RuleDraft) -> Rule:
        return Rule(
            index=int(draft.path[-1]),
            line=draft.line,
            effect=Effect(draft.shape.effect),
            methods=draft.reach.method_patterns,
            targets=draft.reach.target_patterns,
            scopes=draft.scopes,
            when=self._condition((*draft.path, "when"), draft.shape.when),
        )

    def _condition(self, path: ValuePath, text: str) -> CelCondition | None:
        if text == "":
            return None
        compiled = compile_condition(text)
        if isinstance(compiled, CelCondition):
            return compiled
        for fault in compiled:
            place = self._document.inside(path, fault.line, fault.column)
            message = fault.message if place else f"{fault.message}, at {fault.line}:{fault.column} of the condition"
            self._report.fault(path, message, fault.hint, at=place)
        return None

    def _check_overlap(self, policy: Policy) -> None:
        """No request may be for two resources: neither of the proxy's, nor one for metadata."""
        told: set[frozenset[str]] = set()
        for authority, entries in ResourceIndex.of(policy).by_authority.items():
            owners: dict[str, Resource] = {}
            for path, resource in entries:
                first = owners.setdefault(path, resource)
                pair = frozenset({first.name, resource.name})
                if first is resource or pair in told:
                    continue
                told.add(pair)
                earlier, later = sorted((first, resource), key=lambda found: found.line)
                message = f"the resources {earlier.name} and {later.name} are both at {authority}{path}"
                at = ("resources", later.name, "uri")
                self._report.fault(at, message, "give each a host or path of its own")


def _keys(data: object, *path: str) -> tuple[str, ...]:
    """The keys of the mapping at a path, whatever else the data is."""
    for step in path:
        data = data.get(step) if isinstance(data, dict) else None
    return tuple(data) if isinstance(data, dict) else ()
