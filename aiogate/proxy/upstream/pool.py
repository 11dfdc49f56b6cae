"""The idle connections to one endpoint, the one used last taken first.

What has been idle for too long is closed, here as soon as it is noticed and by a timer in the end.
"""

import asyncio
import ssl
from typing import Final

from aiogate.errors import UpstreamError
from aiogate.proxy.deadline import Deadline
from aiogate.proxy.upstream.connection import Connection
from aiogate.proxy.upstream.endpoint import Endpoint

__all__ = ["Pool"]

_IDLE_SECONDS: Final = 4.0
"""Shorter than the five seconds after which common agent servers close an idle connection."""
_MOST_IDLE: Final = 1024


class Pool:
    """Connections to one endpoint.

    Args:
        endpoint: where to connect.
        context: for TLS; None: plain TCP.
    """

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext | None) -> None:
        self._endpoint = endpoint
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self) -> Connection | None:
        """Return an idle connection that can be written to, or None."""
        oldest = self._loop.time() - _IDLE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    async def connect(self, name: str, seconds: float) -> Connection:
        """Return a new connection; raises ``UpstreamError``."""
        endpoint = self._endpoint
        try:
            with Deadline(seconds):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self._loop, self._release),
                    endpoint.host,
                    endpoint.port,
                    ssl=self._context,
                    server_hostname=endpoint.host if self._context is not None else None,
                )
        except TimeoutError as error:
            code = "agent_unreachable"
            raise UpstreamError(code, f"agent {name!r} cannot be reached within {seconds:g} s") from error
        except (OSError, ssl.SSLError) as error:
            code = "agent_unreachable"
            raise UpstreamError(code, f"agent {name!r} cannot be reached") from error
        return connection

    def close(self) -> None:
        """Close what is idle, and what comes back from now on."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        while self._idle:
            self._idle.pop().abort()

    def _release(self, connection: Connection) -> None:
        if self._closed or len(self._idle) >= _MOST_IDLE:
            connection.abort()
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_IDLE_SECONDS, self._sweep)

    def _sweep(self) -> None:
        oldest = self._loop.time() - _IDLE_SECONDS
        fresh = [connection for connection in self._idle if connection.usable and connection.idle_since > oldest]
        for connection in set(self._idle) - set(fresh):
            connection.abort()
        self._idle = fresh
        self._sweeper = self._loop.call_later(_IDLE_SECONDS, self._sweep) if fresh else None
