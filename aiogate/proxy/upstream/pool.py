"""The connections to one endpoint: never more than its bound, the one used last taken first, waiters in their order.

What has been idle for too long is closed, here as soon as it is noticed and by a timer in the end. Knows no HTTP.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from aiogate.agent import Agent
from aiogate.errors import UpstreamError
from aiogate.proxy.upstream.connection import Connection, Home

__all__ = ["Dial", "Pool"]

_LEAST_SWEEP_SECONDS: Final = 0.05

Dial = Callable[[Home, float], Awaitable[Connection]]
"""Makes a connection for a pool within so many seconds; raises ``UpstreamError``."""


class Pool:
    """Connections to one endpoint.

    Args:
        agent: whose ``max_connections``, ``max_idle``, ``idle_connection_seconds`` and ``connect_seconds`` apply.
        dial: makes one more connection.
    """

    def __init__(self, agent: Agent, dial: Dial) -> None:
        self._agent = agent
        self._dial = dial
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._being_made = 0
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self) -> Connection | None:
        """Return an idle connection that can be written to, or None."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.usable and self._loop.time() - connection.idle_since < self._agent.idle_connection_seconds:
                return connection
            connection.abort()
        return None

    async def connect(self, *, fresh: bool = False) -> Connection:
        """Return a connection that nobody has used or, when there may be no more, the first that comes free.

        ``fresh``: one that comes free will not do. Raises ``UpstreamError``, for the wait as well.
        """
        if self._is_full():
            if self._idle:  # only who needs a fresh one comes here then
                self._idle.pop(0).abort()
            connection = await self._wait()
            while connection is not None:
                if connection.usable and not fresh:
                    return connection
                connection.abort()
                connection = await self._wait()
        else:
            self._being_made += 1
        try:
            connection = await self._dial(self, self._agent.connect_seconds)
            if not connection.lost:
                self._open.add(connection)
        finally:
            self._being_made -= 1
            self._wake()
        return connection

    def _is_full(self) -> bool:
        return len(self._open) + self._being_made >= self._agent.max_connections

    def back(self, connection: Connection) -> None:
        """Take a connection that may be used again, for whoever waits or for later."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if self._closed or len(self._idle) >= self._agent.max_idle:
            connection.abort()
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._period(), self._sweep)

    def lost(self, connection: Connection) -> None:
        """Count a connection no more: it is closed."""
        if connection in self._idle:
            self._idle.remove(connection)
        self._open.discard(connection)
        self._wake()

    def close(self) -> None:
        """Close what is idle, and what comes back from now on."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        while self._idle:
            self._idle.pop().abort()

    async def _wait(self) -> Connection | None:
        """Return a connection that came free, or None: there is room for another one, and it is kept for the caller."""
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiters.append(waiter)
        timer = self._loop.call_later(self._agent.connect_seconds, self._give_up, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._pass_on(waiter.result())
            raise
        finally:
            timer.cancel()

    def _give_up(self, waiter: "asyncio.Future[Connection | None]") -> None:
        if not waiter.done():
            code = "agent_unavailable"
            limit, seconds = self._agent.max_connections, self._agent.connect_seconds
            detail = f"agent {self._agent.id!r}: none of its {limit} connections came free within {seconds:g} s"
            waiter.set_exception(UpstreamError(code, detail, sent=False))

    def _pass_on(self, given: Connection | None) -> None:
        """Give what a waiter got that has gone meanwhile to the next one."""
        if given is None:
            self._being_made -= 1
            self._wake()
        elif given.usable:
            self.back(given)
        else:
            given.abort()

    def _wake(self) -> None:
        """Give the room for another connection to who waits longest."""
        while self._waiters and not self._is_full():
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._being_made += 1
                waiter.set_result(None)

    def _period(self) -> float:
        return max(_LEAST_SWEEP_SECONDS, self._agent.idle_connection_seconds)

    def _sweep(self) -> None:
        oldest = self._loop.time() - self._agent.idle_connection_seconds
        stale = [connection for connection in self._idle if not connection.usable or connection.idle_since <= oldest]
        for connection in stale:
            self._idle.remove(connection)
            connection.abort()
        self._sweeper = self._loop.call_later(self._period(), self._sweep) if self._idle else None
