"""Settings of one process: flags, else environment, else defaults.

What the policy file says about issuers and resources is not here, and what is here changes only with a restart.
`OTEL_*` variables belong to the OpenTelemetry SDK and are left to it.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from extauthz.config.policy_file.fault import Problem
from extauthz.config.settings.client_names import client_names_of
from extauthz.config.settings.exposure import open_to_network
from extauthz.config.settings.secret import MIN_SECRET_BYTES, Secret, secret_from_file, secrets_setting
from extauthz.config.settings.variables import KNOWN_VARIABLES as KNOWN_VARIABLES  # noqa: PLC0414 - a part of the settings
from extauthz.config.settings.variables import unknown_variables
from extauthz.files import FileFault, read_regular_file
from extauthz.pdp.quoting import quoted
from extauthz.service.endpoint import (
    MAX_PORT,
    MAX_SOCKET_PATH_BYTES,
    Endpoint,
    EndpointFault,
    TcpEndpoint,
    UnixEndpoint,
    endpoint_of,
    worker_endpoint,
)

MAX_FIRST_SOCKET_PATH_BYTES: Final = MAX_SOCKET_PATH_BYTES - 3
"""Those of other workers have a number behind it."""
DEFAULT_POLICY: Final = "extauthz.yaml"
DEFAULT_LISTEN: Final = "127.0.0.1:9001"
DEFAULT_ADMIN_HOST: Final = "127.0.0.1"
DEFAULT_ADMIN_PORT: Final = 9002

# One to sign, one still accepted: what a rotation needs.
MAX_CACHE_SECRETS: Final = 2
# One in use, one still accepted: what a rotation needs.
MAX_ADMIN_TOKENS: Final = 2
MAX_WEBHOOK_SECRETS: Final = 2
# One for each application at which users sign up, and room for rotations.
MAX_SSO_SECRETS: Final = 16
# Processes. One machine with more cores runs several instances.
MAX_WORKERS: Final = 256
REDIS_PASSWORD: Final = "EXTAUTHZ_REDIS_PASSWORD"  # noqa: S105 - a name, not a secret
# Bytes of a PEM file: a bundle of all public authorities has 0.2 MiB, a Secret of Kubernetes 1 MiB at most.
MAX_PEM_BYTES: Final = 1_048_576
# Schemes that say where the shared store is and how to talk to it.
REDIS_SCHEMES: Final = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)


class Transport(StrEnum):
    """How checks come in."""

    GRPCIO = "grpcio"
    PYVOY = "pyvoy"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """PEM files of the gRPC server. With `client_ca`, clients must show a certificate of it (mTLS)."""

    cert: Path
    key: Path
    client_ca: Path | None = None
    client_names: frozenset[str] = frozenset()
    """DNS names and URIs of which a client's certificate must have one; empty: any certificate will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    """The shared store. The URL may hold a password. The first cache secret signs, all verify."""

    url: Secret
    cache_secrets: tuple[Secret, ...]
    password: Secret | None = None
    """Of the servers, in place of one in the URL: as it was at the start."""
    password_file: Path | None = None
    """Where the password is, to be read for each new connection: a mounted Secret may be replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationSettings:
    """What those who may revoke tokens show. Any of several counts; none means that this way in is closed."""

    admin_tokens: tuple[Secret, ...] = ()
    """Of operators and `extauthz revoke`."""
    casdoor_sso_secrets: tuple[Secret, ...] = ()
    """Client secrets of Casdoor applications, with which they sign SSO-logout notifications."""
    casdoor_webhook_secrets: tuple[Secret, ...] = ()
    """What Casdoor's webhooks carry in a header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a process is told at its start."""

    policy: Path
    listen: Endpoint
    """Of the first worker; `worker_listen` has the others."""
    admin_listen: Endpoint
    workers: int
    transport: Transport
    shadow_policy: Path | None = None
    redis: RedisSettings | None = None
    """None: memory only."""
    tls: TlsSettings | None = None
    revocation: RevocationSettings = RevocationSettings()
    unknown_variables: tuple[str, ...] = field(default=(), compare=False)
    """With our prefix, and no setting. Whoever has read the policy knows whether that one names them."""
    fast_path: bool = True
    """Whether checks may take the path that rests on private parts of grpcio."""

    @property
    def open_to_network(self) -> bool:
        """Whether anybody on a network may ask for decisions."""
        return open_to_network(self.listen, clients_authenticated=self.tls is not None and bool(self.tls.client_ca))

    def worker_listen(self, worker: int) -> Endpoint:
        """Where a worker listens, counted from 0."""
        return worker_endpoint(self.listen, worker)

    def worker_admin_listen(self, worker: int) -> Endpoint:
        """Where a worker's own admin port is: each process has its own probes and metrics."""
        return worker_endpoint(self.admin_listen, worker)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingFault:
    """One setting that cannot be used. `setting` is the name of the flag or variable."""

    setting: str
    message: str
    hint: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.setting}: {self.message} ({self.hint})"


@dataclass(frozen=True, slots=True)
class SettingsFaults:
    """Settings with which a process cannot start: every fault found, at least one."""

    faults: tuple[SettingFault, ...]

    def __str__(self) -> str:
        """One line per fault."""
        return "\n".join(map(str, self.faults))


def read_settings(
    env: Mapping[str, str],
    *,
    policy: str | None = None,
    listen: str | None = None,
    admin_listen: str | None = None,
    workers: str | int | None = None,
    transport: str | None = None,
    cpus: int | None = None,
) -> Settings | SettingsFaults:
    """Settings from flags (None: not given) and environment (empty: not set). Reads secret files, changes nothing.

    `cpus` is what `--workers auto` means; None asks the system.
    """
    return _Reader(env).read(
        {
            "policy": policy,
            "listen": listen,
            "admin_listen": admin_listen,
            "workers": None if workers is None else str(workers),
            "transport": transport,
        },
        cpus,
    )


def available_cpus() -> int:
    """Cores that this process may use: its affinity, and the quota of its control group (cgroup v2)."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, _, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").partition(" ")
        return max(1, min(cores, -(-int(quota) // int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, "max", or another layout: no quota
        return max(1, cores)


@dataclass(slots=True)
class _Reader:
    env: Mapping[str, str]
    faults: list[SettingFault] = field(default_factory=list)

    def read(self, flags: Mapping[str, str | None], cpus: int | None) -> Settings | SettingsFaults:
        unknown = self._unknown()
        workers = self._workers(*self._given(flags, "workers", "1"), cpus)
        listen_name, listen_text = self._given(flags, "listen", DEFAULT_LISTEN)
        listen = self._endpoint(listen_name, listen_text, DEFAULT_LISTEN)
        if isinstance(listen, TcpEndpoint) and listen.port + workers - 1 > MAX_PORT:
            self._fault(listen_name, f"{workers} workers need ports beyond {MAX_PORT}", "use a lower port")
        policy = Path(self._given(flags, "policy", DEFAULT_POLICY)[1])
        shadow = self._variable("EXTAUTHZ_SHADOW_POLICY")
        settings = Settings(
            policy=policy,
            shadow_policy=Path(shadow) if shadow else None,
            listen=listen,
            admin_listen=self._admin(flags, listen, workers),
            workers=workers,
            unknown_variables=unknown,
            transport=self._transport(*self._given(flags, "transport", Transport.GRPCIO)),
            redis=self._redis(),
            tls=self._tls(listen),
            fast_path=self._switch("EXTAUTHZ_FAST_PATH", default=True),
            revocation=RevocationSettings(
                admin_tokens=self._secrets("EXTAUTHZ_ADMIN_TOKEN", MAX_ADMIN_TOKENS),
                casdoor_sso_secrets=self._secrets("EXTAUTHZ_CASDOOR_SSO_SECRET", MAX_SSO_SECRETS),
                casdoor_webhook_secrets=self._secrets("EXTAUTHZ_CASDOOR_WEBHOOK_SECRET", MAX_WEBHOOK_SECRETS),
            ),
        )
        self._check_events(settings)
        return SettingsFaults(tuple(self.faults)) if self.faults else settings

    def _fault(self, setting: str, message: str, hint: str) -> None:
        self.faults.append(SettingFault(setting=setting, message=message, hint=hint))

    def _variable(self, name: str) -> str:
        return self.env.get(name, "").strip()

    def _given(self, flags: Mapping[str, str | None], key: str, default: str) -> tuple[str, str]:
        """The name under which a setting was given, and its text."""
        flag = flags[key]
        if flag is not None:
            return "--" + key.replace("_", "-"), flag
        name = "EXTAUTHZ_" + key.upper()
        return name, self._variable(name) or default

    def _endpoint(self, setting: str, text: str, default: str) -> Endpoint:
        """Where to listen; after a fault, something to go on with."""
        found = endpoint_of(text, MAX_FIRST_SOCKET_PATH_BYTES)
        if isinstance(found, EndpointFault):
            self._fault(setting, found.text, found.hint)
            return self._endpoint(setting, default, default)
        return found

    def _unknown(self) -> tuple[str, ...]:
        """Variables that are no settings; those that are nearly one are faults at once."""
        unknown = dict(unknown_variables(self.env))
        for name, meant in unknown.items():
            if meant:
                self._fault(name, "no such setting", f"did you mean {meant}?")
        return tuple(name for name, meant in unknown.items() if not meant)

    def _workers(self, setting: str, text: str, cpus: int | None) -> int:
        if text == "auto":
            return min(MAX_WORKERS, cpus if cpus is not None else available_cpus())
        if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_WORKERS:
            self._fault(setting, f"{quoted(text)} is no number of workers", f'use 1 to {MAX_WORKERS}, or "auto"')
            return 1
        return int(text)

    def _transport(self, setting: str, text: str) -> Transport:
        try:
            return Transport(text)
        except ValueError:
            self._fault(setting, f"{quoted(text)} is no transport", "use " + " or ".join(Transport))
            return Transport.GRPCIO

    def _admin(self, flags: Mapping[str, str | None], listen: Endpoint, workers: int) -> Endpoint:
        port = DEFAULT_ADMIN_PORT
        if isinstance(listen, TcpEndpoint):
            port = min(listen.port + workers, MAX_PORT) if listen.port else 0
        default = str(TcpEndpoint(DEFAULT_ADMIN_HOST, port))
        setting, text = self._given(flags, "admin_listen", default)
        admin = self._endpoint(setting, text, default)
        if isinstance(admin, TcpEndpoint) and admin.port + workers - 1 > MAX_PORT:
            self._fault(setting, f"the admin ports of {workers} workers go beyond {MAX_PORT}", "use a lower port")
        taken = {worker_endpoint(listen, worker) for worker in range(workers)}
        if any(_meet(worker_endpoint(admin, worker), taken) for worker in range(workers)):
            last = worker_endpoint(listen, workers - 1)
            own = f"{admin} to {worker_endpoint(admin, workers - 1)}" if workers > 1 else str(admin)
            message = f"{own} meets where checks come in, {listen}" + (f" to {last}" if workers > 1 else "")
            self._fault(setting, message, "choose another port")
        return admin

    def _redis(self) -> RedisSettings | None:
        url = self._variable("EXTAUTHZ_REDIS_URL")
        secrets = self._secrets("EXTAUTHZ_CACHE_SECRET", MAX_CACHE_SECRETS)
        password = self._password()
        if not url:
            if password is not None:
                self._fault(
                    "EXTAUTHZ_REDIS_URL", "not set, while a password for Redis is", "set it, or unset the password"
                )
            return None
        scheme, separator, _ = url.partition("://")
        if not separator or scheme.lower() not in REDIS_SCHEMES:
            # The URL may hold a password: it is not repeated.
            self._fault("EXTAUTHZ_REDIS_URL", "not a Redis URL", "write redis://host:6379/0 or rediss://host:6380/0")
        if not secrets and not any(fault.setting.startswith("EXTAUTHZ_CACHE_SECRET") for fault in self.faults):
            message = "needed with EXTAUTHZ_REDIS_URL: what stands in Redis is signed with it"
            hint = f"set it to at least {MIN_SECRET_BYTES} random bytes, as from `openssl rand -hex 32`"
            self._fault("EXTAUTHZ_CACHE_SECRET", message, hint)
        file = self._variable(f"{REDIS_PASSWORD}_FILE")
        return RedisSettings(
            url=Secret(url),
            cache_secrets=secrets,
            password=password,
            password_file=Path(file) if file else None,
        )

    def _password(self) -> Secret | None:
        """One password, as long as Redis has it; white space around a variable's is its own."""
        text, file = self.env.get(REDIS_PASSWORD, ""), self._variable(f"{REDIS_PASSWORD}_FILE")
        if text.strip() and file:
            self._fault(REDIS_PASSWORD, f"set together with {REDIS_PASSWORD}_FILE", "set one of the two")
            return None
        if file:
            found = secret_from_file(Path(file))
            if isinstance(found, Problem):
                self._fault(f"{REDIS_PASSWORD}_FILE", found.message, found.hint)
                return None
            return found
        return Secret(text) if text.strip() else None

    def _secrets(self, setting: str, at_most: int) -> tuple[Secret, ...]:
        found, complaints = secrets_setting(setting, self.env, at_most=at_most)
        for where, complaint in complaints:
            self._fault(where, complaint.message, complaint.hint)
        return found

    def _check_events(self, settings: Settings) -> None:
        """An event comes to one worker, and only Redis tells the others."""
        if settings.workers == 1 or settings.redis is not None:
            return
        given = {
            "EXTAUTHZ_CASDOOR_SSO_SECRET": settings.revocation.casdoor_sso_secrets,
            "EXTAUTHZ_CASDOOR_WEBHOOK_SECRET": settings.revocation.casdoor_webhook_secrets,
        }
        for setting, secrets in given.items():
            if secrets:
                message = f"events would reach one of {settings.workers} workers alone"
                self._fault(setting, message, "set EXTAUTHZ_REDIS_URL, or use one worker")

    def _tls(self, listen: Endpoint) -> TlsSettings | None:
        names = ("EXTAUTHZ_TLS_CERT", "EXTAUTHZ_TLS_KEY", "EXTAUTHZ_TLS_CLIENT_CA")
        cert, key, client_ca = (self._file(name) for name in names)
        client_names = self._client_names(client_ca)
        if cert is None and key is None and client_ca is None:
            return None
        for name, value in zip(names[:2], (cert, key), strict=True):
            if value is None:
                self._fault(name, "missing, while other TLS settings are there", "set certificate and key together")
        if isinstance(listen, UnixEndpoint):
            self._fault(names[0], "TLS on a Unix socket protects nothing", "remove the TLS settings, or listen on TCP")
        nothing = Path()
        return TlsSettings(cert=cert or nothing, key=key or nothing, client_ca=client_ca, client_names=client_names)

    def _client_names(self, client_ca: Path | None) -> frozenset[str]:
        setting = "EXTAUTHZ_TLS_CLIENT_SAN"
        text = self._variable(setting)
        if not text:
            return frozenset()
        found = client_names_of(text)
        if isinstance(found, Problem):
            self._fault(setting, found.message, found.hint)
            return frozenset()
        if client_ca is None and not any(fault.setting == "EXTAUTHZ_TLS_CLIENT_CA" for fault in self.faults):
            message = "without EXTAUTHZ_TLS_CLIENT_CA, no client shows a certificate that could have the name"
            self._fault(setting, message, "set EXTAUTHZ_TLS_CLIENT_CA to the authority of the clients' certificates")
        return found

    def _switch(self, setting: str, *, default: bool) -> bool:
        text = self._variable(setting)
        if text not in ("", "on", "off"):
            self._fault(setting, f"{quoted(text)} is neither on nor off", "use on or off")
        return default if not text else text == "on"

    def _file(self, name: str) -> Path | None:
        text = self._variable(name)
        if not text:
            return None
        path = Path(text)
        found = read_regular_file(path, MAX_PEM_BYTES)
        if isinstance(found, FileFault):
            self._fault(name, f"{quoted(text)} cannot be read: {found.why}", "name a PEM file that exists")
        return path


def _meet(endpoint: Endpoint, taken: set[Endpoint]) -> bool:
    """Whether an endpoint is one of those taken, a wildcard host meeting every host."""
    match endpoint:
        case TcpEndpoint(port=0):
            return False
        case TcpEndpoint(host=host, port=port):
            hosts = {other.host for other in taken if isinstance(other, TcpEndpoint) and other.port == port}
            return host in hosts or any(map(_is_wildcard, hosts)) or (bool(hosts) and _is_wildcard(host))
        case UnixEndpoint():
            return endpoint in taken


def _is_wildcard(host: str) -> bool:
    return host in ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
