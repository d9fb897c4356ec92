"""The words of a policy file: grammars of names, patterns, durations and header prefixes, as pydantic types."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from extauthz.config.policy_file.fault import Problem
from extauthz.config.settings.addresses import authority_complaint, url_complaint
from extauthz.pdp.quoting import quoted

COMPLAINT: Final = "complaint"
"""Error type of our own checks inside pydantic; `message` and `mend` stand in the error's context."""

# Characters. Names become metric labels, Envoy cluster names and file names.
MAX_NAME_CHARS: Final = 64
# Characters of a scope, a pattern, an audience or a client id. Far above what issuers and servers use.
MAX_WORD_CHARS: Final = 512

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
# RFC 6749 §3.3 scope-token.
_SCOPE: Final = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")
_DURATION: Final = re.compile(r"(0|[1-9][0-9]{0,8})([smh])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600}
# RFC 9110 §5.1 token, lower case, without the underscore: servers turn "_" and "-" into the same variable.
# The authority is whole and ends with a slash, so that nothing can follow the host: `https://a.example*` would match
# `https://a.example.evil.test/`, and `https://a.example@evil.test/`.
_CLIENT_PATTERN: Final = re.compile(r"https://[a-z0-9.-]+(:[0-9]{1,5})?/[^*?#\\\s]*\*")
_PREFIX: Final = re.compile(r"[a-z0-9!#$%&'*+.^`|~-]*[a-z0-9]-")
# Every header that begins with the prefix is removed from requests, so it must not be the beginning of any of these.
_NEEDED_HEADERS: Final = (
    *("accept", "accept-encoding", "accept-language", "access-control-request-method", "authorization"),
    *("cache-control", "content-encoding", "content-length", "content-type", "if-none-match", "last-event-id"),
    *("mcp-method", "mcp-name", "mcp-param-x", "mcp-protocol-version", "mcp-session-id", "origin", "sec-fetch-mode"),
    *("transfer-encoding", "user-agent", "x-b3-traceid", "x-envoy-decorator-operation", "x-extauthz-decision"),
    *("x-forwarded-for", "x-request-id"),
)


def checked(check: Callable[[str], Problem | None], schema: dict[str, Any]) -> tuple[AfterValidator, WithJsonSchema]:
    """The pydantic parts of a text type: its check, and its JSON Schema."""

    def validate(value: str) -> str:
        complaint = check(value)
        if complaint is not None:
            raise refusal(complaint)
        return value

    return AfterValidator(validate), WithJsonSchema({"type": "string", **schema})


def refusal(complaint: Problem) -> PydanticCustomError:
    """A complaint as the error that pydantic collects."""
    return PydanticCustomError(COMPLAINT, "{message}", {"message": complaint.message, "hint": complaint.hint})


def _word_complaint(text: str) -> Problem | None:
    if not text:
        return Problem("an empty text", "write a value, or leave the key out")
    if len(text) > MAX_WORD_CHARS:
        return Problem(f"the text is longer than {MAX_WORD_CHARS} characters", "shorten it")
    if text != text.strip() or "\n" in text:
        return Problem(f"{quoted(text)} has white space around it", "names compare exactly: remove the space")
    return None


def _name_complaint(text: str) -> Problem | None:
    if _NAME.fullmatch(text) and len(text) <= MAX_NAME_CHARS:
        return None
    hint = f"use up to {MAX_NAME_CHARS} letters, digits, - and _, a letter or digit first"
    return Problem(f"{quoted(text)} cannot be a name", hint)


def _scope_complaint(text: str) -> Problem | None:
    if _SCOPE.fullmatch(text) and len(text) <= MAX_WORD_CHARS:
        return None
    return Problem(f"{quoted(text)} is not a scope name", "use printable ASCII without spaces, quotes and backslashes")


def _method_complaint(text: str) -> Problem | None:
    if any(char.isspace() for char in text):
        return Problem(f"the method {quoted(text)} has white space in it", "write one method per list item")
    return _word_complaint(text)


def _audience_complaint(text: str) -> Problem | None:
    if "*" in text:
        return Problem(f"the audience {quoted(text)} has a wildcard", "list each audience; any audience is never right")
    return _word_complaint(text)


def _client_complaint(text: str) -> Problem | None:
    if "*" in text:
        return Problem(f"{quoted(text)} has a wildcard", "patterns work in rules only: list each name")
    return _word_complaint(text)


def _client_pattern_complaint(text: str) -> Problem | None:
    if "*" in text and not _CLIENT_PATTERN.fullmatch(text):
        return Problem(
            f"{quoted(text)} has a `*`, expected at the end of a URL with a whole host and a path",
            'list the client ids; for ids that are URLs write "https://clients.example.com/*"',
        )
    return _word_complaint(text)


def _prefix_complaint(text: str) -> Problem | None:
    if not _PREFIX.fullmatch(text) or len(text) > MAX_NAME_CHARS:
        return Problem(f"{quoted(text)} is not a header prefix", 'use lower-case letters, digits and "-", "-" last')
    taken = next((header for header in _NEEDED_HEADERS if header.startswith(text)), None)
    if taken is None:
        return None
    message = f"the prefix {quoted(text)} would remove the header {quoted(taken)} from every request"
    return Problem(message, 'use a prefix of your own, as "x-auth-"')


def seconds_of(value: object) -> object:
    """Whole seconds of `60s`, `5m`, `24h`; anything else as it is, for the integer check that follows."""
    if isinstance(value, str):
        found = _DURATION.fullmatch(value)
        if found is None:
            raise refusal(Problem(f"{quoted(value)} is not a duration", 'write "60s", "5m", "24h" or whole seconds'))
        return int(found[1]) * _SECONDS[found[2]]
    return value


def _between(least: int, most: int) -> Callable[[int], int]:
    def validate(value: int) -> int:
        if not least <= value <= most:
            message = f"{value if abs(value) < 10**12 else 'a huge number of'} s is out of bounds"
            raise refusal(Problem(message, f"use {least} s to {most} s"))
        return value

    return validate


def duration(least: int, most: int) -> tuple[BeforeValidator, AfterValidator, WithJsonSchema]:
    """The pydantic parts of a duration type, in whole seconds between the bounds (both allowed)."""
    schema = {
        "anyOf": [
            {"type": "integer", "minimum": least, "maximum": most},
            {"type": "string", "pattern": f"^{_DURATION.pattern}$"},
        ]
    }
    return BeforeValidator(seconds_of), AfterValidator(_between(least, most)), WithJsonSchema(schema)


def _any_scheme(text: str) -> Problem | None:
    return url_complaint(text, allow_http=True)


_WORD_SCHEMA: Final = {"minLength": 1, "maxLength": MAX_WORD_CHARS}

Name: TypeAlias = Annotated[
    str, *checked(_name_complaint, {"pattern": f"^{_NAME.pattern}$", "maxLength": MAX_NAME_CHARS})
]
"""Key of an issuer or a resource."""
ScopeName: TypeAlias = Annotated[
    str,
    *checked(_scope_complaint, {"pattern": r"^[!#-\[\]-~]+$", "maxLength": MAX_WORD_CHARS}),
]
Client: TypeAlias = Annotated[str, *checked(_client_complaint, {**_WORD_SCHEMA, "pattern": r"^[^*]+$"})]
"""A client id or an organization: compared exactly."""
ClientPattern: TypeAlias = Annotated[
    str, *checked(_client_pattern_complaint, {**_WORD_SCHEMA, "pattern": rf"^([^*]+|{_CLIENT_PATTERN.pattern})$"})
]
"""A client id, or `https://host/path*` for client ids that are URLs (client id metadata documents)."""
Audience: TypeAlias = Annotated[str, *checked(_audience_complaint, {**_WORD_SCHEMA, "pattern": r"^[^*]+$"})]
MethodPattern: TypeAlias = Annotated[str, *checked(_method_complaint, {**_WORD_SCHEMA, "pattern": r"^\S+$"})]
TargetPattern: TypeAlias = Annotated[str, *checked(_word_complaint, _WORD_SCHEMA)]
Authority: TypeAlias = Annotated[str, *checked(authority_complaint, {"minLength": 1})]
UpstreamUrl: TypeAlias = Annotated[str, *checked(_any_scheme, {"format": "uri"})]
HeaderPrefix: TypeAlias = Annotated[
    str, *checked(_prefix_complaint, {"pattern": f"^{_PREFIX.pattern}$", "maxLength": MAX_NAME_CHARS})
]
Url: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "format": "uri"})]
"""A URL whose rules depend on `unsafe_allow_http`; `policy_file` checks them."""
