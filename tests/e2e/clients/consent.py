"""The person at the browser: says yes at a demo issuer that consents. Standard library only: every client uses it."""

import urllib.error
import urllib.parse
import urllib.request


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The redirect leads to the client, which is this program."""

    def redirect_request(self, *_args: object, **_kwargs: object) -> None:
        return None


class Consent:
    """Hands an SDK the answer to its authorization request, and keeps what it asked for."""

    def __init__(self, user: str) -> None:
        self.asked: list[dict[str, str]] = []
        self._user = user
        self._answer: dict[str, str] = {}

    async def redirect(self, url: str) -> None:
        """The SDK's `redirect_handler`."""
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        self.asked.append({name: query.get(name, "") for name in ("scope", "resource", "code_challenge_method")})
        opener = urllib.request.build_opener(_NoRedirects(), urllib.request.ProxyHandler({}))
        try:
            opener.open(f"{url}&login_hint={self._user}", timeout=10)
        except urllib.error.HTTPError as answer:
            location = answer.headers.get("location", "")
            self._answer = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(location).query))

    def answer(self) -> tuple[str, str | None]:
        """Code and state of the last answer."""
        return self._answer["code"], self._answer.get("state")
