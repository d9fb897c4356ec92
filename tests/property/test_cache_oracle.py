"""Caches change no answer: two processes with memories and a store that lies, beside an oracle that remembers nothing.

A sequence of steps is played in virtual time: checks on either process, policies put in force, revocations, keys and
words of issuers that change, time that passes, and faults of the store. With each check an oracle is asked that has
neither memory nor store, but the same policy, the same keys, the same revocations and the same issuers. The answers
have to be the same, but for what is promised (`docs/explanation/caching.md`):

* what an issuer takes back (a key, a token by introspection) may go on counting for the ceiling of 60 s;
* a refusal may be told with the cause that it had up to 5 s before, when it would be a refusal in any case.

What is never excused: an allow by another policy, a revoked token, an allow that only a wrong entry says, and a
refusal of what would be allowed now.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import Final, NamedTuple, TypeVar

import pytest

from extauthz.pdp.policy import CacheTerms, Effect, Introspection, Issuer, Policy, Sharing
from extauthz.pdp.reason import Reason
from extauthz.pdp.revocation.revocation import Revocation, RevokedBy, undo_of
from extauthz.pdp.token.access_token import digest_of
from extauthz.pdp.token.jwks import KeySet
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.cache.statement import FORM
from extauthz.service.check.checked import Checked
from extauthz.service.keys.keyring import REFETCH_INTERVAL_S, Held, KeyRing, ring_key
from extauthz.service.needs import Answer, Introspected, Need, NeedIntrospection, NeedKeys, NeedStored
from extauthz.service.tokens.negative_cache import LASTING, REFUSAL_TTL_S, Lasting
from tests.support import tokens
from tests.support.checks import call_tool, check_request
from tests.support.policies import policy, resource, rule
from tests.support.world import CASDOOR, World, key_set, weather

Value = TypeVar("Value")

SEQUENCES: Final = 2_000
BATCHES: Final = 8
"""Tests that the sequences are dealt out to."""
STEPS: Final = 16
CEILING_S: Final = 60.0
SPREAD_S: Final = 1.0
"""A revocation is known to the other process after this, as promised while the store is up."""
START: Final = float(tokens.NOW)
GOOD: Final = 10
"""Tokens of the pool that count, until something happens."""

OURS, FOREIGN = Signer([b"ours, 32 bytes and more, for ours"]), Signer([b"foreign, 32 bytes and more, alas"])
OTHER_ISSUER: Final = "https://second.casdoor.test"
ASKED: Final = Issuer(
    name="asked",
    issuer=OTHER_ISSUER,
    jwks_uri=f"{OTHER_ISSUER}/jwks",
    organizations=frozenset({"acme"}),
    introspection=Introspection(client_id="gw", client_secret="s"),
)
ISSUERS: Final = (CASDOOR, ASKED)
KID: Final = "cert-rs256"


def _key_sets() -> tuple[KeySet, ...]:
    """What an issuer may publish: the usual keys, another key under the same name, and none of that name."""
    attacker, signing = tokens.SIGNING_KEYS["attacker"], tokens.SIGNING_KEYS
    documents = (
        tokens.key_set_document([signing["RS256"], signing["rotate"]]),
        tokens.key_set_document([signing["rotate"]], extra=[attacker.jwk(kid=KID)]),
        tokens.key_set_document([signing["rotate"]]),
    )
    return tuple(key_set(document) for document in documents)


def _policies() -> tuple[Policy, ...]:
    terms = CacheTerms(shared=Sharing.ALWAYS)
    rules = (
        (rule(["tools/call"], ["weather:read"], tools=["get_*"]), rule(["tools/call"], tools=["purge"])),
        (rule(["tools/call"], ["weather:write"], tools=["get_*", "set_*"]),),
        (
            rule(["tools/call"], ["weather:read"], tools=["*"]),
            rule(["tools/call"], tools=["purge"], effect=Effect.DENY),
        ),
    )
    made = []
    for number, each in enumerate(rules):
        other = resource(each, name="other", uri="https://mcp.example.com/other", issuers=ISSUERS)
        made.append(policy(weather(rules=each, issuers=ISSUERS), other, revision=f"{number}" * 16, cache=terms))
    # The same rules under other terms for tokens: another leeway would do; here another organization counts.
    strangers = tuple(replace(issuer, organizations=frozenset({"rival"})) for issuer in ISSUERS)
    made.append(policy(weather(rules=rules[0], issuers=strangers), revision="9" * 16, cache=terms))
    return tuple(made)


@cache
def pool() -> tuple[str, ...]:
    """Tokens, minted once: `GOOD` ones, then ones with every kind of fault."""

    def mint(**claims: object) -> str:
        return tokens.mint({"scope": "weather:read", **claims})

    made = [mint(scope="weather:write"), mint(sub="bob", azp="bobs-client", jti="bob-1")]
    for issuer in (tokens.ISSUER, OTHER_ISSUER):
        made += [
            mint(iss=issuer),
            mint(iss=issuer, jti="another"),
            mint(iss=issuer, exp=tokens.NOW + 70),
            tokens.mint({"iss": issuer, "scope": "weather:read"}, key=tokens.SIGNING_KEYS["rotate"]),
        ]
    assert len(made) == GOOD
    made.append(mint(scope="none"))
    for issuer in (tokens.ISSUER, OTHER_ISSUER):
        made += [
            mint(iss=issuer, nbf=tokens.NOW + 50),
            mint(iss=issuer, exp=tokens.NOW - 20, iat=tokens.NOW - 900, nbf=tokens.ABSENT),
            mint(iss=issuer, aud=["https://other.example/mcp"], exp=tokens.NOW + 20),
            mint(iss=issuer, owner="rival"),
            tokens.mint({"iss": issuer, "scope": "weather:read"}, key=tokens.SIGNING_KEYS["attacker"], kid=KID),
            tokens.mint({"iss": issuer, "scope": "weather:read"}, kid="nobody"),
        ]
    return (*made, mint(iss="https://evil.example"), "a.b", mint(tokenType="refresh-token"))


class Ask(NamedTuple):
    """One request."""

    token: int
    tool: str
    path: str


@cache
def _request(ask: Ask) -> bytes:
    return check_request(call_tool(ask.tool), token=pool()[ask.token], path=ask.path)


class Told(NamedTuple):
    """What the client is told."""

    allowed: bool
    reason: str


def refuses_token(other: Ask, ask: Ask, answer: Told) -> bool:
    """Whether the answer to the other request refused what both have in common: their token, at their resource."""
    same = (other.token, other.path) == (ask.token, ask.path)
    return same and LASTING[Reason(answer.reason)] is not Lasting.NEVER


def told(checked: Checked) -> Told:
    return Told(checked.status == 0, checked.reason)


@dataclass(slots=True)
class Issuers:
    """What the issuers publish and say now, and what was said before."""

    published: dict[str, KeySet] = field(default_factory=lambda: {each.issuer: KEY_SETS[0] for each in ISSUERS})
    words: list[tuple[float, "Words"]] = field(default_factory=lambda: [(0.0, Words())])

    def say(self, now: float, words: "Words") -> None:
        self.words.append((now, words))


class Words(NamedTuple):
    """How introspection is answered."""

    inactive: frozenset[str] = frozenset()
    reachable: bool = True

    def about(self, token: str) -> Introspected:
        if not self.reachable:
            return Introspected.UNAVAILABLE
        return Introspected.INACTIVE if token in self.inactive else Introspected.ACTIVE


def since(log: Sequence[tuple[float, Value]], moment: float) -> list[Value]:
    """Everything that was logged after that moment, and what stood then."""
    before = [value for at, value in log if at <= moment]
    return before[-1:] + [value for at, value in log if at > moment]


class KeyResolver(StrEnum):
    """What the store does with the look-ups of one check."""

    WELL = "well"
    MISS = "miss"
    SLOW = "slow"
    WRONG_TYPE = "wrong type"


class Process:
    """One process of the fleet: its memories, its keys, the revocations that it knows, its policy."""

    def __init__(self, issuers: Issuers, store: dict[str, bytes], chance: random.Random) -> None:
        self.issuers = issuers
        self.world = World(policy=POLICIES[0], signer=OURS, keys=KEY_SETS[0], store=store, random=chance.random)
        self.world.answer = self._answer
        self.held = {each.issuer: [(0.0, KEY_SETS[0])] for each in ISSUERS}
        self.supply = KeyResolver.WELL
        self.hits: Counter[str] = Counter()
        """Authentic entries that the store had, by kind."""
        self.last: dict[Ask, list[tuple[float, Told]]] = {}
        """What the oracle told lately: a refusal may be remembered with its cause."""

    @property
    def ring(self) -> KeyRing:
        return self.world.shared_state.ring

    def refresh(self, now: float) -> None:
        """What the background loop does."""
        for issuer in self.ring.issuers:
            if self.ring.due(issuer, now):
                self._adopt(issuer, now)

    def check(self, ask: Ask, now: float, supply: KeyResolver) -> Checked:
        self.world.now, self.supply = now, supply
        return self.world.check(_request(ask), takes_s=0.02 if supply is KeyResolver.SLOW else 0.0)

    def _adopt(self, issuer: Issuer, now: float) -> KeySet:
        keys = self.issuers.published[issuer.issuer]
        self.ring.adopt(issuer, keys, now)
        self.held[issuer.issuer].append((now, keys))
        return keys

    def _answer(self, need: Need) -> Answer:
        match need:
            case NeedStored():
                if self.supply is KeyResolver.WRONG_TYPE:
                    return Introspected.ACTIVE
                entry = self.world.store.get(need.key) if self.supply is KeyResolver.WELL else None
                kind = need.key.partition(":")[0]
                if entry is not None and OURS.open(kind, need.key, entry, self.world.now) is not None:
                    self.hits[f"{kind} in redis"] += 1
                return entry
            case NeedKeys():
                keys = self._adopt(need.issuer, self.world.now)
                self.ring.hold_off(need.issuer, self.world.now + REFETCH_INTERVAL_S)
                return keys
            case NeedIntrospection():
                return self.issuers.words[-1][1].about(need.token)
            case _:
                raise AssertionError(f"nothing binds a session here: {need}")


@dataclass(slots=True, kw_only=True)
class Oracle:
    """The same check without anything remembered or shared."""

    process: Process
    held: dict[tuple[str, str], Held]
    """The keys of the process before its check."""
    now: float

    @classmethod
    def beside(cls, process: Process, now: float) -> "Oracle":
        return cls(process=process, held=dict(process.ring._held), now=now)

    def told(self, ask: Ask, *, keys: tuple[Issuer, KeySet] | None = None, words: Words | None = None) -> Told:
        """The answer now; or what it were if `keys` were held, or introspection were answered like that."""
        issuers = self.process.issuers
        world = World(policy=self.process.world.policy, now=self.now, keys=None)
        held = self.held
        if keys is not None:
            issuer, key_set_ = keys
            kept = replace(held[ring_key(issuer)], key_set=key_set_, refetch_at=self.now + REFETCH_INTERVAL_S)
            held = {**held, ring_key(issuer): kept}
        world.shared_state.ring._held = held
        world.shared_state = replace(world.shared_state, revocations=self.process.world.shared_state.revocations)

        def answer(need: Need) -> Answer:
            if isinstance(need, NeedKeys):
                return issuers.published[need.issuer.issuer]
            assert isinstance(need, NeedIntrospection), "an oracle asks no store"
            return (words or issuers.words[-1][1]).about(need.token)

        world.answer = answer
        return told(world.check(_request(ask)))


@dataclass(slots=True)
class Play:
    """One sequence, and what was done in it, for whoever has to find out why it failed."""

    seed: int
    chance: random.Random = field(init=False)
    issuers: Issuers = field(default_factory=Issuers)
    store: dict[str, bytes] = field(default_factory=dict)
    written: list[tuple[str, bytes]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    processes: tuple[Process, ...] = field(init=False)
    now: float = START
    spreading: deque[tuple[float, Process, Revocation]] = field(default_factory=deque)
    revoked: list[Revocation] = field(default_factory=list)
    tokens: list[int] = field(init=False)
    asks: list[Ask] = field(init=False)
    log: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.processes = tuple(Process(self.issuers, self.store, self.chance) for _ in range(2))
        good = self.chance.sample(range(GOOD), 2)
        self.tokens = [*good, self.chance.randrange(len(pool()))]
        self.asks = [
            Ask(token, self.chance.choice(TOOLS), self.chance.choice(PATHS)) for token in (*self.tokens, good[0])
        ]

    def run(self) -> None:
        for _ in range(STEPS):
            step = self.chance.choices(STEP_KINDS, WEIGHTS)[0]
            step(self)

    # Steps.

    def check(self) -> None:
        supply = self.chance.choices(tuple(KeyResolver), (8, 1, 1, 1))[0]
        self.ask(self.chance.choice(self.processes), self.chance.choice(self.asks), supply)

    def ask(self, process: Process, ask: Ask, supply: KeyResolver) -> None:
        for each in self.processes:
            each.refresh(self.now)
        oracle = Oracle.beside(process, self.now)
        expected = oracle.told(ask)
        checked = process.check(ask, self.now, supply)
        self.seen += process.hits
        process.hits.clear()
        self.asked += [need.key for need in process.world.needs if isinstance(need, NeedStored)]
        process.world.needs.clear()
        self.written += [(write.key, write.value) for write in checked.writes]
        found = told(checked)
        self.note(f"{self.name(process)} {ask} {supply} -> {found} [{checked.cache}], oracle {expected}")
        self.seen[f"{checked.cache} {'allow' if found.allowed else 'deny'}"] += 1
        process.last.setdefault(ask, []).append((self.now, expected))
        if found != expected:
            self.excused(process, oracle, ask, found, expected)
        self.now = max(self.now, process.world.now)

    def time_passes(self) -> None:
        self.pass_time(self.chance.choice((0.5, 1.0, 1.0, 4.0, 4.9, 10.0, 29.0, 31.0, 59.0, 61.0, 200.0)))

    def edge(self) -> None:
        """Just before and just after the moment at which tokens of the pool begin or end."""
        edge = next((edge for edge in EDGES if edge - 1 > self.now), None)
        if edge is not None:
            process = self.chance.choice(self.processes)
            self.pass_time(edge - 1 - self.now)
            for ask in self.asks:
                self.ask(process, ask, KeyResolver.WELL)
            self.pass_time(2)
            for ask in self.asks:
                self.ask(process, ask, KeyResolver.WELL)

    def taken_back(self) -> None:
        """What counts on one process is taken back by its issuer, and asked about on the other near its end."""
        first, second = self.chance.sample(self.processes, 2)
        ask = self.chance.choice(self.asks)
        self.ask(first, ask, KeyResolver.WELL)
        self.chance.choice((Play.introspect, Play.publish))(self)
        self.pass_time(self.chance.choice((1.0, 31.0, 50.0)))
        self.ask(second, ask, KeyResolver.WELL)
        self.pass_time(self.chance.choice((9.0, 31.0)))
        self.ask(second, ask, KeyResolver.WELL)

    def comes_back(self) -> None:
        """Keys are withdrawn or replaced, and come back while no look for newer ones is due, but soon."""
        process, ask = self.chance.choice(self.processes), self.chance.choice(self.asks)
        self.publish_all(self.chance.choice((1, 2)))
        self.pass_time(CEILING_S + 1)
        self.ask(process, ask, KeyResolver.WELL)
        self.publish_all(0)
        self.pass_time(REFETCH_INTERVAL_S - 1)
        self.ask(process, ask, KeyResolver.WELL)
        self.pass_time(self.chance.choice((0.5, 1.0, 4.0)))
        self.ask(process, ask, KeyResolver.WELL)

    def publish_all(self, number: int) -> None:
        self.issuers.published = {issuer.issuer: KEY_SETS[number] for issuer in ISSUERS}
        self.note(f"all publish key set {number}")

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.note(f"now {self.now - START:g}")
        for _ in range(len(self.spreading)):
            at, process, item = self.spreading.popleft()
            if at <= self.now:
                process.world.shared_state.revocations.add([item], self.now)
            else:
                self.spreading.append((at, process, item))

    def reload(self) -> None:
        chosen = self.chance.choice(POLICIES)
        for process in self.chance.choice((self.processes, self.processes[:1], self.processes[1:])):
            process.world.policy = chosen
            process.ring.retain(chosen.issuers.values(), chosen.cache)
            self.note(f"{self.name(process)} goes by policy {chosen.revision[0]}")

    def revoke(self) -> None:
        token = pool()[self.chance.choice(self.tokens)]
        by, value, issuer = self.chance.choice(
            (
                (RevokedBy.TOKEN, digest_of(token).hex(), ""),
                (RevokedBy.JTI, str(tokens.claims()["jti"]), tokens.ISSUER),
                (RevokedBy.JTI, "another", OTHER_ISSUER),
                (RevokedBy.SUBJECT, "bob", tokens.ISSUER),
                (RevokedBy.CLIENT, "bobs-client", tokens.ISSUER),
                (RevokedBy.ORGANIZATION, "acme", OTHER_ISSUER),
            )
        )
        item = Revocation(
            id=f"revocation-{len(self.revoked)}",
            by=by,
            value=value,
            issuer=issuer,
            before=int(self.now),
            until=int(self.now) + self.chance.choice((30, 4_000)),
            source="admin",
        )
        self.spread(item)

    def undo(self) -> None:
        taken_back = [item for item in self.revoked if not item.undoes]
        if taken_back:
            item = self.chance.choice(taken_back)
            self.spread(undo_of(item, id=f"revocation-{len(self.revoked)}", source="admin"))

    def spread(self, item: Revocation) -> None:
        told_first = self.chance.choice(self.processes)
        self.revoked.append(item)
        for process in self.processes:
            if process is told_first:
                process.world.shared_state.revocations.add([item], self.now)
            else:
                self.spreading.append((self.now + SPREAD_S, process, item))
        self.note(f"{self.name(told_first)} learns {item.id} by {item.by} {item.undoes}")

    def publish(self) -> None:
        issuer = self.chance.choice(ISSUERS)
        number = self.chance.randrange(len(KEY_SETS))
        self.issuers.published[issuer.issuer] = KEY_SETS[number]
        self.note(f"{issuer.name} publishes key set {number}")

    def introspect(self) -> None:
        inactive = frozenset(pool()[token] for token in self.tokens if self.chance.random() < 0.4)
        self.issuers.say(self.now, Words(inactive, self.chance.random() < 0.8))
        self.note(f"introspection: {len(inactive)} inactive, reachable {self.issuers.words[-1][1].reachable}")

    def spoil(self) -> None:
        """Somebody with write access to the store, and with everything that ever stood there, does what he can."""
        if not self.store:
            return
        key = self.chance.choice(list(self.store))
        value = self.store[key]
        kind = self.chance.choice(FAULTS)
        match kind:
            case "rewritten":
                at = self.chance.randrange(len(value)) if value else 0
                self.store[key] = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :] if value else b"x"
            case "turned":
                self.store[key] = value.replace(b'"valid"', b'"allow",0').replace(b'"allow",0', b'"allow",1')
            case "swapped":
                other = self.chance.choice(list(self.store))
                self.store[key], self.store[other] = self.store[other], value
            case "replayed":
                self.store[key] = self.chance.choice(self.written)[1]
            case "planted":
                self.store[self.chance.choice(self.asked)] = self.chance.choice(self.written)[1]
            case "put back":
                old_key, old = self.chance.choice(self.written)
                self.store[old_key] = old
            case "cut":
                self.store[key] = value[: self.chance.randrange(len(value) + 1)]
            case "foreign":
                words = '"valid"' if key.startswith("token:") else '"allow",0'
                statement = f"[{FORM},{words},9999999999]".encode()
                self.store[key] = FOREIGN.sign(key.partition(":")[0], key, statement, 9_999_999_999)
            case "other kind":
                others = [each for each in self.store if each.partition(":")[0] != key.partition(":")[0]]
                self.store[key] = self.store[self.chance.choice(others)] if others else b""
            case _:
                del self.store[key]
        self.seen[kind] += 1
        self.note(f"store: {kind}")

    # What may differ.

    def excused(self, process: Process, oracle: Oracle, ask: Ask, found: Told, expected: Told) -> None:
        """A difference that is promised, or the test has failed."""
        if replace(oracle, now=process.world.now).told(ask) == found:
            # A date passed while the check waited for the store.
            self.seen["excused by waiting"] += 1
            return
        window = self.now - CEILING_S
        if expected.allowed:
            self.fail(found, expected)
        for words in since(self.issuers.words, window):
            if oracle.told(ask, words=words) == found:
                self.seen["excused by introspection"] += 1
                return
        for issuer in ISSUERS:
            if ring_key(issuer) not in oracle.held:
                continue
            for each in self.processes:
                for keys in since(each.held[issuer.issuer], window):
                    for words in since(self.issuers.words, window):
                        if oracle.told(ask, keys=(issuer, keys), words=words) == found:
                            self.seen["excused by keys"] += 1
                            return
        self.lately(process, ask, found, expected)

    def lately(self, process: Process, ask: Ask, found: Told, expected: Told) -> None:
        """The cause of a refusal may be that of a few seconds ago."""
        lately = {
            answer
            for other, answers in process.last.items()
            for at, answer in answers
            if at > self.now - REFUSAL_TTL_S and (other == ask or refuses_token(other, ask, answer))
        }
        if found.allowed or found not in lately:
            self.fail(found, expected)
        self.seen["excused by time"] += 1

    def fail(self, found: Told, expected: Told) -> None:
        history = "\n  ".join(self.log)
        raise AssertionError(f"sequence {self.seed}: {found} instead of {expected}, after\n  {history}")

    def name(self, process: Process) -> str:
        return "AB"[self.processes.index(process)]

    def note(self, text: str) -> None:
        self.log.append(text)


KEY_SETS: Final = _key_sets()
POLICIES: Final = _policies()
TOOLS: Final = ("get_forecast", "get_forecast", "set_alert", "purge")
PATHS: Final = ("/weather/mcp", "/weather/mcp", "/weather/mcp", "/other")
EDGES: Final = (START + 20, START + 50, START + 100)
"""Beginning and ends, leeway included, of those tokens of the pool that live for moments."""
FAULTS: Final = (
    *("rewritten", "turned", "swapped", "replayed", "planted", "put back", "cut", "foreign", "other kind", "lost"),
)
STEP_KINDS: Final[tuple[Callable[[Play], None], ...]] = (
    Play.check,
    Play.time_passes,
    Play.edge,
    Play.taken_back,
    Play.comes_back,
    Play.reload,
    Play.revoke,
    Play.undo,
    Play.publish,
    Play.introspect,
    Play.spoil,
)
WEIGHTS: Final = (60, 14, 4, 3, 2, 3, 3, 2, 4, 4, 14)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_caches_change_no_answer_but_as_promised(batch: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(batch, SEQUENCES, BATCHES):
        play = Play(seed)
        play.run()
        seen += play.seen
    # A test that never hit a cache, or never spoilt an entry, would show nothing.
    for what in (
        *("memory allow", "memory deny", "redis allow", "redis deny", "none allow", "none deny"),
        *("token in redis", "decision in redis"),
        *FAULTS,
        "excused by introspection",
    ):
        assert seen[what] > 0, f"no {what}: {seen}"


@pytest.mark.long
@pytest.mark.parametrize("batch", range(20))
def test_caches_change_no_answer_in_many_more_sequences(batch: int) -> None:
    for seed in range(SEQUENCES + batch * 5_000, SEQUENCES + (batch + 1) * 5_000):
        Play(seed).run()
