"""Every published advisory about tokens, keys and their caches: the test named after it, and what it guards.

`ADVISORIES` lists each with its lesson. `GUARDS` lists, for each, the markers of its guards in this project's source
(`# guard: <name>`, see `tests.support.source_guards`), and what becomes of the marked piece when the guard is taken
away. That the test then fails is proved by `test_guards_removed.py`.

A test is named after its advisory: the CVE, the package and the number of an issue, or the date of a post-mortem.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.source_guards import ALWAYS, NEVER, Becomes, FirstOperand, Gone, Removal

TESTS: Final = Path(__file__).parents[1]


def _test_file(name: str) -> str:
    """The file of tests with this name, wherever it is."""
    (found,) = TESTS.rglob(name)
    return str(found.relative_to(TESTS.parent))


CACHES: Final = _test_file("test_cache_advisories.py")
JWT: Final = _test_file("test_jwt_advisories.py")
KEY_SETS: Final = _test_file("test_key_set_advisories.py")
ENVOY: Final = _test_file("test_envoy_advisories.py")
RING: Final = _test_file("test_keyring.py")
KEYS: Final = _test_file("test_key_service.py")


@dataclass(frozen=True, slots=True)
class Advisory:
    """What was published about another project. `name` is how tests of it are named."""

    ident: str
    project: str
    lesson: str
    name: str


@dataclass(frozen=True, slots=True)
class Guard:
    """A test of an advisory, and the pieces of source, by their markers, without which it has to turn red."""

    advisory: str
    file: str
    test: str
    removals: tuple[tuple[str, Removal], ...]

    @property
    def node(self) -> str:
        """As pytest names it."""
        return f"{self.file}::{self.test}"


def _guard(advisory: str, file: str, test: str, *removals: tuple[str, Removal]) -> Guard:
    return Guard(advisory, file, test, removals)


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

_KEYS_OF_ALL = Becomes("(list(self._held.values()) or [_NOTHING])[-1]")

_RATE_LIMIT = (
    "filters.insert(at, {'name': 'envoy.filters.http.local_ratelimit', 'typed_config': {'stat_prefix': 'x', '@type': "
    "'type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit'}})"
)
_TEST_KEYS = (
    "_original_ if held else parse_key_set(__import__('tests.support.tokens', fromlist=['']).key_set_document())"
)

GUARDS: Final = (
    # Key sets.
    _guard(
        "CVE-2026-31837",
        KEY_SETS,
        "test_cve_2026_31837_istio_without_keys_no_token_counts",
        ("keys-or-nothing", Becomes("SignedToken.vouched(token)")),
    ),
    _guard(
        "CVE-2026-31837",
        KEY_SETS,
        "test_cve_2026_31837_istio_keys_past_the_ceiling_are_no_fallback",
        ("stale-ceiling", FirstOperand()),
    ),
    _guard(
        "CVE-2026-31837",
        KEY_SETS,
        "test_cve_2026_31837_istio_a_key_that_everybody_has_is_no_key",
        ("public-demo-keys", NEVER),
    ),
    _guard(
        "CVE-2026-31837",
        JWT,
        "test_cve_2026_31837_no_key_set_to_fall_back_on",
        ("empty-key-set", NEVER),
    ),
    _guard(
        "CVE-2026-31837",
        KEYS,
        "test_cve_2026_31837_istio_without_keys_nothing_is_accepted",
        ("no-built-in-keys", Becomes(_TEST_KEYS)),
    ),
    _guard(
        "CVE-2026-49998",
        KEY_SETS,
        "test_cve_2026_49998_centrifugo_a_key_of_one_issuer_opens_nothing_at_another",
        ("keys-of-the-issuer", _KEYS_OF_ALL),
    ),
    _guard(
        "CVE-2026-49998",
        RING,
        "test_cve_2026_49998_centrifugo_a_key_belongs_to_its_issuer_whatever_its_kid",
        ("keys-of-the-issuer", _KEYS_OF_ALL),
    ),
    _guard(
        "CVE-2026-49998",
        KEYS,
        "test_cve_2026_49998_centrifugo_one_issuers_key_never_answers_for_anothers",
        ("keys-of-the-issuer", Becomes("next(iter(self._held.values()), _NOTHING)")),
    ),
    _guard(
        "CVE-2026-49998",
        JWT,
        "test_cve_2026_49998_same_kid_at_two_issuers",
        ("issuer-exact", NEVER),
    ),
    _guard(
        "CVE-2026-32301",
        KEY_SETS,
        "test_cve_2026_32301_an_issuer_that_is_not_configured_is_never_asked",
        ("issuer-configured", ALWAYS),
    ),
    _guard(
        "CVE-2026-32301",
        JWT,
        "test_cve_2026_32301_key_address_from_the_unverified_issuer",
        ("issuer-exact", NEVER),
    ),
    _guard(
        "CVE-2026-48524",
        KEY_SETS,
        "test_cve_2026_48524_pyjwt_an_unknown_kid_asks_for_keys_once_in_an_interval",
        ("refetch-interval", FirstOperand()),
    ),
    _guard(
        "CVE-2026-48524",
        KEYS,
        "test_cve_2026_48524_pyjwt_an_unknown_kid_neither_forces_a_second_fetch_nor_empties_what_is_held[alone]",
        ("refetch-holds-off", Gone()),
        ("retry-later", Becomes("0.0")),
    ),
    _guard(
        "CVE-2026-48524",
        JWT,
        "test_cve_2026_48524_failed_fetch_is_no_key_set",
        ("empty-key-set", NEVER),
    ),
    _guard(
        "coreos/go-oidc#482",
        KEYS,
        "test_go_oidc_482_tilegroxy_883_meho_3484_no_way_to_a_fetch_goes_round_the_interval[alone]",
        ("refetch-limited", FirstOperand()),
    ),
    _guard(
        "wundergraph/cosmo#2216",
        KEYS,
        "test_cosmo_2216_the_limiter_blocks_no_caller[alone]",
        ("refetch-limited", FirstOperand()),
    ),
    _guard(
        "brandonrc/mobula#28",
        KEYS,
        "test_mobula_28_a_set_without_keys_switches_no_limit_off[alone]",
        ("fetch-limited", ALWAYS),
    ),
    # Caches.
    _guard(
        "CVE-2021-32701",
        CACHES,
        "test_cve_2021_32701_oathkeeper_a_cached_token_still_needs_the_scopes_of_the_second_operation",
        ("decision-key-targets", Becomes("()")),
    ),
    _guard(
        "CVE-2021-32701",
        JWT,
        "test_cve_2021_32701_remembered_token_is_judged_for_each_resource",
        ("audience-exact", NEVER),
    ),
    _guard(
        "heimdall#3452",
        CACHES,
        "test_heimdall_3452_and_3450_what_a_rule_says_is_applied_on_every_hit",
        ("token-key-resource", Gone()),
    ),
    _guard(
        "heimdall#3450",
        CACHES,
        "test_heimdall_3450_a_condition_on_arguments_is_asked_on_every_hit",
        ("arguments-not-cached", ALWAYS),
    ),
    _guard(
        "CVE-2026-35030",
        CACHES,
        "test_cve_2026_35030_litellm_tokens_with_the_same_beginning_are_different_tokens",
        ("whole-token", Becomes("sha256(token[:20].encode()).digest()")),
    ),
    _guard(
        "CVE-2026-35030",
        JWT,
        "test_cve_2026_35030_cache_key_is_the_whole_token",
        ("whole-token-inspected", Becomes("sha256(text[:20]).digest()")),
    ),
    _guard(
        "ministack#1367",
        CACHES,
        "test_ministack_1367_an_allow_for_one_method_is_none_for_another",
        ("decision-key-method", Gone()),
    ),
    _guard(
        "ministack#1367",
        CACHES,
        "test_ministack_1367_the_shared_entry_of_one_method_is_not_found_by_another",
        ("decision-key-method", Gone()),
    ),
    _guard(
        "Lomkit/laravel-rest-api#225",
        CACHES,
        "test_laravel_rest_api_225_what_is_stored_says_in_words_that_it_is_a_permit",
        ("stored-permit", NEVER),
    ),
    _guard(
        "Lomkit/laravel-rest-api#225",
        CACHES,
        "test_laravel_rest_api_225_an_entry_that_is_there_is_not_yet_a_valid_token",
        ("stored-valid", FirstOperand()),
    ),
    _guard(
        "Lomkit/laravel-rest-api#225",
        CACHES,
        "test_laravel_rest_api_225_an_entry_of_one_kind_is_none_of_another",
        ("kind-signed", Gone()),
        ("key-signed", Gone()),
        ("stored-valid", FirstOperand()),
    ),
    _guard(
        "Lomkit/laravel-rest-api#225",
        CACHES,
        "test_laravel_rest_api_225_a_cached_denial_is_never_read_as_an_allow",
        ("only-permit-forwards", ALWAYS),
    ),
    _guard(
        "Azure/azure-functions-host#11933",
        CACHES,
        "test_functions_host_11933_msal_node_8705_wallet_318_no_two_lists_of_parts_share_a_digest",
        ("framed", Becomes("_original_[1:]")),
    ),
    _guard(
        "steemit/wallet#318",
        CACHES,
        "test_functions_host_11933_msal_node_8705_wallet_318_no_two_lists_of_parts_share_a_digest",
        ("whole-digest", Becomes("_original_[:16]")),
    ),
    _guard(
        "2022-12-20",
        CACHES,
        "test_ory_2022_12_20_nobody_is_handed_the_identity_of_another",
        ("token-key-token", Gone()),
    ),
    _guard(
        "firecrawl#3973",
        CACHES,
        "test_firecrawl_3973_a_positive_entry_hides_a_revoked_token_no_longer_than_the_ceiling",
        ("ceiling", Becomes("float(token.expires_at)")),
    ),
    _guard(
        "firecrawl#3973",
        JWT,
        "test_firecrawl_3973_revoked_token_in_its_second_spelling",
        ("second-spelling", Becomes("_original_[:1]")),
    ),
    _guard(
        "remote authorizer",
        CACHES,
        "test_heimdall_remote_authorizer_a_key_is_framed_and_in_a_fixed_order",
        ("decision-key", Becomes("decision_key((token[0] + str(request.body), *token[1:]), operation)")),
    ),
    _guard(
        "remote authorizer",
        CACHES,
        "test_heimdall_remote_authorizer_a_key_is_framed_and_in_a_fixed_order",
        (
            "stored-decision-key-targets",
            Becomes("(part for target in sorted(targets) for part in (target.kind, target.name))"),
        ),
    ),
    # Libraries.
    _guard(
        "CVE-2022-29217",
        JWT,
        "test_cve_2022_29217_key_confusion",
        ("known-algorithm", FirstOperand()),
    ),
    _guard(
        "CVE-2026-32597",
        JWT,
        "test_cve_2026_32597_unknown_critical_extension",
        ("crit", Gone()),
    ),
    _guard(
        "CVE-2025-59420",
        JWT,
        "test_cve_2025_59420_critical_header_of_another_extension",
        ("crit", Gone()),
    ),
    _guard(
        "CVE-2026-48523",
        JWT,
        "test_cve_2026_48523_algorithm_outside_the_allow_list",
        ("algorithm-listed", NEVER),
    ),
    _guard(
        "CVE-2026-48523",
        JWT,
        "test_cve_2026_48523_judged_without_the_screen",
        ("screened", NEVER),
    ),
    *(
        _guard(
            "CVE-2026-27962",
            JWT,
            f"test_cve_2026_27962_key_from_the_tokens_own_header[{parameter}-cert-rs256]",
            (parameter, Gone()),
        )
        for parameter in ("jwk", "jku", "x5c", "x5u")
    ),
    _guard(
        "json: duplicates",
        JWT,
        "test_python_json_last_duplicate_wins",
        ("no-duplicates", NEVER),
    ),
    _guard(
        "json: numbers",
        JWT,
        "test_python_json_takes_numbers_that_are_none[NaN]",
        ("no-constants", Gone()),
    ),
    _guard(
        "json: numbers",
        JWT,
        "test_python_json_takes_numbers_that_are_none[1e400]",
        ("finite-numbers", Gone()),
    ),
    _guard(
        "json: nesting",
        JWT,
        "test_python_json_recurses",
        ("depth-bounded", NEVER),
    ),
    _guard(
        "CVE-2025-64527",
        JWT,
        "test_cve_2025_64527_odd_key_set_crashes_nothing",
        ("odd-key-is-ignored", Becomes("ZeroDivisionError")),
    ),
    # Proxies.
    _guard(
        "CVE-2025-64527",
        ENVOY,
        "test_cve_2025_64527_two_tokens_and_a_key_set_of_nonsense_bring_no_proxy_down",
        ("one-credential", Becomes("(_original_ or '').partition(',')[0]")),
    ),
    _guard(
        "CVE-2026-26330",
        ENVOY,
        "test_cve_2026_26330_no_filter_runs_that_is_not_needed",
        ("only-needed-filters", Becomes(_RATE_LIMIT)),
    ),
    _guard(
        "CVE-2026-27124",
        ENVOY,
        "test_cve_2026_27124_fastmcp_no_login_is_proxied",
        ("own-paths-only", Becomes("(RouteMatch(prefix='/'), new)")),
    ),
    _guard(
        "CVE-2026-27124",
        ENVOY,
        "test_cve_2026_27124_fastmcp_clients_are_sent_to_the_issuer_itself",
        ("issuer-named", Becomes("[resource.uri]")),
    ),
    _guard(
        "CVE-2025-69196",
        JWT,
        "test_cve_2025_69196_token_of_one_resource_at_another",
        ("audience-exact", NEVER),
    ),
)
