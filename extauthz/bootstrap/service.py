"""One serving process: everything built and joined, started in order, stopped in the reverse order."""

import secrets
import time
from collections.abc import Callable
from random import SystemRandom
from typing import Final

from extauthz.adapters.blocking_shell import BlockingShell
from extauthz.adapters.grpc.probe import fast_path_works
from extauthz.adapters.grpc.server import GrpcServer
from extauthz.adapters.grpc.threads import CheckThreads
from extauthz.adapters.grpc.tls import ServerTls
from extauthz.adapters.io_loop import IoLoop
from extauthz.adapters.issuers.introspection import IntrospectionHttp
from extauthz.adapters.issuers.key_sets import IssuerHttp
from extauthz.adapters.redis.store import RedisStore, connect
from extauthz.adapters.revocation.event_keys import EventKeyResolver
from extauthz.bootstrap.revocation import revocation_parts
from extauthz.config.settings.redis_password import redis_password
from extauthz.config.settings.settings import RedisSettings, Settings, TlsSettings
from extauthz.pdp.policy import Policy
from extauthz.pdp.redaction import Redactor
from extauthz.runtime.garbage_collection import Collector
from extauthz.runtime.key_health import KeyHealth
from extauthz.runtime.key_warnings import tell_of_shared_keys
from extauthz.runtime.policy_reload import PolicyReloader
from extauthz.runtime.unshared_sessions import unshared_sessions
from extauthz.runtime.upkeep import collect_garbage, keep_bindings, keep_keys_fresh, watch_clock
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.check.active_policy import ActivePolicy, Caches, SharedState
from extauthz.service.check.codec import encode_undecided
from extauthz.service.check.resolver import NeedResolver
from extauthz.service.clock_watch import ClockWatch
from extauthz.service.keys.key_service import KeyService
from extauthz.service.keys.keyring import KeyRing
from extauthz.service.ports import KeySetState, Observer
from extauthz.service.revocation.revoking import Revoker
from extauthz.service.sessions.binding_keeper import BindingKeeper

FINISH_S: Final = 10.0
"""What calls under way are given at the end: the longest that a check waits."""


class Service:
    """Built with everything, then `start`; at the end the `server` is drained, and then `stop`."""

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        observer: Observer,
        adopted: Callable[[Policy], None],
        redactor: Redactor,
        *,
        one_of_several: bool = False,
    ) -> None:
        """Build; `adopted` is told of each new policy. `one_of_several`: other workers serve the same policy.

        Raises `ListenFault`, `TlsFault`, and ValueError for a Redis URL of another kind.
        """
        self._loop = IoLoop()
        self._adopted = adopted
        random = SystemRandom().random
        self.ring = KeyRing(policy.issuers.values(), policy.cache, random)
        self.store = _store(settings.redis, redactor)
        signer = _signer(settings.redis)
        self._fetcher = IssuerHttp(clock=time.monotonic)
        self._introspector = IntrospectionHttp(discovery=self._fetcher.discovery, clock=time.monotonic)
        self._keys = KeyService(
            ring=self.ring,
            fetcher=self._fetcher,
            store=self.store,
            signer=signer,
            observer=observer,
            clock=time.time,
            random=random,
        )
        self._need_resolver = NeedResolver(
            keys=self._keys,
            store=self.store,
            signer=signer,
            introspector=self._introspector,
            observer=observer,
            clock=time.time,
        )
        self.event_keys = EventKeyResolver(self._loop, self._need_resolver)
        self.caches = Caches.bounded(time.monotonic)
        self._keeper: BindingKeeper | None = None
        if self.store is not None and signer is not None:
            self._keeper = BindingKeeper(
                bindings=self.caches.bindings, store=self.store, signer=signer, process=_new_id(), clock=time.time
            )
        self.revocation = revocation_parts(settings.redis, loop=self._loop, observer=observer, redactor=redactor)
        self.revoker: Revoker = self.revocation.revoker
        self.key_health = KeyHealth()
        self.threads = CheckThreads()
        self._shell = BlockingShell(
            active=ActivePolicy.of(policy),
            shared_state=SharedState(
                ring=self.ring,
                caches=self.caches,
                new_id=_new_id,
                signer=signer,
                random=random,
                revocations=self.revocation.known,
            ),
            need_resolver=self._need_resolver,
            loop=self._loop,
            observer=observer,
            clock_ns=time.time_ns,
            slots=self.threads,
        )
        self.server = GrpcServer(
            self._shell.begin,
            listen=str(settings.listen),
            refusal=encode_undecided("unknown"),
            threads=self.threads,
            tls=_tls(settings.tls),
            fast_path=settings.fast_path and fast_path_works(),
        )
        alone = one_of_several and settings.redis is None
        refusal = unshared_sessions if alone else _no_refusal
        self.reloader = PolicyReloader(settings.policy, policy, self._adopt, observer, refusal)

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._shell.active.policy

    def key_states(self) -> tuple[KeySetState, ...]:
        """How the keys of each issuer stand now."""
        return self.ring.states(time.time())

    def start(self) -> None:
        """Serve. Key sets are fetched meanwhile: a check that comes before them waits for them."""
        self._loop.start()
        self.revocation.start()
        self.server.start()
        fresh = keep_keys_fresh(self._keys, lambda: self.policy, self.key_states, self.key_health)
        self._loop.submit(fresh)
        if self._keeper is not None:
            self._loop.submit(keep_bindings(self._keeper))
        self._loop.submit(watch_clock(ClockWatch(time.time, time.monotonic)))
        self._loop.submit(collect_garbage(Collector(checks=lambda: self._shell.begun)))
        self.reloader.start()

    def stop(self) -> None:
        """Stop what stands behind the server."""
        self.reloader.stop()
        if self._loop.running:
            self._loop.submit(self._close()).result(FINISH_S)
        self._loop.stop()

    async def _close(self) -> None:
        for part in (self._need_resolver, self._keys, self._introspector, self._fetcher, self.revocation, self.store):
            if part is not None:
                await part.close()

    def _adopt(self, policy: Policy) -> None:
        """Put a policy in force. Keys of issuers that stay are kept."""
        self.ring.retain(policy.issuers.values(), policy.cache)
        tell_of_shared_keys(policy.issuers.values(), before=self.policy.issuers.values())
        self._adopted(policy)
        self._shell.replace_policy(ActivePolicy.of(policy))
        self._loop.submit(self._keys.warm(policy.issuers.values()))


def _no_refusal(_: Policy) -> str:
    return ""


def _new_id() -> str:
    """A decision id: 64 random bits, so that ids of all processes and times are distinct."""
    return secrets.token_hex(8)


def _store(redis: RedisSettings | None, redactor: Redactor) -> RedisStore | None:
    if redis is None:
        return None
    return connect(redis.url.reveal(), clock=time.monotonic, password=redis_password(redis, redactor))


def _signer(redis: RedisSettings | None) -> Signer | None:
    return None if redis is None else Signer([secret.reveal().encode() for secret in redis.cache_secrets])


def _tls(tls: TlsSettings | None) -> ServerTls | None:
    if tls is None:
        return None
    client_ca = "" if tls.client_ca is None else str(tls.client_ca)
    return ServerTls(
        cert_file=str(tls.cert), key_file=str(tls.key), client_ca_file=client_ca, client_names=tls.client_names
    )
