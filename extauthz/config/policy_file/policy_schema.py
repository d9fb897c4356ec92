"""The shape of the policy file, version 1: keys, types and defaults. What values mean together is judged later.

One pydantic model per mapping of the file; the JSON Schema that `extauthz schema` prints is made from them.
Lists have no "null means empty": a key that is there must have a value.
"""

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from extauthz.adapters.cel.condition import MAX_EXPRESSION_CHARS
from extauthz.config.policy_file.fault import Problem
from extauthz.config.policy_file.grammar import (
    Audience,
    Authority,
    Client,
    ClientPattern,
    HeaderPrefix,
    MethodPattern,
    Name,
    ScopeName,
    TargetPattern,
    UpstreamUrl,
    Url,
    duration,
    refusal,
)
from extauthz.pdp.policy import DEFAULT_LEEWAY_S, MAX_LEEWAY_S

# Rules of one resource. Every check walks the list, and a list that long should be patterns.
MAX_RULES: Final = 1_000

# A decision that is remembered longer outlives a withdrawn key or a changed role by as much.
_MAX_DECISION_TTL_S: Final = 600
# Fetches are at least 30 s apart in any case.
_MIN_JWKS_TTL_S: Final = 30
_DAY_S: Final = 86_400

Algorithm: TypeAlias = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
"""Signature algorithms that can be allowed: asymmetric ones only."""

_UNSAFE_HTTP: Final = "plain http to other machines is accepted: tokens and keys travel unprotected"


def _version(value: int) -> int:
    if value != 1:
        raise refusal(Problem(f"{value} is not a known version of the policy file", "write version: 1"))
    return value


def _not_blank(value: object) -> object:
    """A key with nothing behind it is a slip, not "off"."""
    if value is None:
        raise refusal(Problem("the key has no value", "write a value, or leave the key out"))
    return value


def _default_algorithms() -> list[Algorithm]:
    """What Casdoor can sign with (casdoor.md §3.1)."""
    return ["RS256", "RS512", "ES256", "ES384", "ES512"]


class Shape(BaseModel):
    """What all mappings of the file have in common: no unknown keys, no conversions. Validators are built when used."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class IntrospectionShape(Shape):
    """RFC 7662 introspection at the issuer; the client secret comes from a file or a variable, never from here."""

    model_config = ConfigDict(
        title="introspection",
        json_schema_extra={"oneOf": [{"required": ["client_secret_file"]}, {"required": ["client_secret_env"]}]},
    )

    client_id: Client = Field(description="client that asks the issuer about tokens")
    client_secret_file: str = Field(
        default="", description="file with the client's secret; relative to the policy file"
    )
    client_secret_env: str = Field(default="", description="environment variable with the client's secret")
    endpoint: Url = Field(default="", description="introspection endpoint; default: from the discovery document")


class IssuerShape(Shape):
    """One authorization server whose tokens count."""

    model_config = ConfigDict(title="issuer")

    issuer: Url = Field(description="exact `iss` of its tokens")
    jwks_uri: Url = Field(default="", description="its keys; default: from its discovery document")
    profile: Literal["casdoor", "rfc9068", "keycloak", "auth0", "stytch", "entra", "okta"] = Field(
        default="casdoor", description="how its access tokens look"
    )
    organizations: list[Client] = Field(
        default_factory=list, min_length=1, description="organizations (tenants) that count; default: any"
    )
    clients: list[ClientPattern] = Field(
        default_factory=list,
        min_length=1,
        description="clients that are accepted; `https://host/*` for client ids that are URLs; default: any",
    )
    machine_clients: list[Client] = Field(
        default_factory=list, description="clients whose client-credentials tokens count; default: none"
    )
    algorithms: list[Algorithm] = Field(
        default_factory=_default_algorithms,
        min_length=1,
        description="signature algorithms that count",
    )
    leeway: Annotated[int, *duration(0, MAX_LEEWAY_S)] = Field(
        default=DEFAULT_LEEWAY_S, description="tolerated clock difference, as 30s or whole seconds"
    )
    shared_keys: bool = Field(
        default=False,
        description="accepts that every organization of the Casdoor instance can sign for this issuer: its key set is "
        "not one application's own",
    )
    introspection: Annotated[IntrospectionShape | None, BeforeValidator(_not_blank)] = Field(
        default=None, description="ask the issuer whether tokens are still active"
    )
    unsafe_allow_http: bool = Field(default=False, description=_UNSAFE_HTTP)


class ScopeShape(Shape):
    """A scope that clients can ask for."""

    model_config = ConfigDict(title="scope")

    description: str = Field(default="", description="what it permits, for people")
    includes: list[ScopeName] = Field(default_factory=list, description="scopes that holding this one amounts to")


class RuleShape(Shape):
    """Which operations are allowed or denied, and what they need."""

    model_config = ConfigDict(title="rule")

    methods: list[MethodPattern] = Field(
        min_length=1, description='JSON-RPC methods; "*" matches any run of characters'
    )
    tools: list[TargetPattern] = Field(default_factory=list, min_length=1, description="tools, by name or pattern")
    prompts: list[TargetPattern] = Field(default_factory=list, min_length=1, description="prompts, by name or pattern")
    uris: list[TargetPattern] = Field(
        default_factory=list, min_length=1, description="MCP resources, by URI or pattern"
    )
    tasks: list[TargetPattern] = Field(default_factory=list, min_length=1, description="tasks, by id or pattern")
    scopes: list[ScopeName] = Field(
        default_factory=list, min_length=1, description="scopes needed, all of them; default: the baseline"
    )
    effect: Literal["allow", "deny"] = Field(default="allow", description="deny wins over every allow")
    when: str = Field(
        default="",
        min_length=1,
        max_length=MAX_EXPRESSION_CHARS,
        description="CEL condition on principal.*, args.*, request.*",
    )


class ChallengeShape(Shape):
    """How step-up challenges look."""

    model_config = ConfigDict(title="challenge")

    scopes: Literal["required", "required+granted"] = Field(
        default="required", description="required+granted helps clients that do not add up scopes"
    )


class UpstreamHeadersShape(Shape):
    """Which identity headers the MCP server gets."""

    model_config = ConfigDict(title="upstream_headers")

    prefix: HeaderPrefix = Field(
        default="x-auth-", description="beginning of the header names; lower case, ends with -"
    )
    forward_token: bool = Field(default=False, description="leave the client's Authorization header in place")


class ResourceShape(Shape):
    """One protected MCP server."""

    model_config = ConfigDict(title="resource")

    uri: Url = Field(description="RFC 9728 resource identifier, which `aud` must name")
    issuers: list[str] = Field(min_length=1, description="names of the issuers whose tokens it takes")
    hosts: list[Authority] = Field(
        default_factory=list, description="further authorities under which the proxy may see it"
    )
    audiences: list[Audience] = Field(default_factory=list, description="further audiences that count")
    upstream: UpstreamUrl = Field(default="", description="where the proxy finds the MCP server; for `extauthz render`")
    scopes: dict[ScopeName, ScopeShape] = Field(default_factory=dict, description="every scope that the rules name")
    baseline: list[ScopeName] = Field(
        default_factory=list, description="scopes for opening a session and for lists; []: any valid token"
    )
    rules: list[RuleShape] = Field(
        default_factory=list,
        max_length=MAX_RULES,
        description="everything beyond the baseline; what no rule covers is denied",
    )
    challenge: ChallengeShape = Field(default_factory=ChallengeShape, description="how step-up challenges look")
    denial: Literal["http", "jsonrpc"] = Field(default="http", description="how denials of known callers are sent")
    upstream_headers: UpstreamHeadersShape = Field(
        default_factory=UpstreamHeadersShape, description="which identity headers the MCP server gets"
    )
    origins: list[Url] = Field(default_factory=list, description="browser origins that may call it")
    session_binding: bool = Field(default=True, description="a session id belongs to the principal first seen with it")
    last_event_id: Literal["refuse", "strip"] = Field(
        default="refuse",
        description="what becomes of a GET whose Last-Event-ID is repeated or comes without a session id: it is "
        "refused, or the header is removed",
    )
    responses: Literal["allow", "deny"] = Field(
        default="allow",
        description="may clients answer the server's requests (ping, sampling, elicitation, roots) with the baseline",
    )
    header_only: bool = Field(
        default=False,
        description="decide on the headers of 2026-07-28 where the proxy hands no body over; the server must refuse "
        "requests whose headers and body differ",
    )
    unsafe_allow_http: bool = Field(default=False, description=_UNSAFE_HTTP)


class CacheShape(Shape):
    """How long things may be remembered: `60s`, `5m`, `24h`, or whole seconds."""

    model_config = ConfigDict(title="cache")

    max_ttl: Annotated[int, *duration(0, _MAX_DECISION_TTL_S)] = Field(default=60, description="a decision; 0: none")
    jwks_ttl: Annotated[int, *duration(_MIN_JWKS_TTL_S, _DAY_S)] = Field(
        default=300, description="a key set, until refreshed"
    )
    jwks_max_stale: Annotated[int, *duration(_MIN_JWKS_TTL_S, 7 * _DAY_S)] = Field(
        default=_DAY_S, description="a key set that cannot be refreshed"
    )
    shared: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="whether decisions are shared through Redis; auto: those on tokens of issuers with introspection, "
        "where it pays",
    )


class RevocationShape(Shape):
    """What counts while revocations cannot be learnt."""

    model_config = ConfigDict(title="revocation")

    when_stale: Literal["allow", "deny"] = Field(
        default="allow", description="what counts while revocations cannot be learnt"
    )


class PolicyShape(Shape):
    """The whole file."""

    model_config = ConfigDict(title="extauthz policy")

    version: Annotated[int, AfterValidator(_version), WithJsonSchema({"const": 1})] = Field(description="always 1")
    issuers: dict[Name, IssuerShape] = Field(min_length=1, description="authorization servers, by a name of your own")
    resources: dict[Name, ResourceShape] = Field(min_length=1, description="MCP servers, by a name of your own")
    cache: CacheShape = Field(default_factory=CacheShape, description="how long things may be remembered")
    revocation: RevocationShape = Field(default_factory=RevocationShape, description="revoked tokens")
    unsafe_allow_http: bool = Field(default=False, description=_UNSAFE_HTTP)


class _SchemaWriter(GenerateJsonSchema):
    """JSON Schema as strict as the loader: no nulls, closed mappings, and no default that could not be written."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - the base class decides by it
        return False

    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        if schema.get("default") in ("", None):
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def dict_schema(self, schema: Any) -> JsonSchemaValue:
        values, keys = self.generate_inner(schema["values_schema"]), self.generate_inner(schema["keys_schema"])
        written = {"type": "object", "additionalProperties": values, "propertyNames": keys}
        return {**written, "minProperties": schema["min_length"]} if "min_length" in schema else written


def policy_json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the policy file."""
    schema = PolicyShape.model_json_schema(schema_generator=_SchemaWriter)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
