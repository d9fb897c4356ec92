"""The policy as values: issuers, resources, rules. Built by `config` from a checked file; read by `decide`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol

from extauthz.pdp.operation import Operation, TargetKind
from extauthz.pdp.pattern import Patterns
from extauthz.pdp.principal import Principal
from extauthz.pdp.uri.uri_pattern import UriPatterns

DEFAULT_LEEWAY_S: Final = 30
MAX_LEEWAY_S: Final = 60

# Dot segments as URL parsers see them (WHATWG URL: single-dot and double-dot URL path segments), and what some read as
# a slash.
_LEAVES_ITS_PATH: Final = re.compile(r"/(?:\.|%2[Ee]){1,2}(?:[/?#]|$)|\\|%2[Ff]|%5[Cc]")


class Truth(StrEnum):
    """What a condition said. `UNKNOWN` (an evaluation error, a missing argument) counts against the caller."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"


class Condition(Protocol):
    """A compiled `when`. Never raises; says UNKNOWN instead."""

    @property
    def text(self) -> str:
        """The expression as written."""
        ...

    @property
    def reads_beyond_identity(self) -> bool:
        """Whether it reads `args.*` or `request.*`, so that its result must not be remembered by method and target."""
        ...

    @property
    def reads_arguments(self) -> bool:
        """Whether it reads `args.*`, so that its result is unknown where the arguments are."""
        ...

    def evaluate(self, principal: Principal, operation: Operation, request: Mapping[str, Any]) -> Truth:
        """Judge one request. `request` holds the values of `request.*` (see `REQUEST_FIELDS`)."""
        ...


# What `when` can read under `request.`: all strings.
REQUEST_FIELDS: Final = ("host", "path", "http_method", "method", "target", "protocol_version")


class Effect(StrEnum):
    """What a matching rule does."""

    ALLOW = "allow"
    DENY = "deny"


class ChallengeScopes(StrEnum):
    """Which scopes a step-up challenge names."""

    REQUIRED = "required"
    REQUIRED_AND_GRANTED = "required+granted"


class DenialForm(StrEnum):
    """How a denial of an authenticated caller is sent."""

    HTTP = "http"
    JSONRPC = "jsonrpc"


class LastEventId(StrEnum):
    """What becomes of a `Last-Event-ID` that is repeated or belongs to no session."""

    REFUSE = "refuse"
    STRIP = "strip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspection:
    """RFC 7662 introspection at the issuer, after local validation. The secret has no repr."""

    client_id: str
    client_secret: str = field(repr=False)
    endpoint: str = ""
    """Empty: from discovery."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """One authorization server whose tokens count, and on what terms. `name` is the key in the policy file."""

    name: str
    issuer: str
    jwks_uri: str
    """Empty: from the issuer's discovery document."""
    profile: str = "casdoor"
    organizations: frozenset[str] = frozenset()
    """Casdoor `owner` values that count; empty: any (a profile without organizations)."""
    clients: frozenset[str] = frozenset()
    """Allow-list for `azp`; empty: any client. `https://host/path*` stands for every client id that is such a URL."""
    machine_clients: frozenset[str] = frozenset()
    algorithms: tuple[str, ...] = ("RS256", "RS512", "ES256", "ES384", "ES512")
    leeway_s: int = DEFAULT_LEEWAY_S
    shared_keys: bool = False
    """Accepts in words that every organization of the Casdoor instance can sign for it (`pdp.token.key_scope`)."""
    introspection: Introspection | None = None
    line: int = 0

    def takes_client(self, client_id: str) -> bool:
        """Whether `clients` lets this client in. Everything before the `*` of a pattern compares byte for byte.

        A pattern has a whole authority and a slash in front of its `*` (checked when the policy is loaded), so that no
        host, port or user part of another URL can take the place of the one that it names. Nor does an id match that a
        URL parser would move out of the path in front of the `*`: client ids must not have dot segments
        (draft-ietf-oauth-client-id-metadata-document §3), but not every issuer sees to it.
        """
        if not self.clients or client_id in self.clients:
            return True
        if _LEAVES_ITS_PATH.search(client_id):
            return False
        return any(client_id.startswith(pattern.removesuffix("*")) for pattern in self.clients if pattern.endswith("*"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: which operations it is about, and what it wants. `index` counts from 0 in file order.

    `targets` has an entry for each kind that the rule lists (`tools`, `prompts`, `uris`, `tasks`). A rule that lists
    none is about its methods whatever their target; one that lists some is only about operations with such a target.
    """

    index: int
    line: int
    effect: Effect
    methods: Patterns
    targets: Mapping[TargetKind, Patterns | UriPatterns]
    scopes: tuple[str, ...]
    """In file order. For a rule without `scopes` these are the resource's baseline scopes."""
    when: Condition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A scope that a resource knows."""

    name: str
    description: str = ""
    includes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamHeaders:
    """Which identity headers go upstream (`prefix` lower case, ends with `-`), and whether the token goes along."""

    prefix: str = "x-auth-"
    forward_token: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One protected MCP server (an RFC 9728 resource). `name` is the key in the policy file."""

    name: str
    uri: str
    issuers: tuple[Issuer, ...]
    scopes: Mapping[str, Scope]
    baseline: tuple[str, ...]
    rules: tuple[Rule, ...]
    closure: Mapping[str, frozenset[str]]
    """For each scope, all scopes that holding it amounts to, itself included (`includes`, transitively)."""
    hosts: tuple[str, ...] = ()
    audiences: frozenset[str] = frozenset()
    upstream: str = ""
    challenge_scopes: ChallengeScopes = ChallengeScopes.REQUIRED
    denial: DenialForm = DenialForm.HTTP
    upstream_headers: UpstreamHeaders = UpstreamHeaders()
    origins: frozenset[str] = frozenset()
    session_binding: bool = True
    last_event_id: LastEventId = LastEventId.REFUSE
    responses: bool = True
    """Whether a client may POST JSON-RPC responses (to ping, sampling, elicitation, roots) with the baseline."""
    header_only: frozenset[str] = frozenset()
    """Methods that are decided on headers where the proxy hands no body over; empty: none. Never more than the server
    is obliged to compare with the body (`mcp.header_only.SETTLED_METHODS`), nor any whose rules read arguments."""
    line: int = 0

    @property
    def own_path(self) -> str:
        """The path of `uri`, without a trailing slash: where the server's streams and sessions are."""
        _, _, path = self.uri.partition("://")[2].partition("/")
        return ("/" + path).rstrip("/")

    @property
    def metadata_path(self) -> str:
        """Path of the RFC 9728 document: the well-known prefix before the resource's own path (RFC 9728 §3.1)."""
        _, _, rest = self.uri.partition("://")
        _, slash, path = rest.partition("/")
        return "/.well-known/oauth-protected-resource" + (slash + path if path else "")

    @property
    def metadata_url(self) -> str:
        """The absolute URL that challenges name."""
        scheme, _, rest = self.uri.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}{self.metadata_path}"


class Sharing(StrEnum):
    """What processes tell each other through the shared store, where there is one, of tokens and decisions."""

    AUTO = "auto"
    """What pays: tokens of issuers with introspection (`docs/explanation/caching.md` has the figures)."""
    ALWAYS = "always"
    """Tokens of all issuers, and decisions."""
    NEVER = "never"
    """Neither. Key sets, sessions and revocations are shared in any case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheTerms:
    """How long things may be remembered, in seconds."""

    max_ttl_s: int = 60
    """Ceiling for a decision: also how long a withdrawn signing key can go on working for a token seen before."""
    jwks_ttl_s: int = 300
    """A key set is refreshed after this time."""
    jwks_max_stale_s: int = 86_400
    """A key set that cannot be refreshed is used up to this age, then no more."""
    shared: Sharing = Sharing.AUTO

    def shares_tokens(self, issuer: Issuer) -> bool:
        """Whether it is shared that a token was found valid by this issuer."""
        return self.shared is Sharing.ALWAYS or (self.shared is Sharing.AUTO and issuer.introspection is not None)

    @property
    def shares_decisions(self) -> bool:
        """Whether decisions are shared. To decide costs less than to ask the store, so never but when told to."""
        return self.shared is Sharing.ALWAYS


class WhenStale(StrEnum):
    """What counts while revocations cannot be learnt."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A whole policy file, checked and compiled. `revision` is a digest of all that checks read of it."""

    revision: str
    issuers: Mapping[str, Issuer]
    resources: Mapping[str, Resource]
    cache: CacheTerms = CacheTerms()
    when_stale: WhenStale = WhenStale.ALLOW
    source: str = ""
    """Name of the file, for messages."""
