"""Where the Redis is that is to be asked: the one of the URL, the master that sentinels name, or the node of a slot.

Looked up for each new connection, of which there are few. Knows nothing of what is asked there.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import attrs
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import AuthenticationError, RedisError

from aiogate.errors import StateError
from aiogate.settings.state_url import StateAddress, state_address

__all__ = ["Node", "Nodes", "Place", "Slot", "connection_to", "place_of", "slot_of"]

Node = tuple[str, int]
_ASKED_SECONDS: Final = 0.5
"""For so long one of several who know is asked, before the next one is."""


class Place(Protocol):
    """One Redis, wherever it is at present."""

    address: StateAddress

    async def find(self) -> Node:
        """Return host and port; raises ``StateError``, ``RedisError`` or ``OSError`` when nobody knows."""

    def moved(self, node: Node | None) -> None:
        """Take note that it is elsewhere now: at a node, or where has to be found out."""


def place_of(url: str, key: str = "") -> Place:
    """Return the place of the Redis of a URL that keeps a key; raises ``ValueError`` for a URL that is none."""
    address = state_address(url)
    if address.kind == "sentinel":
        return _Master(address)
    if address.kind == "cluster":
        return Slot(Nodes(address), slot_of(key))
    return _Fixed(address)


def slot_of(key: str) -> int:
    """Return the slot of a cluster that a key is in, by its hash tag if it has one."""
    return key_slot(key.encode())


def connection_to(address: StateAddress, node: Node) -> Any:  # noqa: ANN401 - redis-py's two kinds have no common type
    """Return a connection to a node, not connected yet."""
    kind: type[Any] = SSLConnection if address.tls else Connection
    options: dict[str, Any] = {
        **address.tls_files,
        "host": node[0],
        "port": node[1],
        "username": address.user,
        "password": address.password,
        "db": address.database,
        "protocol": 2,
        "socket_timeout": None,  # a batch has one deadline, and it is not the socket's
        "socket_connect_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,  # a command that users with few rights may not give
    }
    return kind(**options)


async def _answer(address: StateAddress, node: Node, *command: str) -> Sequence[Any]:
    """Return what a node answers, on a connection for this question alone."""
    connection = connection_to(address, node)
    try:
        await connection.connect()
        await connection.send_command(*command)
        found: Sequence[Any] = await connection.read_response()
        return found
    finally:
        await connection.disconnect(nowait=True)


def _none_of(what: str, why: Exception | None) -> StateError:
    return StateError(f"{what}: {str(why) or type(why).__name__}")


class _Fixed:
    """What the URL names."""

    def __init__(self, address: StateAddress) -> None:
        self.address = address

    async def find(self) -> Node:
        return self.address.nodes[0]

    def moved(self, node: Node | None) -> None:
        """Take no note: there is nothing else."""


class _Master:
    """The master, by the word of the first sentinel that has one; asked anew for each connection."""

    def __init__(self, address: StateAddress) -> None:
        self.address = address
        self._sentinels = attrs.evolve(
            address, user=address.sentinel_user, password=address.sentinel_password, database=0
        )

    async def find(self) -> Node:
        why: Exception | None = None
        for node in self._sentinels.nodes:
            try:
                async with asyncio.timeout(_ASKED_SECONDS):
                    found = await _answer(
                        self._sentinels, node, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.address.service
                    )
            except (RedisError, OSError, TimeoutError) as error:
                why = error
            else:
                if found:
                    return found[0].decode(), int(found[1])
                why = why or StateError(f"none of those that answer knows a master {self.address.service!r}")
        raise why if isinstance(why, AuthenticationError) else _none_of("no sentinel tells where the master is", why)

    def moved(self, node: Node | None) -> None:
        """Take no note: the sentinels know."""


class Nodes:
    """Which master keeps which slots of a cluster, by the word of any node; for all slots together."""

    def __init__(self, address: StateAddress) -> None:
        """Know nothing but the nodes of the URL."""
        self.address = address
        self.version = 0
        """Rises with each change."""
        self._masters: list[tuple[int, int, Node]] = []
        self._others: list[Node] = []
        self._moved: dict[int, Node] = {}
        self._failed: Exception | None = None
        self._asking = asyncio.Lock()

    def of(self, slot: int) -> Node:
        """Return the node that keeps a slot; raises ``StateError`` where none is known to."""
        if slot in self._moved:
            return self._moved[slot]
        for first, last, node in self._masters:
            if first <= slot <= last:
                return node
        msg = f"no node of the cluster keeps slot {slot}"
        raise StateError(msg)

    def move(self, slot: int, node: Node) -> None:
        """Note that a slot has a new node."""
        self._moved[slot] = node

    async def look(self, seen: int) -> None:
        """Ask who keeps what, unless somebody has done so since version ``seen``, or failed to while this one waited.

        Raises ``StateError``, or ``AuthenticationError`` where the nodes refuse us.
        """
        failed = self._failed
        async with self._asking:
            if self.version > seen:
                return
            if self._failed is not failed and self._failed is not None:
                raise self._failed
            why: Exception | None = None
            for node in self._known():
                try:
                    async with asyncio.timeout(_ASKED_SECONDS):
                        self._note(node, await _answer(self.address, node, "CLUSTER", "SLOTS"))
                except (RedisError, OSError, TimeoutError) as error:
                    why = error
                else:
                    return
            self._failed = (
                why if isinstance(why, AuthenticationError) else _none_of("no node of the cluster answers", why)
            )
            raise self._failed

    def _known(self) -> Iterator[Node]:
        yield from dict.fromkeys([*(node for _, _, node in self._masters), *self._others, *self.address.nodes])

    def _note(self, asked: Node, found: Sequence[Any]) -> None:
        """Keep ``[first, last, [host, port, ...] of the master, of its replicas ...]`` of each stretch of slots."""

        def node(told: Sequence[Any]) -> Node:
            host = told[0].decode() if isinstance(told[0], bytes) else told[0]
            return host if host not in {None, "", "?"} else asked[0], int(told[1])  # "": the one that was asked

        self._masters = [(first, last, node(master)) for first, last, master, *_ in found]
        self._others = [node(replica) for _, _, _, *replicas in found for replica in replicas]
        self._moved.clear()
        self.version += 1


class Slot:
    """One slot of a cluster, on the node that keeps it at present."""

    def __init__(self, nodes: Nodes, slot: int) -> None:
        """Know nothing yet of where it is."""
        self.address = nodes.address
        self._nodes = nodes
        self._slot = slot
        self._seen = 0
        self._doubtful = True

    async def find(self) -> Node:
        """Return its node, looked up again where the last one did not serve."""
        if self._doubtful:
            await self._nodes.look(self._seen)
            self._seen, self._doubtful = self._nodes.version, False
        return self._nodes.of(self._slot)

    def moved(self, node: Node | None) -> None:
        """Believe a node's word that another one has the slot."""
        if node is None:
            self._doubtful = True
        else:
            self._nodes.move(self._slot, node)
