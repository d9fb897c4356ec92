"""A real Valkey with a replica, watched by sentinels, on loopback: the master may be killed, frozen, or failed over.

with RedisSentinel(tmp_path) as watched:
    store = connect(watched.url, clock=time.monotonic)
    watched.master.kill()
    watched.wait_for_another_master()
"""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from extauthz.demo.processes import LOOPBACK, Program, free_port
from tests.support.redis_server import RedisServer, reply_of, server_binary
from tests.support.waiting import eventually

NAME: Final = "mymaster"
DOWN_AFTER_MS: Final = 500
"""Silence after which a sentinel holds a server for down."""


class RedisSentinel:
    """A master, a replica, and `sentinels` of which a majority must agree. One sentinel is enough to fail over.

    `settings` are of both servers, `sentinel_lines` stand in each sentinel's file. With `master_port` the sentinels
    know the master by that port, where something must relay to it.
    """

    def __init__(
        self,
        folder: Path,
        *settings: str,
        sentinels: int = 1,
        sentinel_lines: tuple[str, ...] = (),
        master_port: int | None = None,
        binary: str | None = None,
    ) -> None:
        self._stack = ExitStack()
        places = [folder / name for name in ("a", "b")]
        for place in places:
            place.mkdir()
        first, second = (
            RedisServer(place, "--repl-diskless-sync-delay", "0", *settings, binary=binary) for place in places
        )
        self.servers: Final = (first, second)
        self._master_port = master_port or first.port
        self.sentinel_ports: Final = tuple(free_port() for _ in range(sentinels))
        self._sentinels = [
            self._sentinel(folder, number, sentinel_lines, binary or server_binary()) for number in range(sentinels)
        ]

    def __enter__(self) -> Self:
        first, second = self.servers
        try:
            self._stack.enter_context(first)
            self._stack.enter_context(second)
            assert second.command("REPLICAOF", LOOPBACK, str(first.port)) == b"+OK\r\n"
            eventually(lambda: b"master_link_status:up" in second.command("INFO", "replication"), "the replica follows")
            for sentinel in self._sentinels:
                self._stack.enter_context(sentinel)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """What EXTAUTHZ_REDIS_URL would be."""
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in self.sentinel_ports)
        return f"redis+sentinel://{hosts}/{NAME}/0"

    @property
    def master(self) -> RedisServer:
        """The master as the first sentinel has it."""
        reply = self.ask(0, "SENTINEL", "get-master-addr-by-name", NAME)
        (server,) = [server for server in self.servers if b"\r\n%d\r\n" % server.port in reply]
        return server

    @property
    def replica(self) -> RedisServer:
        """The other one."""
        first, second = self.servers
        return second if self.master is first else first

    def ask(self, sentinel: int, *words: str) -> bytes:
        """Send one command to a sentinel; the raw reply, empty when there is none."""
        return reply_of(self.sentinel_ports[sentinel], *words)

    def can_fail_over(self) -> bool:
        """Whether every sentinel knows the replica and the other sentinels."""
        wanted = (
            b"$10\r\nnum-slaves\r\n$1\r\n1\r\n",
            b"$19\r\nnum-other-sentinels\r\n$1\r\n%d\r\n" % (len(self.sentinel_ports) - 1),
        )
        replies = [self.ask(number, "SENTINEL", "MASTER", NAME) for number in range(len(self.sentinel_ports))]
        return all(each in reply for reply in replies for each in wanted)

    def fail_over(self) -> None:
        """Ask for a failover while the master is well: it becomes the replica, and stays reachable."""
        eventually(self.can_fail_over, "the sentinels know the replica and each other")
        eventually(lambda: self.ask(0, "SENTINEL", "FAILOVER", NAME) == b"+OK\r\n", "the sentinel agrees to fail over")

    def wait_for_another_master(self, than: RedisServer) -> None:
        """Return when the sentinels name another master, and it is one."""
        eventually(
            lambda: self.master is not than and b"role:master" in self.master.command("INFO", "replication"),
            "another master",
        )

    def wait_until_followed(self) -> None:
        """Return when the replica follows the master that the sentinels name."""
        eventually(lambda: b"state=online" in self.master.command("INFO", "replication"), "the replica follows")

    def kill_sentinel(self, number: int) -> None:
        """End a sentinel."""
        self._sentinels[number].kill()

    def _sentinel(self, folder: Path, number: int, lines: tuple[str, ...], binary: str) -> Program:
        port = self.sentinel_ports[number]
        quorum = len(self.sentinel_ports) // 2 + 1
        file = folder / f"s{number}.conf"
        settings = (
            f"port {port}",
            f"bind {LOOPBACK}",
            f"dir {folder}",
            f"sentinel monitor {NAME} {LOOPBACK} {self._master_port} {quorum}",
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {NAME} 2000",
            *lines,
        )
        file.write_text("\n".join(settings) + "\n", encoding="utf-8")
        return Program(
            f"sentinel {number}",
            [binary, str(file), "--sentinel"],
            log=folder / f"s{number}.log",
            ready=lambda: reply_of(port, "PING") in (b"+PONG\r\n", b"-NOAUTH Authentication required.\r\n"),
        )
