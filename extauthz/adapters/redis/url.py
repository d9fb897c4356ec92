"""What EXTAUTHZ_REDIS_URL may say: one server, a master watched by sentinels, or a cluster; and with which credentials.

redis://user:password@host:6379/0           rediss:// for TLS
unix:///run/redis.sock?db=0
redis+sentinel://user:password@host1:26379,host2:26379/mymaster/0?sentinel_password=…      rediss+sentinel://
redis+cluster://user:password@host1:6379,host2:6379                                        rediss+cluster://
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote

MAX_HOSTS: Final = 64
"""In one URL: a typing error or an attack otherwise; three are usual."""
MAX_PORT: Final = 65_535
DEFAULT_PORT: Final = 6379
DEFAULT_SENTINEL_PORT: Final = 26_379

RESP2: Final = 2
TLS_OPTIONS: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
SENTINEL_OPTIONS: Final = frozenset({"sentinel_username", "sentinel_password"})
PASSWORD_OPTIONS: Final = ("password", "sentinel_password")
URL_OPTIONS: Final = frozenset({"db", "protocol", "password"}) | TLS_OPTIONS | SENTINEL_OPTIONS
"""What may stand in the URL's query. Others of the client's options would undo the limits of the adapters."""

_URL: Final = re.compile(r"([A-Za-z+]+)://(?:([^/?#]*)@)?([^/?#]*)([^?#]*)(?:\?([^#]*))?")
"""Scheme, user information, hosts, path, query; no fragment (RFC 3986 appendix B). Python's own reader of URLs knows
one host only, and from 3.14 on refuses lists with an IPv6 address."""
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]@/,\s]+)(?::([0-9]{1,5}))?")
_MASTER: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""The characters that Sentinel allows in a master's name."""
_OPTION: Final = re.compile(r"[a-z_]{1,40}")


class Form(StrEnum):
    """What stands behind the URL."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


FORMS: Final[Mapping[str, Form]] = {
    "redis": Form.SINGLE,
    "rediss": Form.SINGLE,
    "unix": Form.SINGLE,
    "redis+sentinel": Form.SENTINEL,
    "rediss+sentinel": Form.SENTINEL,
    "redis+cluster": Form.CLUSTER,
    "rediss+cluster": Form.CLUSTER,
}
"""By the URL's scheme."""


class Address(NamedTuple):
    """Where a server listens; of a unix socket, nothing."""

    host: str
    port: int

    def __str__(self) -> str:
        """As in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files. Without `ca` the system's authorities count, without `cert` no client certificate is shown."""

    ca: str | None
    cert: str | None
    key: str | None
    """None: it stands in the file of the certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who we say we are; None: not said."""

    username: str | None
    password: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisUrl:
    """A URL that was read."""

    form: Form
    hosts: tuple[Address, ...]
    """As named: of one server, of sentinels, or of some nodes of a cluster. None for a unix socket."""
    master: str = ""
    """The name under which sentinels know the master."""
    tls: TlsFiles | None
    """None: no TLS."""
    login: Login = field(repr=False)
    """To the servers."""
    sentinel_login: Login = field(repr=False)
    database: int = 0
    protocol: int = RESP2
    socket: str = ""
    """Path of a unix socket, in place of hosts."""

    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Passwords that it holds, as they are and as they are written."""

    def __str__(self) -> str:
        """For people: without user names, passwords and options."""
        tls = "s" if self.tls is not None else ""
        hosts = ",".join(map(str, self.hosts))
        match self.form:
            case Form.SINGLE:
                return f"unix://{self.socket}" if self.socket else f"redis{tls}://{hosts}/{self.database}"
            case Form.SENTINEL:
                return f"redis{tls}+sentinel://{hosts}/{self.master}/{self.database}"
            case Form.CLUSTER:
                return f"redis{tls}+cluster://{hosts}"


class _Parts(NamedTuple):
    """Of a URL, as written."""

    scheme: str
    user_information: str
    hosts: str
    path: str
    query: str


def read_redis_url(url: str) -> RedisUrl:
    """Read it. Raises ValueError, without the URL in its message, saying what to write instead."""
    if "$(" in url or "${" in url:
        raise ValueError(
            "the Redis URL has a reference such as $(REDIS_PASSWORD), which nobody has replaced: leave the password "
            "out, and set EXTAUTHZ_REDIS_PASSWORD or EXTAUTHZ_REDIS_PASSWORD_FILE"
        )
    form = FORMS.get(url.partition("://")[0].lower()) if "://" in url else None
    if form is None:
        raise ValueError(
            "the Redis URL must begin with redis://, rediss:// or unix://, or with redis+sentinel://, "
            "rediss+sentinel://, redis+cluster:// or rediss+cluster://"
        )
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError(_UNREADABLE)
    scheme, *others = found.groups(default="")
    parts = _Parts(scheme.lower(), *others)
    try:
        options = _options(parts.query)
        _check_numbers(parts, options, form)
    except ValueError:
        # The original message may quote what stands before the host: the password.
        raise ValueError(_UNREADABLE) from None
    _check_options(options, form, secure=parts.scheme.startswith("rediss"))
    return _read(parts, options, form)


_UNREADABLE: Final = (
    "the Redis URL cannot be read: write redis://user:password@host:6379/0, with %-escapes in user and password"
)


def _read(parts: _Parts, options: dict[str, str], form: Form) -> RedisUrl:
    username, _, password = parts.user_information.partition(":")
    hosts: tuple[Address, ...] = ()
    master, database = "", parts.path.strip("/")
    if parts.scheme == "unix":
        database = ""
    else:
        hosts = _hosts(parts.hosts or "localhost", DEFAULT_SENTINEL_PORT if form is Form.SENTINEL else DEFAULT_PORT)
    if form is Form.SENTINEL:
        master, _, database = database.partition("/")
        if not _MASTER.fullmatch(master):
            raise ValueError(
                "the Redis URL does not name the master that the sentinels watch: "
                "write redis+sentinel://user:password@host1:26379,host2:26379/mymaster/0"
            )
    elif form is Form.SINGLE and len(hosts) > 1:
        raise ValueError(
            "the Redis URL names several hosts: write redis+sentinel:// or redis+cluster:// for redis://, or one host"
        )
    return RedisUrl(
        form=form,
        hosts=hosts,
        master=master,
        tls=_tls(options) if parts.scheme.startswith("rediss") else None,
        login=Login(
            username=unquote(username) or None,
            password=unquote(password) or options.get("password"),
        ),
        sentinel_login=Login(username=options.get("sentinel_username"), password=options.get("sentinel_password")),
        database=int(options.get("db") or database or 0),
        protocol=int(options.get("protocol", RESP2)),
        socket=unquote(parts.path) if parts.scheme == "unix" else "",
        secrets=tuple(filter(None, (password, unquote(password), *map(options.get, PASSWORD_OPTIONS)))),
    )


def _options(query: str) -> dict[str, str]:
    """As written but for %-escapes: a `+` means a blank in HTML forms only (RFC 3986 §2.2)."""
    fields = (field.partition("=") for field in query.split("&") if field)
    return {unquote(name): unquote(value) for name, _, value in fields}


def _tls(options: Mapping[str, str]) -> TlsFiles:
    return TlsFiles(ca=options.get("ssl_ca_certs"), cert=options.get("ssl_certfile"), key=options.get("ssl_keyfile"))


def _hosts(names: str, default_port: int) -> tuple[Address, ...]:
    hosts: list[Address] = []
    for name in names.split(","):
        found = _HOST.fullmatch(name)
        port = int(found[2] or default_port) if found else 0
        if found is None or not 0 < port <= MAX_PORT:
            raise ValueError(_UNREADABLE)
        hosts.append(Address(unquote(found[1]).strip("[]"), port))
    if len(hosts) > MAX_HOSTS:
        raise ValueError(
            f"the Redis URL names {len(hosts)} hosts: name up to {MAX_HOSTS}, the others are found by them"
        )
    return tuple(dict.fromkeys(hosts))


def _check_numbers(parts: _Parts, options: Mapping[str, str], form: Form) -> None:
    """Raise ValueError for what is no number where one must be, and for what a bare `?` in a password does."""
    if any(not _OPTION.fullmatch(name) for name in options):
        raise ValueError
    if options.get("protocol", "2") not in ("2", "3"):
        raise ValueError
    match form:
        case Form.SINGLE:
            _ = int(options.get("db") or (parts.scheme != "unix" and parts.path.strip("/")) or "0")
        case Form.SENTINEL:
            _ = int(options.get("db") or parts.path.strip("/").partition("/")[2] or "0")
        case Form.CLUSTER:
            if int(options.get("db") or parts.path.strip("/") or "0") != 0:
                raise ValueError


def _check_options(options: Mapping[str, str], form: Form, *, secure: bool) -> None:
    allowed = URL_OPTIONS if form is Form.SENTINEL else URL_OPTIONS - SENTINEL_OPTIONS
    if unknown := sorted(options.keys() - allowed):
        raise ValueError(f"the Redis URL has options {unknown}: only {sorted(allowed)} can be set")
    tls = sorted(options.keys() & TLS_OPTIONS)
    if tls and not secure:
        raise ValueError(f"the Redis URL has options {tls}, which mean nothing without TLS: write rediss for redis")
    if "ssl_keyfile" in options and "ssl_certfile" not in options:
        raise ValueError("the Redis URL has ssl_keyfile without ssl_certfile: name the client certificate as well")
    for option in tls:
        if not Path(options[option]).is_file():
            raise ValueError(f"the Redis URL names a file in {option} that is not there: check its path and mount")
