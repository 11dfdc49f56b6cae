"""The way to the agents: requests out, responses in, byte for byte.

Sends what it is given and nothing else. The rest of the gateway sees ``Upstream.to`` and a ``Destination``: ``open`` an
exchange of messages, read the head out of the ``Response``, ``pour`` its body into a sink, ``close`` it at any moment.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from random import random as random_number
from typing import Any

import attrs

from aiogate.agent import Agent
from aiogate.errors import UpstreamError
from aiogate.proxy.upstream.connection import Connection, Home
from aiogate.proxy.upstream.dial import Dialer
from aiogate.proxy.upstream.endpoint import Endpoint, endpoint_for, endpoints_for
from aiogate.proxy.upstream.endpoints import IDEMPOTENT, Endpoints
from aiogate.proxy.upstream.envelope import Callers, Envelope
from aiogate.proxy.upstream.head import Head
from aiogate.proxy.upstream.health import Checks, Probed
from aiogate.proxy.upstream.pool import Pool
from aiogate.proxy.upstream.reading import Piece
from aiogate.proxy.upstream.response import Response
from aiogate.proxy.upstream.tls import Contexts
from aiogate.proxy.upstream.watch import Watch, Watched

__all__ = ["Contexts", "Destination", "Head", "Response", "Upstream", "Watch", "Watched"]


@attrs.define
class Destination:
    """One agent and the connections to it; of one with several endpoints those to the first of them.

    ``endpoints`` are there for an agent whose requests take more than this: see ``Agent.is_resilient``.
    """

    agent: Agent
    envelope: Envelope
    _pool: Pool
    endpoints: Endpoints | None = None
    _ways: tuple["Destination", ...] = ()

    def at(self, place: int, agent: Agent | None = None) -> "Destination":
        """Return the way to one of the endpoints; ``agent``: with other deadlines."""
        way = self._ways[place] if self._ways else self
        return way if agent is None else attrs.evolve(way, agent=agent)

    def probed(self) -> Iterator[Probed]:
        """Yield what is to be probed, if it is."""
        health, endpoints = self.agent.health, self.endpoints
        if health is not None and endpoints is not None:
            places = zip(endpoints.places, self._ways, strict=True)
            yield Probed(self.agent, health, tuple((place, way.envelope.probe(health.path)) for place, way in places))

    def close(self) -> None:
        """Close the idle connections, and those that come back from now on."""
        self._pool.close()
        for way in self._ways:
            way.close()

    async def open(
        self,
        method: str,
        head: bytes,
        body: bytes | AsyncIterator[bytes] | None,
        *,
        chunked: bool = False,
        upgrade: bool = False,
    ) -> tuple[Response, Head]:
        """Send a request; return the response when its head is there, its body still to come.

        Args:
            method: of the request; some may be sent again when a kept connection turns out to be closed.
            head: request line and headers, their empty line included.
            body: whole, as a stream that is sent in chunks or as its ``Content-Length`` says, or None.
            chunked: the head says that the stream comes in chunks.
            upgrade: the agent may switch protocols.

        Raises ``UpstreamError``, or what the body raises.
        """
        streams = body is not None and not isinstance(body, bytes)
        request = head + body if isinstance(body, bytes) else head
        pool = self._pool
        connection = pool.take() or await pool.connect()
        while True:
            response = connection.send(self.agent, request, is_head=method == "HEAD", upgrade=upgrade)
            if streams:
                connection.upload(body, chunked=chunked)  # type: ignore[arg-type] # it is a stream
            try:
                return response, await response.arrived
            except UpstreamError:
                # the agent may have closed the idle connection while the request was on its way (RFC 9112, 9.3.1)
                raced = connection.idle_since and connection.lost and not connection.used
                if not raced or streams or method not in IDEMPOTENT:
                    raise
            except BaseException:
                response.close()
                if response.arrived.done() and not response.arrived.cancelled():
                    response.arrived.exception()  # seen, and of no use to anybody any more
                raise
            connection = await pool.connect(fresh=True)


class Upstream:
    """The connections to all agents of one gateway; made on its loop.

    ``random`` gives numbers from 0 to 1, 1 excluded, for all that is jittered.
    """

    def __init__(self, random: Callable[[], float] = random_number) -> None:
        self.random = random
        self._loop = asyncio.get_running_loop()
        self._dialer = Dialer()
        self.watch = Watch(self._loop)
        """The timer that looks at whatever is incomplete, of agents and of clients."""
        self._piece = Piece()
        self._callers = Callers()
        self._checks = Checks(self._dial, random)
        self._destinations: dict[str, Destination] = {}
        self._agents: Mapping[str, Agent] | None = None

    @staticmethod
    def prepare(agents: Iterable[Agent]) -> Contexts:
        """Read what TLS needs of the disk, for ``adopt``; blocks, raises ``OSError``."""
        return Contexts.of({one.tls for agent in agents for one in endpoints_for(agent) if one.tls is not None})

    def adopt(self, agents: Mapping[str, Agent], contexts: Contexts) -> None:
        """Go on with the agents of another config: one that has not changed keeps its connections.

        Of one that has changed or gone the idle connections are closed; what is under way goes on.
        """
        self._agents = agents
        self._dialer.adopt(contexts)
        before = dict(self._destinations)
        for agent_id, destination in before.items():
            agent = agents.get(agent_id)
            if agent is not None and agent == destination.agent:
                destination.agent = agent
            else:
                destination.close()
                del self._destinations[agent_id]
        for agent in agents.values():
            if agent.is_resilient and agent.id not in self._destinations:
                self._destinations[agent.id] = self._destination(agent, before.get(agent.id))
        self._checks.adopt({one.agent.id: probed for one in self._destinations.values() for probed in one.probed()})

    def to(self, agent: Agent) -> Destination:
        """Return the way to an agent."""
        found = self._destinations.get(agent.id)
        if found is not None and found.agent is agent:
            return found
        return self._another(agent, found)

    def _another(self, agent: Agent, found: Destination | None) -> Destination:
        """Return the way to an agent that is called for the first time, or by an exchange of the config before."""
        if found is not None and found.agent == agent:
            return found
        destination = self._destination(agent, found)
        if self._agents is not None and self._agents.get(agent.id) is not agent:
            destination.close()  # of the config before: nobody will call it so any more, nothing is kept
            return destination
        if found is not None:
            found.close()
        self._destinations[agent.id] = destination
        return destination

    def _destination(self, agent: Agent, before: Destination | None) -> Destination:
        """Make the way to an agent; what is known ``before`` of its endpoints is known on."""
        if not agent.is_resilient:
            return self._way(agent, endpoint_for(agent))
        endpoints = Endpoints.of(agent, self.random, None if before is None else before.endpoints)
        ways = tuple(self._way(agent, place.endpoint) for place in endpoints.places)
        return attrs.evolve(ways[0], endpoints=endpoints, ways=ways)

    def _way(self, agent: Agent, endpoint: Endpoint) -> Destination:
        return Destination(agent, Envelope(agent, endpoint, self._callers), self._pool(agent, endpoint))

    def figures(self, now: float) -> dict[str, list[dict[str, Any]]]:
        """Return what an operator wants to know of the endpoints of resilient agents, by agent id."""
        found = {agent_id: each.endpoints for agent_id, each in self._destinations.items()}
        return {agent_id: each.figures(now) for agent_id, each in found.items() if each is not None}

    def retries(self, agent_id: str) -> int:
        """Return how many attempts there were behind the first, in all exchanges with an agent."""
        found = self._destinations.get(agent_id)
        return 0 if found is None or found.endpoints is None else found.endpoints.budget.taken

    def close(self) -> None:
        """Close all idle connections, and those that come back from now on."""
        self._checks.adopt({})
        for destination in self._destinations.values():
            destination.close()
        self.watch.close()
        self._dialer.close()

    async def ended(self) -> None:
        """Wait until nothing runs any more that ``close`` has ended."""
        await self._checks.ended()

    def _pool(self, agent: Agent, endpoint: Endpoint) -> Pool:
        async def dial(home: Home, seconds: float) -> Connection:
            return await self._dial(endpoint, home, seconds, agent.id)

        return Pool(agent, dial)

    async def _dial(self, endpoint: Endpoint, home: Home, seconds: float, name: str) -> Connection:
        return await self._dialer.connect(
            endpoint, lambda: Connection(self._loop, home, self.watch, self._piece), seconds, name=name
        )
