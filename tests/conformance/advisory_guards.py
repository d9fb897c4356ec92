"""Every published advisory about tokens, keys and their caches: the test named after it, and what it guards.

`ADVISORIES` lists each with its lesson. `GUARDS` lists, for each, exact pieces of this project's source and what they
are replaced by when the guard is taken away. That the test then fails is proved by `test_guards_removed.py`.

A test is named after its advisory: the CVE, the package and the number of an issue, or the date of a post-mortem.
"""

from dataclasses import dataclass
from typing import Final

CACHES: Final = "tests/conformance/test_cache_advisories.py"
JWT: Final = "tests/conformance/test_jwt_advisories.py"
KEY_SETS: Final = "tests/conformance/test_key_set_advisories.py"
ENVOY: Final = "tests/e2e/test_envoy_advisories.py"
RING: Final = "tests/unit/service/test_keyring.py"
KEYS: Final = "tests/unit/service/test_key_service.py"

PDP: Final = "extauthz/pdp"
SERVICE: Final = "extauthz/service"
RENDER: Final = "extauthz/config/render/envoy"


@dataclass(frozen=True, slots=True)
class Advisory:
    """What was published about another project. `name` is how tests of it are named."""

    ident: str
    project: str
    lesson: str
    name: str


@dataclass(frozen=True, slots=True)
class Change:
    """A piece of source, which occurs once in its file, and what stands there when the guard is gone."""

    file: str
    text: str
    without: str


@dataclass(frozen=True, slots=True)
class Guard:
    """A test of an advisory, and the changes that have to turn it red."""

    advisory: str
    file: str
    test: str
    changes: tuple[Change, ...]

    @property
    def node(self) -> str:
        """As pytest names it."""
        return f"{self.file}::{self.test}"


def _guard(advisory: str, file: str, test: str, *changes: tuple[str, str, str]) -> Guard:
    return Guard(advisory, file, test, tuple(Change(*change) for change in changes))


ADVISORIES: Final = (
    # Key sets and caches.
    Advisory("CVE-2026-31837", "Istio", "there is no built-in key to fall back on", "cve_2026_31837"),
    Advisory("CVE-2026-49998", "Centrifugo", "a key belongs to its issuer, whatever its kid", "cve_2026_49998"),
    Advisory("CVE-2026-32301", "Centrifugo", "no URL is made from an unverified `iss`", "cve_2026_32301"),
    Advisory("CVE-2026-48524", "PyJWT", "unknown kids neither force fetches nor wipe keys", "cve_2026_48524"),
    Advisory("coreos/go-oidc#482", "go-oidc", "no way to a fetch goes round the interval", "go_oidc_482"),
    Advisory("Michad/tilegroxy#883", "jwx", "no way to a fetch goes round the interval", "tilegroxy_883"),
    Advisory("wundergraph/cosmo#2216", "cosmo", "a limiter blocks no caller", "cosmo_2216"),
    Advisory("brandonrc/mobula#28", "mobula", "a set without keys switches no limit off", "mobula_28"),
    Advisory("evoila/meho#3484", "meho", "no way to a fetch goes round the interval", "meho_3484"),
    Advisory("CVE-2021-32701", "oathkeeper", "a hit does not skip the scopes of the operation", "cve_2021_32701"),
    Advisory("heimdall#3452", "heimdall", "a hit does not skip what a rule demands", "heimdall_3452"),
    Advisory("heimdall#3450", "heimdall", "a hit does not skip an expression", "3450"),
    Advisory("CVE-2026-35030", "LiteLLM", "the whole token is in the key", "cve_2026_35030"),
    Advisory("ministack#1367", "ministack", "the method is in the key", "ministack_1367"),
    Advisory("Lomkit/laravel-rest-api#225", "laravel-rest-api", "a denial is not truthy", "laravel_rest_api_225"),
    Advisory("Azure/azure-functions-host#11933", "functions host", "parts are framed", "functions_host_11933"),
    Advisory("msal-node#8705", "msal-node", "parts are framed", "msal_node_8705"),
    Advisory("steemit/wallet#318", "wallet", "digests are whole", "wallet_318"),
    Advisory("2022-12-20", "Ory, post-mortem", "nobody gets the identity of another", "ory_2022_12_20"),
    Advisory("firecrawl#3973", "firecrawl", "a positive entry does not hide a revocation", "firecrawl_3973"),
    Advisory("remote authorizer", "heimdall", "parts are framed and in order", "heimdall_remote_authorizer"),
    # Libraries that read tokens, and what surrounds them.
    Advisory("CVE-2022-29217", "PyJWT", "a public key is no HMAC secret", "cve_2022_29217"),
    Advisory("CVE-2026-32597", "PyJWT", "`crit` is understood or refused", "cve_2026_32597"),
    Advisory("CVE-2026-48523", "PyJWT", "the allow-list of algorithms has no way round it", "cve_2026_48523"),
    Advisory("CVE-2026-27962", "Authlib", "no key comes from the token itself", "cve_2026_27962"),
    Advisory("CVE-2025-59420", "Authlib", "`crit` is understood or refused", "cve_2025_59420"),
    Advisory("json: duplicates", "Python", "duplicate members are refused", "python_json_last_duplicate_wins"),
    Advisory("json: numbers", "Python", "NaN and its like are refused", "python_json_takes_numbers_that_are_none"),
    Advisory("json: nesting", "Python", "depth is bounded", "python_json_recurses"),
    Advisory("CVE-2025-64527", "Envoy", "a key set crashes nothing", "cve_2025_64527"),
    Advisory("CVE-2026-26330", "Envoy", "only filters that are needed run", "cve_2026_26330"),
    Advisory("CVE-2026-27124", "FastMCP", "no login is proxied", "cve_2026_27124"),
    Advisory("CVE-2025-69196", "FastMCP", "a token is for the resource that it names", "cve_2025_69196"),
)

_RING_GET = "self._held.get((issuer.issuer, issuer.jwks_uri), _NOTHING)"
_MEMORY_KEY = "key = (*memory_key, operation.kind, operation.era, operation.method, operation.targets)"
_STORE_KEY = "revision, resource, token_digest, operation.kind, operation.era, operation.method, *targets"
_WHOLE_FRAME = "frames += (_LENGTH.pack(len(data)), data)"

_RATE_LIMIT = (
    "filters.insert(at, {'name': 'envoy.filters.http.local_ratelimit', 'typed_config': {'stat_prefix': 'x', '@type': "
    "'type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit'}})"
)

GUARDS: Final = (
    # Key sets.
    _guard(
        "CVE-2026-31837",
        KEY_SETS,
        "test_cve_2026_31837_istio_without_keys_no_token_counts",
        (
            f"{SERVICE}/authentication.py",
            "            return answer\n        keys = answer\n    while",
            "            return SignedToken.vouched(token)\n        keys = answer\n    while",
        ),
    ),
    _guard(
        "CVE-2026-31837",
        KEY_SETS,
        "test_cve_2026_31837_istio_keys_past_the_ceiling_are_no_fallback",
        (f"{SERVICE}/keyring.py", "or now - held.fetched_at > self._terms.jwks_max_stale_s", ""),
    ),
    _guard(
        "CVE-2026-31837",
        KEY_SETS,
        "test_cve_2026_31837_istio_a_key_that_everybody_has_is_no_key",
        (f"{PDP}/jwk.py", "key.thumbprint in PUBLIC_DEMO_KEYS", "False"),
    ),
    _guard(
        "CVE-2026-31837",
        JWT,
        "test_cve_2026_31837_no_key_set_to_fall_back_on",
        (f"{PDP}/jwks.py", "if not by_key_id:", "if False:"),
    ),
    _guard(
        "CVE-2026-31837",
        KEYS,
        "test_cve_2026_31837_istio_without_keys_nothing_is_accepted",
        (
            f"{SERVICE}/key_service.py",
            "KeysUnavailable(self._ring.entry(issuer).last_fault or NOT_YET) if held is None else held",
            "held or parse_key_set(__import__('tests.support.tokens', fromlist=['']).key_set_document())",
        ),
    ),
    _guard(
        "CVE-2026-49998",
        KEY_SETS,
        "test_cve_2026_49998_centrifugo_a_key_of_one_issuer_opens_nothing_at_another",
        (f"{SERVICE}/keyring.py", _RING_GET, "(list(self._held.values()) or [_NOTHING])[-1]"),
    ),
    _guard(
        "CVE-2026-49998",
        RING,
        "test_cve_2026_49998_centrifugo_a_key_belongs_to_its_issuer_whatever_its_kid",
        (f"{SERVICE}/keyring.py", _RING_GET, "(list(self._held.values()) or [_NOTHING])[-1]"),
    ),
    _guard(
        "CVE-2026-49998",
        KEYS,
        "test_cve_2026_49998_centrifugo_one_issuers_key_never_answers_for_anothers",
        (f"{SERVICE}/keyring.py", _RING_GET, "next(iter(self._held.values()), _NOTHING)"),
    ),
    _guard(
        "CVE-2026-49998",
        JWT,
        "test_cve_2026_49998_same_kid_at_two_issuers",
        (f"{PDP}/access_token.py", "if token.issuer != issuer.issuer:", "if False:"),
    ),
    _guard(
        "CVE-2026-32301",
        KEY_SETS,
        "test_cve_2026_32301_an_issuer_that_is_not_configured_is_never_asked",
        (f"{SERVICE}/authentication.py", "if issuer.issuer == token.issuer:", "if token.issuer:"),
    ),
    _guard(
        "CVE-2026-32301",
        JWT,
        "test_cve_2026_32301_key_address_from_the_unverified_issuer",
        (f"{PDP}/access_token.py", "if token.issuer != issuer.issuer:", "if False:"),
    ),
    _guard(
        "CVE-2026-48524",
        KEY_SETS,
        "test_cve_2026_48524_pyjwt_an_unknown_kid_asks_for_keys_once_in_an_interval",
        (f"{SERVICE}/authentication.py", "if asked or not ring.may_refetch(issuer, moment.now):", "if asked:"),
    ),
    _guard(
        "CVE-2026-48524",
        KEYS,
        "test_cve_2026_48524_pyjwt_an_unknown_kid_neither_forces_a_second_fetch_nor_empties_what_is_held[alone]",
        (f"{SERVICE}/key_service.py", "self._ring.hold_off(issuer, now + REFETCH_INTERVAL_S)", "pass"),
        (f"{SERVICE}/keyring.py", "retry_at=now + min", "retry_at=0 * min"),
    ),
    _guard(
        "CVE-2026-48524",
        JWT,
        "test_cve_2026_48524_failed_fetch_is_no_key_set",
        (f"{PDP}/jwks.py", "if not by_key_id:", "if False:"),
    ),
    _guard(
        "coreos/go-oidc#482",
        KEYS,
        "test_go_oidc_482_tilegroxy_883_meho_3484_no_way_to_a_fetch_goes_round_the_interval[alone]",
        (
            f"{SERVICE}/key_service.py",
            "is not KeysCause.NONE_HELD and self._ring.may_refetch(issuer, now):",
            "is not KeysCause.NONE_HELD:",
        ),
    ),
    _guard(
        "wundergraph/cosmo#2216",
        KEYS,
        "test_cosmo_2216_the_limiter_blocks_no_caller[alone]",
        (
            f"{SERVICE}/key_service.py",
            "is not KeysCause.NONE_HELD and self._ring.may_refetch(issuer, now):",
            "is not KeysCause.NONE_HELD:",
        ),
    ),
    _guard(
        "brandonrc/mobula#28",
        KEYS,
        "test_mobula_28_a_set_without_keys_switches_no_limit_off[alone]",
        (f"{SERVICE}/key_service.py", "            if self._ring.may_fetch(issuer, now):", "            if issuer:"),
    ),
    # Caches.
    _guard(
        "CVE-2021-32701",
        CACHES,
        "test_cve_2021_32701_oathkeeper_a_cached_token_still_needs_the_scopes_of_the_second_operation",
        (f"{SERVICE}/procedure.py", _MEMORY_KEY, "key = memory_key"),
    ),
    _guard(
        "CVE-2021-32701",
        JWT,
        "test_cve_2021_32701_remembered_token_is_judged_for_each_resource",
        (f"{PDP}/access_token.py", "if not any(_is_for(audience, resource) for audience in audiences):", "if False:"),
    ),
    _guard(
        "heimdall#3452",
        CACHES,
        "test_heimdall_3452_and_3450_what_a_rule_says_is_applied_on_every_hit",
        (
            f"{SERVICE}/procedure.py",
            "(self.live.policy.revision, resource.name, digest_of(",
            "(self.live.policy.revision, '', digest_of(",
        ),
    ),
    _guard(
        "heimdall#3450",
        CACHES,
        "test_heimdall_3450_a_condition_on_arguments_is_asked_on_every_hit",
        (f"{PDP}/decide.py", "self.memorable = False", "self.memorable = True"),
    ),
    _guard(
        "CVE-2026-35030",
        CACHES,
        "test_cve_2026_35030_litellm_tokens_with_the_same_beginning_are_different_tokens",
        (f"{PDP}/signed_token.py", 'sha256(token.encode(errors="surrogatepass"))', "sha256(token[:20].encode())"),
    ),
    _guard(
        "CVE-2026-35030",
        JWT,
        "test_cve_2026_35030_cache_key_is_the_whole_token",
        (f"{PDP}/signed_token.py", "sha256(text).digest(), claims", "sha256(text[:20]).digest(), claims"),
    ),
    _guard(
        "ministack#1367",
        CACHES,
        "test_ministack_1367_an_allow_for_one_method_is_none_for_another",
        (f"{SERVICE}/procedure.py", _MEMORY_KEY, _MEMORY_KEY.replace("operation.method, ", "")),
    ),
    _guard(
        "ministack#1367",
        CACHES,
        "test_ministack_1367_the_shared_entry_of_one_method_is_not_found_by_another",
        (f"{SERVICE}/stored_decision.py", _STORE_KEY, _STORE_KEY.replace("operation.method, ", "")),
    ),
    _guard(
        "Lomkit/laravel-rest-api#225",
        CACHES,
        "test_laravel_rest_api_225_a_stored_denial_vouches_for_no_allow",
        (f"{SERVICE}/stored_decision.py", "if tuple(statement) == _statement(decision) and", "if statement and"),
    ),
    _guard(
        "Lomkit/laravel-rest-api#225",
        CACHES,
        "test_laravel_rest_api_225_a_cached_denial_is_never_read_as_an_allow",
        (
            f"{SERVICE}/procedure.py",
            "if isinstance(decision, Permit):\n            return self._checked(decision, forward(",
            "if decision:\n            return self._checked(decision, forward(",
        ),
    ),
    _guard(
        "Azure/azure-functions-host#11933",
        CACHES,
        "test_functions_host_11933_msal_node_8705_wallet_318_no_two_lists_of_parts_share_a_digest",
        (f"{SERVICE}/sealed.py", _WHOLE_FRAME, "frames += (data,)"),
    ),
    _guard(
        "steemit/wallet#318",
        CACHES,
        "test_functions_host_11933_msal_node_8705_wallet_318_no_two_lists_of_parts_share_a_digest",
        (
            f"{SERVICE}/sealed.py",
            "hashlib.sha256(_framed(parts)).hexdigest()",
            "hashlib.sha256(_framed(parts)).hexdigest()[:16]",
        ),
    ),
    _guard(
        "2022-12-20",
        CACHES,
        "test_ory_2022_12_20_nobody_is_handed_the_identity_of_another",
        (f"{SERVICE}/procedure.py", "resource.name, digest_of(credentials.token))", "resource.name, b'')"),
    ),
    _guard(
        "firecrawl#3973",
        CACHES,
        "test_firecrawl_3973_a_positive_entry_hides_a_revoked_token_no_longer_than_the_ceiling",
        (f"{SERVICE}/procedure.py", "return min(float(token.expires_at), ", "return max(float(token.expires_at), "),
    ),
    _guard(
        "firecrawl#3973",
        JWT,
        "test_firecrawl_3973_revoked_token_in_its_second_spelling",
        (f"{PDP}/signed_token.py", "if twin is None else (token.digest, twin)", ""),
    ),
    _guard(
        "remote authorizer",
        CACHES,
        "test_heimdall_remote_authorizer_a_key_is_framed_and_in_a_fixed_order",
        (f"{SERVICE}/procedure.py", _MEMORY_KEY, f"{_MEMORY_KEY[:-1]}, self.request.body)"),
    ),
    _guard(
        "remote authorizer",
        CACHES,
        "test_heimdall_remote_authorizer_a_key_is_framed_and_in_a_fixed_order",
        (
            f"{SERVICE}/stored_decision.py",
            "for target in operation.targets for part",
            "for target in set(operation.targets) for part",
        ),
    ),
    # Libraries.
    _guard(
        "CVE-2022-29217",
        JWT,
        "test_cve_2022_29217_key_confusion",
        (f"{PDP}/jose.py", "or algorithm not in ALGORITHMS", ""),
    ),
    _guard(
        "CVE-2026-32597",
        JWT,
        "test_cve_2026_32597_unknown_critical_extension",
        (f"{PDP}/jose.py", '"crit": "names', '"x": "names'),
    ),
    _guard(
        "CVE-2025-59420",
        JWT,
        "test_cve_2025_59420_critical_header_of_another_extension",
        (f"{PDP}/jose.py", '"crit": "names', '"x": "names'),
    ),
    _guard(
        "CVE-2026-48523",
        JWT,
        "test_cve_2026_48523_algorithm_outside_the_allow_list",
        (f"{PDP}/access_token.py", "if token.algorithm not in issuer.algorithms:", "if False:"),
    ),
    _guard(
        "CVE-2026-48523",
        JWT,
        "test_cve_2026_48523_judged_without_the_screen",
        (
            f"{PDP}/access_token.py",
            "    # 1\n    fault = screen(token, issuer)\n    if fault is not None:",
            "    fault = screen(token, issuer)\n    if False:",
        ),
    ),
    *(
        _guard(
            "CVE-2026-27962",
            JWT,
            f"test_cve_2026_27962_key_from_the_tokens_own_header[{parameter}-cert-rs256]",
            (f"{PDP}/jose.py", f'    "{parameter}": "', f'    "x-{parameter}": "'),
        )
        for parameter in ("jwk", "jku", "x5c", "x5u")
    ),
    _guard(
        "json: duplicates",
        JWT,
        "test_python_json_last_duplicate_wins",
        (f"{PDP}/strict_json.py", "if len(members) != len(pairs):", "if False:"),
    ),
    _guard(
        "json: numbers",
        JWT,
        "test_python_json_takes_numbers_that_are_none[NaN]",
        (f"{PDP}/strict_json.py", "parse_float=_float, parse_constant=_constant", "parse_float=_float"),
    ),
    _guard(
        "json: numbers",
        JWT,
        "test_python_json_takes_numbers_that_are_none[1e400]",
        (f"{PDP}/strict_json.py", "parse_float=_float, parse_constant", "parse_float=float, parse_constant"),
    ),
    _guard(
        "json: nesting",
        JWT,
        "test_python_json_recurses",
        (f"{PDP}/strict_json.py", "if openings > max_depth and _deeper_than(", "if False and _deeper_than("),
    ),
    _guard(
        "CVE-2025-64527",
        JWT,
        "test_cve_2025_64527_odd_key_set_crashes_nothing",
        (f"{PDP}/jwk.py", "    except ValueError:", "    except ZeroDivisionError:"),
    ),
    # Proxies.
    _guard(
        "CVE-2025-64527",
        ENVOY,
        "test_cve_2025_64527_two_tokens_and_a_key_set_of_nonsense_bring_no_proxy_down",
        (f"{PDP}/credentials.py", '.get("authorization")', '.get("authorization", "").partition(",")[0]'),
    ),
    _guard(
        "CVE-2026-26330",
        ENVOY,
        "test_cve_2026_26330_no_filter_runs_that_is_not_needed",
        (f"{RENDER}/plain_fields.py", "filters.insert(at, _body_size_limit(edge.max_body_bytes))", _RATE_LIMIT),
    ),
    _guard(
        "CVE-2026-27124",
        ENVOY,
        "test_cve_2026_27124_fastmcp_no_login_is_proxied",
        (f"{RENDER}/routes.py", "RouteMatch(path_separated_prefix=own), new", 'RouteMatch(prefix="/"), new'),
    ),
    _guard(
        "CVE-2026-27124",
        ENVOY,
        "test_cve_2026_27124_fastmcp_clients_are_sent_to_the_issuer_itself",
        (f"{PDP}/metadata.py", '"authorization_servers": list(servers)', '"authorization_servers": [resource.uri]'),
    ),
    _guard(
        "CVE-2025-69196",
        JWT,
        "test_cve_2025_69196_token_of_one_resource_at_another",
        (f"{PDP}/access_token.py", "if not any(_is_for(audience, resource) for audience in audiences):", "if False:"),
    ),
)
