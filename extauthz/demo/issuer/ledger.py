"""What has been issued and what of it still counts: codes, access tokens, refresh tokens."""

import secrets
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from extauthz.demo.issuer.tokens import Grant, TokenPair

CODE_LIFETIME_S: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """An authorization code's row: what was consented to, and what the token request must prove."""

    grant: Grant
    code_challenge: str
    redirect_uri: str
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A row of Casdoor's `token` table: one issue of an access token and maybe a refresh token."""

    grant: Grant
    pair: TokenPair
    active: bool = True


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


class Ledger:
    """Rows in memory, found by digests. Only the issuer's own thread writes, but for `record`."""

    def __init__(self) -> None:
        self._codes: dict[str, Code] = {}
        self._issued: dict[str, Issued] = {}
        self._by_access: dict[str, str] = {}
        self._by_refresh: dict[str, str] = {}

    def add_code(self, grant: Grant, *, code_challenge: str, redirect_uri: str, now: float) -> str:
        """A new code, good once, for five minutes."""
        code = secrets.token_hex(10)
        self._codes[code] = Code(
            grant=grant, code_challenge=code_challenge, redirect_uri=redirect_uri, expires_at=now + CODE_LIFETIME_S
        )
        return code

    def take_code(self, code: str, now: float) -> Code | None:
        """The code's row, once; None when there is none or it is too old."""
        row = self._codes.pop(code, None)
        return row if row is not None and row.expires_at > now else None

    def record(self, grant: Grant, pair: TokenPair) -> None:
        """Remember an issue."""
        number = str(pair.claims.get("jti", ""))
        self._issued[number] = Issued(grant=grant, pair=pair)
        self._by_access[_digest(pair.access_token)] = number
        if pair.refresh_token:
            self._by_refresh[_digest(pair.refresh_token)] = number

    def by_access_token(self, token: str) -> Issued | None:
        """The row of an access token that still counts."""
        return self._active(self._by_access.get(_digest(token)))

    def by_refresh_token(self, token: str) -> Issued | None:
        """The row of a refresh token that still counts."""
        return self._active(self._by_refresh.get(_digest(token)))

    def end(self, issued: Issued) -> None:
        """The pair no longer counts. Its access token stays valid for whoever only checks signatures."""
        number = str(issued.pair.claims.get("jti", ""))
        self._issued[number] = replace(issued, active=False)

    def _active(self, number: str | None) -> Issued | None:
        issued = self._issued.get(number) if number is not None else None
        return issued if issued is not None and issued.active else None
