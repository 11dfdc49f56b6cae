"""Asks the endpoints of agents whether they are well, at intervals, each on a connection of its own.

One task for each agent that asks for it, on the gateway's loop. What comes of it is written down at the place.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from aiogate.agent import Agent, Health
from aiogate.errors import UpstreamError
from aiogate.proxy.deadline import Deadline
from aiogate.proxy.upstream.connection import Connection, Home
from aiogate.proxy.upstream.endpoint import Endpoint
from aiogate.proxy.upstream.place import Place

__all__ = ["Checks", "Probed"]

_log: Final = logging.getLogger(__name__)
_JITTER: Final = 0.1
_GOOD: Final = range(200, 400)

Dial = Callable[[Endpoint, Home, float, str], Awaitable[Connection]]
"""Makes a connection for a home within so many seconds; the last is the agent's id. Raises ``UpstreamError``."""


@attrs.frozen(eq=False)
class Probed:
    """An agent whose endpoints are asked: each place with the request that it gets."""

    agent: Agent
    health: Health
    places: tuple[tuple[Place, bytes], ...]


class _Nowhere:
    """Where a connection goes that nobody needs any more."""

    def back(self, connection: Connection) -> None:
        """Close it."""
        connection.abort()

    def lost(self, connection: Connection) -> None:
        """Take no note of it."""


class Checks:
    """The tasks that ask."""

    def __init__(self, dial: Dial, random: Callable[[], float]) -> None:
        self._dial = dial
        self._random = random
        self._running: dict[str, tuple[Probed, asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def adopt(self, probed: dict[str, Probed]) -> None:
        """Go on with these agents: one that has not changed is not asked anew, one that has gone no more."""
        for agent_id, (before, task) in tuple(self._running.items()):
            now = probed.get(agent_id)
            if now is None or now.agent != before.agent:
                del self._running[agent_id]
                task.cancel()
        for agent_id, one in probed.items():
            if agent_id not in self._running:
                task = asyncio.get_running_loop().create_task(self._look_after(one))
                self._tasks.add(task)
                task.add_done_callback(self._done)
                self._running[agent_id] = one, task

    async def ended(self) -> None:
        """Wait until those have ended that were told to."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the endpoints of an agent are not probed any more", exc_info=error)

    async def _look_after(self, probed: Probed) -> None:
        while True:
            await asyncio.gather(*(self._look(probed, place, request) for place, request in probed.places))
            await asyncio.sleep(probed.health.interval * (1.0 - _JITTER + 2 * _JITTER * self._random()))

    async def _look(self, probed: Probed, place: Place, request: bytes) -> None:
        was_down = place.is_down
        why = await self._ask(probed, place.endpoint, request)
        place.probed(well=not why)
        if place.is_down != was_down:
            state = f"is down: {why}" if why else "is back"
            _log.warning("endpoint %s of agent %r %s", place.endpoint.name, probed.agent.id, state)

    async def _ask(self, probed: Probed, endpoint: Endpoint, request: bytes) -> str:
        """Return why an endpoint is not well, or ``""``."""
        seconds = probed.health.timeout
        try:
            with Deadline(seconds):
                connection = await self._dial(endpoint, _Nowhere(), seconds, probed.agent.id)
                try:
                    head = await connection.send(probed.agent, request).arrived
                finally:
                    connection.abort()
        except TimeoutError:
            return f"no answer within {seconds:g} s"
        except UpstreamError as error:
            return error.detail
        return "" if head.status in _GOOD else f"it answered {head.status}"
