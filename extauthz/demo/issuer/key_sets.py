"""The JWKS documents, the ways in which a real issuer's go wrong, and how often they were fetched."""

import asyncio
from collections import Counter
from enum import StrEnum
from typing import Final

from starlette.responses import HTMLResponse, JSONResponse, Response

from extauthz.demo.issuer.realm import Realm

HANG_S: Final = 60.0
"""Longer than any client waits, short enough that a forgotten request ends."""
HUGE_BYTES: Final = 8 * 1024 * 1024

ERROR_BODY: Final = {"status": "error", "msg": "x509: malformed certificate", "sub": "", "name": "", "data": None}
"""What Casdoor answers, with status 200, when one certificate of the whole set is broken."""


class JwksAnswer(StrEnum):
    """How the JWKS endpoint behaves."""

    KEYS = "keys"
    ERROR_200 = "error_200"
    HTML = "html"
    SERVER_ERROR = "server_error"
    EMPTY_SET = "empty_set"
    HANG = "hang"
    HUGE = "huge"
    REDIRECT = "redirect"


class KeySets:
    """The JWKS endpoint, global and per application. `answer` may be changed at any time, from any thread."""

    def __init__(self, realm: Realm) -> None:
        self.answer = JwksAnswer.KEYS
        self.fetches: Counter[str] = Counter()
        """Requests so far, by path."""
        self._realm = realm

    async def respond(self, path: str, application: str = "") -> Response:
        """Answer one request for the set of `application` (a name), or for all keys."""
        self.fetches[path] += 1
        match self.answer:
            case JwksAnswer.KEYS:
                return JSONResponse({"keys": self._keys(application)})
            case JwksAnswer.ERROR_200:
                return JSONResponse(ERROR_BODY)
            case JwksAnswer.HTML:
                return HTMLResponse("<!doctype html><title>502 Bad Gateway</title>")
            case JwksAnswer.SERVER_ERROR:
                return Response(status_code=500)
            case JwksAnswer.EMPTY_SET:
                return JSONResponse({"keys": []})
            case JwksAnswer.HANG:
                await asyncio.sleep(HANG_S)
                return Response(status_code=504)
            case JwksAnswer.HUGE:
                return Response(b'{"keys":[],"x":"' + b"x" * HUGE_BYTES + b'"}', media_type="application/json")
            case JwksAnswer.REDIRECT:
                return Response(status_code=302, headers={"location": path})

    def _keys(self, application: str) -> list[object]:
        """An application without a certificate of its own, or that does not exist, gets every key (as Casdoor v3)."""
        own = next((known.certificate for known in self._realm.applications if known.name == application), "")
        certificates = self._realm.certificates
        return [dict(each.jwk) for each in certificates if each.name == own] or [
            dict(each.jwk) for each in certificates
        ]
