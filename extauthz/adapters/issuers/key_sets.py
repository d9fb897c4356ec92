"""Fetches key sets from issuers over HTTP.

No `Authorization` is sent: Casdoor answers one that it does not know with an error body and status 200 (casdoor.md
§4). What comes back is only worth having when it is a key set; everything else is a failure whose message names the
likely cause.
"""

import logging
from collections.abc import Callable
from typing import Final

from extauthz.adapters.issuers.address_policy import Resolve, resolve
from extauthz.adapters.issuers.discovery import Discovery
from extauthz.adapters.issuers.http_client import (
    CertificateFault,
    HttpAnswer,
    HttpFault,
    Target,
    exchange,
    open_client,
    origin,
)
from extauthz.pdp.policy import Issuer
from extauthz.pdp.strict_json import read_json
from extauthz.pdp.token.jwks import MAX_KEY_SET_BYTES, KeySet, KeySetFault, parse_key_set
from extauthz.pdp.token.key_scope import holds_more_than_own_keys
from extauthz.service.ports import KeySetUnavailable

_log = logging.getLogger("extauthz.keys")

KEY_SET_TOTAL_S: Final = 4.0
"""Casdoor answers in 3 ms; an issuer that needs seconds is as good as down."""
MAX_ERROR_DEPTH: Final = 8
MAX_QUOTED_CHARS: Final = 120

# What Casdoor says with status 200, and what it means (casdoor.md §4).
CASDOOR_ERRORS: Final = {
    "Unauthorized operation": "Casdoor does not serve this path: use /.well-known/jwks or "
    "/.well-known/<application>/jwks (databases made before 2026-01-19 may know the first only)",
    "Access token doesn't exist": "something on the way adds credentials to our request: take it out there",
    "x509": "one certificate of this Casdoor is damaged: mend it, or use /.well-known/<application>/jwks",
}


class IssuerHttp:
    """`service.ports.KeySetFetcher` over HTTP. One event loop.

    `ca_file`: PEM file with the CAs to trust instead of the environment's. `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        ca_file: str = "",
        resolver: Resolve = resolve,
        total_s: float = KEY_SET_TOTAL_S,
    ) -> None:
        self.discovery = Discovery(clock=clock, ca_file=ca_file, resolver=resolver)
        self._total_s = total_s
        self._unlike: dict[str, str] = {}
        """By issuer name, the URL whose key set was said not to be one application's own."""

    async def fetch(self, issuer: Issuer) -> bytes:
        """The document as it came: a key set with at least one usable key. Raises `KeySetUnavailable`."""
        try:
            return await self._fetched(issuer)
        except HttpFault as fault:
            if not issuer.jwks_uri:
                self.discovery.forget(issuer)
            if isinstance(fault, CertificateFault):
                self.discovery.trust.reread()
            raise KeySetUnavailable(str(fault)) from fault

    async def close(self) -> None:
        """Stop what is under way."""
        await self.discovery.close()

    async def _fetched(self, issuer: Issuer) -> bytes:
        if issuer.jwks_uri and not origin(issuer.jwks_uri):
            raise HttpFault(f"`jwks_uri` of {issuer.name} is no plain http(s) URL: write it without user or fragment")
        target = Target(url=issuer.jwks_uri) if issuer.jwks_uri else await self.discovery.jwks_target(issuer)
        async with open_client(target.url, await self.discovery.trust.context()) as client:
            answer = await exchange(client, target, total_s=self._total_s, max_bytes=MAX_KEY_SET_BYTES)
        if answer.status != 200:
            raise HttpFault(f"{target.url}: {_status_cause(answer)}")
        key_set = parse_key_set(answer.body)
        if isinstance(key_set, KeySetFault):
            raise HttpFault(f"{target.url}: {_body_cause(answer) or key_set.detail}")
        self._look_at_scope(issuer, target.url, key_set)
        return answer.body

    def _look_at_scope(self, issuer: Issuer, url: str, key_set: KeySet) -> None:
        """Say it once when what an application's own path serves are the keys of every organization."""
        unlike = holds_more_than_own_keys(issuer, url, key_set)
        if unlike and self._unlike.get(issuer.name) != url:
            _log.warning(
                "issuer %s: %s holds %d keys, an application's own key set has one: Casdoor serves the keys of every "
                "organization for an application that it does not know or that has no certificate of its own; give "
                "the application one, or accept it with shared_keys: true",
                issuer.name,
                url,
                len(key_set.keys) + len(key_set.ignored),
            )
            self._unlike[issuer.name] = url
        elif not unlike:
            self._unlike.pop(issuer.name, None)


def _status_cause(answer: HttpAnswer) -> str:
    match answer.status:
        case 401 | 403 | 407:
            return f"status {answer.status}: a key set is public; check the proxy on the way, and `jwks_uri`"
        case 404 | 410:
            return f"status {answer.status}: no key set there; check `jwks_uri`"
        case 500 if not answer.body:
            return "status 500 without a body: in Casdoor, a certificate without PEM text; mend or delete it"
        case status:
            return f"status {status}: check the issuer's log"


def _body_cause(answer: HttpAnswer) -> str:
    """The likely cause of a body with status 200 that is no key set; empty when nothing special is known."""
    if answer.body.lstrip()[:1] == b"<":
        return "a web page, not a key set: check `jwks_uri` (for Casdoor it ends in /jwks)"
    document = read_json(answer.body, max_depth=MAX_ERROR_DEPTH)
    if not isinstance(document, dict) or "keys" in document:
        return ""
    said = document.get("msg") or document.get("error_description") or document.get("error")
    if not isinstance(said, str):
        return ""
    for text, cause in CASDOOR_ERRORS.items():
        if text in said:
            return f"an error with status 200 ({said[:MAX_QUOTED_CHARS]!a}): {cause}"
    return f"an error with status 200 ({said[:MAX_QUOTED_CHARS]!a}): check `jwks_uri` and the issuer's log"
