"""Asks issuers about tokens (RFC 7662).

* `token_type_hint=access_token` always: without it Casdoor finds refresh tokens active (casdoor.md §7.1).
* The client authenticates with form fields, not with Basic: at Casdoor a Basic header opens an administrator's
  session, whose cookie would come back with the answer. No cookie is kept either way.
* What the answer means is the rule of `pdp.token.introspection_answer`.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from extauthz.adapters.issuers.caller_breaker import CallerBreaker
from extauthz.adapters.issuers.discovery import Discovery
from extauthz.adapters.issuers.http_client import (
    AnswerFault,
    CertificateFault,
    HttpAnswer,
    HttpFault,
    Target,
    exchange,
    open_client,
    origin,
)
from extauthz.pdp.policy import Introspection, Issuer
from extauthz.pdp.strict_json import JsonFault, read_json
from extauthz.pdp.token.introspection_answer import is_active_bearer
from extauthz.service.needs import Introspected

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger("extauthz.issuers")

TOTAL_S: Final = 1.0
"""Casdoor answers in 5 ms; a check waits for this."""
MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_ANSWER_DEPTH: Final = 16
OPEN_S: Final = 2.0
"""How often an issuer that is down is tried, with one check's token."""
TELL_EVERY_S: Final = 60.0
"""At most so often the log begins anew: a caller with a token that the issuer stumbles over must not fill it."""
OVERLOADED: Final = frozenset({429, 502, 503, 504})
"""Answers that count as none for the breaker. Others do not: one token that Casdoor stumbles over (it answers 500,
casdoor.md §2.5) must not stop the introspection of all."""


@dataclass(slots=True)
class _Line:
    """The connection to one endpoint."""

    breaker: CallerBreaker
    client: "httpx.AsyncClient | None" = None
    target: Target | None = None


class IntrospectionHttp:
    """`service.ports.Introspector` over HTTP. One event loop. `clock` gives monotonic seconds.

    The operator is told in one line of the log when an issuer begins to fail, and in one when it answers again.
    """

    def __init__(self, *, discovery: Discovery, clock: Callable[[], float], total_s: float = TOTAL_S) -> None:
        self._discovery = discovery
        self._clock = clock
        self._total_s = total_s
        self._lines: dict[tuple[str, str], _Line] = {}
        self._failing: set[str] = set()
        """Names of issuers of which was told that they do not answer."""
        self._quiet_until: dict[str, float] = {}

    async def introspect(self, issuer: Issuer, token: str, caller: str) -> Introspected:
        """The issuer's word; UNAVAILABLE for anything that is not a clear yes or no, and while the breaker is open."""
        terms = issuer.introspection
        if terms is None:
            return Introspected.UNAVAILABLE
        line = self._line(issuer, terms)
        if not line.breaker.allows(caller):
            return Introspected.UNAVAILABLE
        try:
            target, answer = await self._ask(line, issuer, terms, token)
        except HttpFault as fault:
            if isinstance(fault, AnswerFault):
                line.breaker.stumbled(caller)
            else:
                line.breaker.unreachable()
            line.target = None
            if not terms.endpoint:
                self._discovery.forget(issuer)
            if isinstance(fault, CertificateFault):
                self._discovery.trust.reread()
                await _hang_up(line)
            return self._unavailable(issuer, str(fault))
        if answer.status in OVERLOADED:
            line.breaker.stumbled(caller)
        else:
            line.breaker.answered(caller)
        said = _word(answer)
        if isinstance(said, Introspected):
            if issuer.name in self._failing:
                self._failing.discard(issuer.name)
                _log.info("issuer %s answers about tokens again", issuer.name)
            return said
        return self._unavailable(issuer, f"{target.url}: {said}")

    async def close(self) -> None:
        """Close the connections."""
        for line in self._lines.values():
            await _hang_up(line)
        self._lines.clear()

    def _unavailable(self, issuer: Issuer, fault: str) -> Introspected:
        now = self._clock()
        if issuer.name not in self._failing and now >= self._quiet_until.get(issuer.name, now):
            self._failing.add(issuer.name)
            self._quiet_until[issuer.name] = now + TELL_EVERY_S
            _log.warning("issuer %s does not answer about tokens, which are refused meanwhile: %s", issuer.name, fault)
        return Introspected.UNAVAILABLE

    def _line(self, issuer: Issuer, terms: Introspection) -> _Line:
        key = (issuer.issuer, terms.endpoint)
        if key not in self._lines:
            self._lines[key] = _Line(CallerBreaker(open_s=OPEN_S, clock=self._clock))
        return self._lines[key]

    async def _ask(self, line: _Line, issuer: Issuer, terms: Introspection, token: str) -> tuple[Target, HttpAnswer]:
        if line.target is None:
            line.target = await self._target(issuer, terms)
        target = line.target
        context = await self._discovery.trust.context()
        if line.client is None:
            line.client = open_client(target.url, context)
        form = {
            "token": token,
            "token_type_hint": "access_token",
            "client_id": terms.client_id,
            "client_secret": terms.client_secret,
        }
        return target, await exchange(line.client, target, total_s=self._total_s, max_bytes=MAX_ANSWER_BYTES, form=form)

    async def _target(self, issuer: Issuer, terms: Introspection) -> Target:
        if not terms.endpoint:
            return await self._discovery.introspection_target(issuer)
        if not origin(terms.endpoint):
            raise HttpFault(f"`introspection.endpoint` of {issuer.name} is no plain http(s) URL: write it plainly")
        return Target(url=terms.endpoint)


async def _hang_up(line: _Line) -> None:
    client, line.client = line.client, None
    if client is not None:
        await client.aclose()


def _word(answer: HttpAnswer) -> Introspected | str:
    """The issuer's word, or why there is none."""
    if answer.status != 200:
        return f"status {answer.status}: check `introspection` (client id, secret, endpoint)"
    document = read_json(answer.body, max_depth=MAX_ANSWER_DEPTH)
    if isinstance(document, JsonFault) or not isinstance(document, dict):
        return "no JSON object: check the endpoint"
    active = is_active_bearer(document)
    if active is None:
        return "no boolean `active`: check client id and secret, and the issuer's log"
    return Introspected.ACTIVE if active else Introspected.INACTIVE
