"""Small policies for tests, built as values."""

from collections.abc import Iterable, Mapping
from typing import Any

from extauthz.pdp.operation import TargetKind
from extauthz.pdp.pattern import Patterns
from extauthz.pdp.policy import (
    CacheTerms,
    Condition,
    Effect,
    Issuer,
    Policy,
    Resource,
    Rule,
    Scope,
    Sharing,
)
from extauthz.pdp.uri.uri_pattern import UriPatterns

ISSUER = Issuer(
    name="casdoor",
    issuer="https://door.example.com",
    jwks_uri="https://door.example.com/.well-known/jwks",
    organizations=frozenset({"acme"}),
)

_KINDS = {
    "tools": TargetKind.TOOL,
    "prompts": TargetKind.PROMPT,
    "uris": TargetKind.RESOURCE,
    "tasks": TargetKind.TASK,
}


def rule(
    methods: Iterable[str],
    scopes: Iterable[str] = (),
    *,
    effect: Effect = Effect.ALLOW,
    when: Condition | None = None,
    line: int = 0,
    **targets: Iterable[str],
) -> Rule:
    """A rule; `resource()` gives it its index."""
    return Rule(
        index=0,
        line=line,
        effect=effect,
        methods=Patterns.of(methods),
        targets={
            _KINDS[name]: UriPatterns.of(patterns) if name == "uris" else Patterns.of(patterns)
            for name, patterns in targets.items()
        },
        scopes=tuple(scopes),
        when=when,
    )


def resource(
    rules: Iterable[Rule] = (),
    *,
    name: str = "weather",
    uri: str = "https://mcp.example.com/weather/mcp",
    includes: Mapping[str, Iterable[str]] | None = None,
    baseline: Iterable[str] = ("weather:read",),
    **more: Any,
) -> Resource:
    """A resource with scopes weather:read, and weather:write that includes it, unless `includes` says otherwise."""
    tree = {name: tuple(below) for name, below in (includes or DEFAULT_SCOPES).items()}
    numbered = tuple(
        Rule(
            index=index,
            line=one.line or index + 10,
            effect=one.effect,
            methods=one.methods,
            targets=one.targets,
            scopes=one.scopes,
            when=one.when,
        )
        for index, one in enumerate(rules)
    )
    return Resource(
        name=name,
        uri=uri,
        scopes={scope: Scope(name=scope, includes=below) for scope, below in tree.items()},
        closure={scope: closure(scope, tree) for scope in tree},
        baseline=tuple(baseline),
        rules=numbered,
        **{"issuers": (ISSUER,), **more},
    )


DEFAULT_SCOPES: Mapping[str, tuple[str, ...]] = {"weather:read": (), "weather:write": ("weather:read",)}


def closure(scope: str, tree: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """All that holding the scope amounts to."""
    found: set[str] = set()
    todo = [scope]
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo.extend(tree[one])
    return frozenset(found)


def policy(*resources: Resource, **more: Any) -> Policy:
    """A policy of these resources; decisions are shared whenever there is a store."""
    shared = CacheTerms(shared=Sharing.ALWAYS)
    settings = {"revision": "0123456789abcdef", "source": "extauthz.yaml", "cache": shared, **more}
    return Policy(
        issuers={issuer.name: issuer for one in resources for issuer in one.issuers},
        resources={one.name: one for one in resources},
        **settings,
    )
