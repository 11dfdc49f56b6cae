"""Real servers that belong together: a cluster of three masters, and a master with a replica and its sentinels."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs
from redis.exceptions import RedisError

from tests.state.redis_server import RedisServer, free_port

__all__ = ["Cluster", "Watched", "redis_cluster", "watched_redis"]

SECONDS = 20
SLOTS = 16384
NODE_TIMEOUT = ("--cluster-node-timeout", "500")
FASTER = ("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")


def wait(holds: Callable[[], bool]) -> None:
    """Wait until something holds of servers; a question that they cannot answer yet counts as no."""
    ends = time.monotonic() + SECONDS
    while True:
        try:
            if holds():
                return
        except RedisError:
            pass
        assert time.monotonic() < ends
        time.sleep(0.01)


def low_port() -> int:
    """Return a free port that leaves room for the bus of a cluster, 10,000 above."""
    while (port := free_port()) > 55_000 or port < 11_000:
        pass
    return port


@contextmanager
def servers(number: int, *options: str, tls: bool = False) -> Iterator[list[RedisServer]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made = []
        for index in range(number):
            (folder / str(index)).mkdir()
            encrypted = ("--tls-cluster", "yes", "--tls-port", str(low_port())) if tls else ()
            server = RedisServer(folder / str(index), low_port(), (*options, *encrypted))
            stack.callback(server.kill)
            server.start()
            made.append(server)
        yield made


@attrs.define
class Cluster:
    """Three masters with a third of the slots each, and more nodes if a test wants any."""

    nodes: list[RedisServer]
    tls_ports: list[int] = attrs.field(factory=list)

    @property
    def url(self) -> str:
        scheme, ports = ("rediss", self.tls_ports) if self.tls_ports else ("redis", [node.port for node in self.nodes])
        return f"{scheme}+cluster://{','.join(f'127.0.0.1:{port}' for port in ports)}"

    def id_of(self, node: RedisServer) -> str:
        return str(node.call("CLUSTER", "MYID"))

    def owner(self, slot: int) -> RedisServer:
        """Return the master that has a slot, by what itself says."""
        for first, last, (_, port, *_), *_ in self.alive().call("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(slot)

    def alive(self) -> RedisServer:
        return next(node for node in self.nodes if node.process is not None)

    def keys(self, slot: int) -> Sequence[str]:
        return list(self.owner(slot).call("CLUSTER", "GETKEYSINSLOT", str(slot), "1000"))

    def begin_move(self, slot: int, there: RedisServer) -> RedisServer:
        """Begin to move a slot to another master; return the one that had it."""
        here = self.owner(slot)
        there.call("CLUSTER", "SETSLOT", str(slot), "IMPORTING", self.id_of(here))
        here.call("CLUSTER", "SETSLOT", str(slot), "MIGRATING", self.id_of(there))
        return here

    def move_keys(self, here: RedisServer, there: RedisServer, keys: Sequence[str]) -> None:
        here.call("MIGRATE", "127.0.0.1", str(there.port), "", "0", "5000", "KEYS", *keys)

    def end_move(self, slot: int, there: RedisServer) -> None:
        for node in (there, *(node for node in self.nodes if node is not there and node.process is not None)):
            node.call("CLUSTER", "SETSLOT", str(slot), "NODE", self.id_of(there))


@contextmanager
def redis_cluster(*options: str, replicas: int = 0, tls: bool = False) -> Iterator[Cluster]:
    """Run a cluster; a replica is one of the first master's."""
    with servers(3 + replicas, "--cluster-enabled", "yes", *NODE_TIMEOUT, *FASTER, *options, tls=tls) as nodes:
        cluster = Cluster(nodes)
        if tls:
            cluster.tls_ports = [int(node.options[-1]) for node in nodes]
        bounds = [0, 5461, 10923, SLOTS]
        for number, node in enumerate(nodes):
            node.call("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            nodes[0].call("CLUSTER", "MEET", "127.0.0.1", node.options[-1] if tls else str(node.port))
        for node, first, behind in zip(nodes[:3], bounds, bounds[1:], strict=False):
            node.call("CLUSTER", "ADDSLOTS", *map(str, range(first, behind)))
        everybody = f"cluster_known_nodes:{len(nodes)}"
        wait(lambda: all(is_ok(node, everybody) for node in nodes))
        for replica in nodes[3:]:
            replica.call("CLUSTER", "REPLICATE", cluster.id_of(nodes[0]))
            wait(lambda replica=replica: replica.call("INFO", "replication")["master_link_status"] == "up")
        yield cluster


def is_ok(node: RedisServer, everybody: str) -> bool:
    info = node.call("CLUSTER", "INFO")
    said = info if isinstance(info, str) else "\n".join(f"{name}:{value}" for name, value in info.items())
    return "cluster_state:ok" in said and everybody in said


@attrs.define
class Watched:
    """A master and its replica under the eyes of sentinels."""

    nodes: list[RedisServer]
    sentinels: list[RedisServer]
    name: str = "mymaster"

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.name}"

    def master_port(self) -> int:
        return int(self.sentinels[-1].call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)[1])

    def master(self) -> RedisServer:
        return next(node for node in self.nodes if node.port == self.master_port())

    def fail_over(self) -> None:
        """Let the sentinels put the replica in the master's place."""
        before = self.master_port()
        wait(lambda: bool(self.sentinels[0].call("SENTINEL", "FAILOVER", self.name)))
        wait(lambda: self.master_port() != before)


@contextmanager
def watched_redis(*options: str, password: str | None = None) -> Iterator[Watched]:
    """Run a master, a replica and two sentinels; these want a password where one is given."""
    with servers(2, *FASTER, *options) as nodes, ExitStack() as stack:
        master, replica = nodes
        replica.call("REPLICAOF", "127.0.0.1", str(master.port))
        sentinels = []
        for number in range(2):
            folder = master.folder.parent / f"sentinel{number}"
            folder.mkdir()
            (folder / "sentinel.conf").write_text(
                f"sentinel monitor mymaster 127.0.0.1 {master.port} 1\n"
                "sentinel down-after-milliseconds mymaster 400\n"
                "sentinel failover-timeout mymaster 2000\n"
            )
            wanted = () if password is None else ("--requirepass", password, "--sentinel sentinel-pass", password)
            config = folder / "sentinel.conf"
            sentinel = RedisServer(folder, free_port(), wanted, config=config, password=password)
            stack.callback(sentinel.kill)
            sentinel.start("--sentinel")
            sentinels.append(sentinel)
        wait(lambda: replica.call("INFO", "replication")["master_link_status"] == "up")
        watched = Watched(nodes, sentinels)
        for sentinel in sentinels:
            wait(lambda sentinel=sentinel: len(sentinel.call("SENTINEL", "REPLICAS", watched.name)) == 1)
            wait(lambda sentinel=sentinel: len(sentinel.call("SENTINEL", "SENTINELS", watched.name)) == 1)
        yield watched
