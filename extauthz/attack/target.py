"""Where the attacks go, and the values of a run that they are made with."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from extauthz.attack.respelled import uri_parts
from extauthz.pdp.quoting import quoted

# Names that need no escape in JSON, nor in a header.
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.\-/]{1,128}")
_VISIBLE: Final = re.compile(r"[\x21-\x7e]*")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One MCP endpoint."""

    secure: bool
    host: str
    port: int
    authority: str
    """As in the URL: what the `Host` header says."""
    path: str

    @classmethod
    def of(cls, url: str) -> "Target":
        """Read the URL of an endpoint. Raises ValueError with a sentence."""
        if not _VISIBLE.fullmatch(url):
            raise ValueError(f"{url!r} has characters that no URL has: give the endpoint's, percent-encoded")
        parts = urlsplit(url)
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise ValueError(f"{url!r} is no http or https URL: give the endpoint's, as http://127.0.0.1:8080/mcp")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("the URL has a user, a query or a fragment: leave them out")
        return cls(
            secure=parts.scheme == "https",
            host=parts.hostname,
            port=parts.port or _DEFAULT_PORTS[parts.scheme],
            authority=parts.netloc,
            path=parts.path or "/",
        )

    @property
    def url(self) -> str:
        """The URL again."""
        return f"{'https' if self.secure else 'http'}://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What the user has named. An empty value is an absent one: cases that need it are passed over."""

    tool: str = ""
    """A tool that the token may call, and that does no harm."""
    arguments: str = "{}"
    """Arguments that it takes, as a JSON object."""
    forbidden: str = ""
    """A tool that policy refuses. A gateway with a hole will run it."""
    forbidden_arguments: str = "{}"
    guarded: str = ""
    """A tool that policy permits or refuses by its arguments."""
    guarded_permitted: str = "{}"
    guarded_refused: str = "{}"
    """Arguments for each, as JSON objects; of the refused ones, each member by itself is a reason to refuse."""
    forbidden_uri: str = ""
    """A resource that policy refuses, with a host, a path, and in it each of `_ - ~`, so that all can be respelt."""
    token: str = field(default="", repr=False)
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Tokens that have to be refused, by what is wrong with them."""
    origin: str = ""
    """A browser origin that is allowed."""

    def __post_init__(self) -> None:
        """Raises ValueError for a value that would change the message or the header around it."""
        for name in (self.tool, self.forbidden, self.guarded):
            if name and not _PLAIN_NAME.fullmatch(name):
                raise ValueError(f"the tool name {name!r} has characters besides A-Z a-z 0-9 _ . - /: choose another")
        if self.forbidden_uri and uri_parts(self.forbidden_uri) is None:
            message = (
                f"--forbidden-uri {quoted(self.forbidden_uri)} is not plain: choose one as docs://vault/secret_plan"
            )
            raise ValueError(message)
        for what, value in (("--token", self.token), ("--origin", self.origin), *self.tokens.items()):
            if not _VISIBLE.fullmatch(value):
                raise ValueError(
                    f"the value of {what} has spaces or characters besides ASCII: give it as it was issued"
                )
