"""HTTP to issuers as all of it is spoken, against a real server; the rest is seen in test_key_sets.py."""

import asyncio
from pathlib import Path

import pytest

from extauthz.adapters.issuers.http_client import HttpAnswer, HttpFault, Target, Trust, exchange, open_client
from extauthz.pdp.token.jwks import MAX_KEY_SET_BYTES
from tests.support.http_issuer import HttpIssuer, self_signed
from tests.support.tokens import key_set_document

KEY_SET = key_set_document()
GENEROUS_S = 10.0
"""Nothing is slow here, but this machine may be busy."""


def judged(server: HttpIssuer, name: str, ca: Path) -> HttpAnswer:
    """GET from a name that no DNS knows, at the address that was judged."""

    async def main() -> HttpAnswer:
        target = Target(url=f"https://{name}:{server.port}/jwks", address="127.0.0.1")
        async with open_client(target.url, await Trust(str(ca)).context()) as client:
            return await exchange(client, target, total_s=GENEROUS_S, max_bytes=MAX_KEY_SET_BYTES)

    return asyncio.run(main())


def test_a_judged_address_is_where_the_connection_goes_while_tls_checks_the_name(tmp_path: Path) -> None:
    ca, context = self_signed(tmp_path)
    with HttpIssuer(tls=context) as server:
        server.answer("/jwks", body=KEY_SET)
        assert judged(server, "issuer.test", ca).body == KEY_SET
        assert server.seen[0].headers["host"] == f"issuer.test:{server.port}"
        with pytest.raises(HttpFault, match="CERTIFICATE_VERIFY_FAILED"):
            judged(server, "other.test", ca)
        assert len(server.seen) == 1


def test_certificates_are_read_once_and_while_they_are_the_loop_goes_on() -> None:
    async def main() -> None:
        trust = Trust("")
        reading = asyncio.ensure_future(trust.context())
        rounds = 0
        while not reading.done():
            rounds += 1
            await asyncio.sleep(0)
        assert rounds > 10  # read within the loop, it would be done in two
        assert await trust.context() is await reading

    asyncio.run(main())
