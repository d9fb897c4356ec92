"""What can be done at the admin port beside looking: revoke, take back, and tell of events (`docs/howto/revoke.md`).

    POST   /revocations                          admin token    put in force           pdp.revocation_request
    GET    /revocations                          admin token    what is in force
    DELETE /revocations/<id>                     admin token    take one back
    POST   /events/<issuer>/backchannel-logout   signed         OpenID Connect Back-Channel Logout 1.0 §2.5
    POST   /events/<issuer>/sso-logout           signed         Casdoor's notification; GET as well
    POST   /events/<issuer>/webhook              secret         Casdoor's webhook

Answers are JSON. A refused event says no more than that it was refused: why stands in the log.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, assert_never
from urllib.parse import parse_qsl

from extauthz.pdp.policy import Policy
from extauthz.pdp.revocation.revocation import Revocation, RevocationFault
from extauthz.pdp.revocation.revocation_request import SOURCE, read_request
from extauthz.service.revocation.events import EventKind, Events, NotTaken, NotTakenCause, Taken, is_one_of
from extauthz.service.revocation.revoking import Refused, RefusedCause, Revoker, Spread

MAX_BODY_BYTES: Final = 256 * 1024
"""Of an order or a logout token: 100 items of the largest usual kind."""
MAX_NOTICE_BYTES: Final = 1024 * 1024
"""Of an SSO-logout notification, whose signature is inside: some 14,000 token hashes of one user."""
MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
"""Of a webhook whose sender has the secret: as much as Casdoor's column for the object holds (`mediumtext`), so that
nobody escapes by what stands in a record."""
MAX_FORM_FIELDS: Final = 16
NOTICE_FIELD: Final = "notification"
"""The form field of a notification: the `Parameter` of Casdoor's notification provider."""
TOKEN_FIELD: Final = "logout_token"  # noqa: S105 - a name, not a secret

_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"
_CHALLENGE: Final = (("WWW-Authenticate", 'Bearer realm="extauthz admin"'),)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminRequest:
    """A request whose body was read whole. Of headers that are there twice, none is."""

    method: str
    path: str
    query: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Names in lower case."""
    body: bytes = field(default=b"", repr=False)

    @property
    def content_type(self) -> str:
        """Without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def bearer(self) -> str:
        """The credentials of scheme Bearer (RFC 6750 §2.1); empty when there are none."""
        return _bearer(self.headers.get("authorization", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminAnswer:
    """What to send back, as JSON."""

    status: HTTPStatus
    told: Mapping[str, Any]
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def body(self) -> bytes:
        """The JSON text."""
        return json.dumps(self.told).encode() + b"\n"


class AdminActions:
    """Answers requests, from any thread."""

    def __init__(
        self,
        *,
        admin_tokens: tuple[bytes, ...],
        policy: Callable[[], Policy],
        revoker: Revoker,
        events: Events,
        new_id: Callable[[], str],
        clock: Callable[[], float],
    ) -> None:
        self._admin_tokens = admin_tokens
        self._policy = policy
        self._revoker = revoker
        self._events = events
        self._new_id = new_id
        self._clock = clock

    def methods(self, path: str) -> tuple[str, ...]:
        """The methods that a path takes; none for a path that has nothing to do with us."""
        match path.split("/")[1:]:
            case ["revocations"]:
                return ("GET", "POST")
            case ["revocations", _]:
                return ("DELETE",)
            case ["events", _, EventKind.SSO_LOGOUT]:
                return ("GET", "POST")
            case ["events", _, EventKind.BACKCHANNEL_LOGOUT | EventKind.WEBHOOK]:
                return ("POST",)
            case _:
                return ()

    def max_body_bytes(self, path: str, authorization: str) -> int:
        """How large a body is read for a path, given the request's header `Authorization`."""
        match path.split("/")[1:]:
            case ["events", _, EventKind.WEBHOOK]:
                known = self._events.knows_webhook(_bearer(authorization))
                return MAX_RECORD_BYTES if known else MAX_BODY_BYTES
            case ["events", _, EventKind.SSO_LOGOUT]:
                return MAX_NOTICE_BYTES
            case _:
                return MAX_BODY_BYTES

    def answer(self, request: AdminRequest) -> AdminAnswer:
        """Answer a request with one of the methods of its path."""
        if "origin" in request.headers:
            return _refused(HTTPStatus.FORBIDDEN, "requests of web pages are not answered here")
        match request.path.split("/")[1:]:
            case ["events", issuer, EventKind.BACKCHANNEL_LOGOUT]:
                return self._backchannel_logout(issuer, request)
            case ["events", issuer, EventKind.SSO_LOGOUT]:
                return self._sso_logout(issuer, request)
            case ["events", issuer, EventKind.WEBHOOK]:
                return _event_answer(self._events.webhook(issuer, request.bearer, request.body))
            case ["revocations"]:
                refused = self._refused_admin(request)
                if refused is not None:
                    return refused
                return self._list() if request.method == "GET" else self._revoke(request)
            case ["revocations", revocation_id]:
                return self._refused_admin(request) or self._undo(revocation_id)
            case _:
                return _refused(HTTPStatus.NOT_FOUND, "nothing here: see /")

    def _refused_admin(self, request: AdminRequest) -> AdminAnswer | None:
        if not self._admin_tokens:
            return _refused(
                HTTPStatus.FORBIDDEN,
                "this service takes no orders: set EXTAUTHZ_ADMIN_TOKEN or EXTAUTHZ_ADMIN_TOKEN_FILE to at least 32 "
                "random bytes, as from `openssl rand -hex 32`, and start it again",
            )
        if not is_one_of(request.bearer, self._admin_tokens):
            why = "send `Authorization: Bearer` with the service's EXTAUTHZ_ADMIN_TOKEN"
            return _refused(HTTPStatus.UNAUTHORIZED, why, _CHALLENGE)
        return None

    def _list(self) -> AdminAnswer:
        return AdminAnswer(
            status=HTTPStatus.OK, told={"revocations": [_shown(item) for item in self._revoker.listed()]}
        )

    def _revoke(self, request: AdminRequest) -> AdminAnswer:
        if request.content_type != _JSON:
            return _refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send `Content-Type: {_JSON}`")
        items = read_request(request.body, self._policy().issuers.values(), self._clock(), self._new_id)
        if isinstance(items, RevocationFault):
            return _refused(HTTPStatus.BAD_REQUEST, items.detail)
        return _ordered(self._revoker.revoke(items), {"revocations": [_shown(item) for item in items]})

    def _undo(self, revocation_id: str) -> AdminAnswer:
        return _ordered(self._revoker.undo(revocation_id, SOURCE), {"undone": revocation_id})

    def _backchannel_logout(self, issuer: str, request: AdminRequest) -> AdminAnswer:
        given = _form_field(request.body, TOKEN_FIELD) if request.content_type == _FORM else None
        if given is None:
            return _oidc_refusal(f"send one form field {TOKEN_FIELD} with `Content-Type: {_FORM}`")
        found = self._events.backchannel_logout(issuer, given)
        if isinstance(found, NotTaken) and found.cause is NotTakenCause.INVALID:
            return _oidc_refusal("the logout token was not accepted: see the log of extauthz")
        return _event_answer(found)

    def _sso_logout(self, issuer: str, request: AdminRequest) -> AdminAnswer:
        form = request.query.encode(errors="replace") if request.method == "GET" else request.body
        given = _form_field(form, NOTICE_FIELD)
        if given is None:
            why = f"send one form field {NOTICE_FIELD}: set the Parameter of Casdoor's notification provider to it"
            return _refused(HTTPStatus.BAD_REQUEST, why)
        return _event_answer(self._events.sso_logout(issuer, given.encode(errors="replace")))


def _bearer(authorization: str) -> str:
    scheme, _, credentials = authorization.partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else ""


def _form_field(form: bytes, name: str) -> str | None:
    """The value of a field that is there once."""
    try:
        fields = parse_qsl(
            form.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS, errors="strict"
        )
    except ValueError:
        return None
    values = [value for key, value in fields if key == name]
    return values[0] if len(values) == 1 else None


def _shown(item: Revocation) -> dict[str, Any]:
    shown = {
        "id": item.id,
        "by": item.by.value,
        "issuer": item.issuer,
        "value": item.value,
        "client": item.client,
        "organization": item.organization,
        "before": item.before,
        "until": item.until,
        "source": item.source,
    }
    return {name: value for name, value in shown.items() if value != ""}


def _ordered(outcome: Spread | Refused, told: Mapping[str, Any]) -> AdminAnswer:
    if isinstance(outcome, Spread):
        # Not yet everywhere: accepted, as far as this process can tell.
        status = HTTPStatus.ACCEPTED if outcome is Spread.PENDING else HTTPStatus.OK
        return AdminAnswer(status=status, told={**told, "spread": outcome.value})
    match outcome.cause:
        case RefusedCause.INVALID:
            status = HTTPStatus.BAD_REQUEST
        case RefusedCause.UNKNOWN:
            status = HTTPStatus.NOT_FOUND
        case RefusedCause.FULL:
            status = HTTPStatus.INSUFFICIENT_STORAGE
        case RefusedCause.MERGED:
            status = HTTPStatus.CONFLICT
        case _:
            assert_never(outcome.cause)
    return _refused(status, outcome.detail)


def _event_answer(found: Taken | NotTaken) -> AdminAnswer:
    # Casdoor takes every status but 200 for a failure, and tells the user of it or sends the event again.
    if isinstance(found, Taken):
        spread = {} if found.spread is None else {"spread": found.spread.value}
        return AdminAnswer(status=HTTPStatus.OK, told={"revoked": found.revoked, **spread})
    see_log = "the event was not accepted: see the log of extauthz"
    match found.cause:
        case NotTakenCause.NO_ISSUER:
            return _refused(HTTPStatus.NOT_FOUND, "no issuer of that name sends such events: see the log of extauthz")
        case NotTakenCause.CLOSED:
            return _refused(HTTPStatus.FORBIDDEN, "such events are not taken: see the log of extauthz")
        case NotTakenCause.UNAUTHENTICATED:
            return _refused(HTTPStatus.UNAUTHORIZED, see_log, _CHALLENGE)
        case NotTakenCause.INVALID:
            return _refused(HTTPStatus.BAD_REQUEST, see_log)
        case NotTakenCause.UNAVAILABLE:
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, "not now: see the log of extauthz")
        case _:
            assert_never(found.cause)


def _oidc_refusal(why: str) -> AdminAnswer:
    """Back-Channel Logout 1.0 §2.8."""
    return AdminAnswer(status=HTTPStatus.BAD_REQUEST, told={"error": "invalid_request", "error_description": why})


def _refused(status: HTTPStatus, why: str, headers: tuple[tuple[str, str], ...] = ()) -> AdminAnswer:
    return AdminAnswer(status=status, told={"error": why}, headers=headers)
