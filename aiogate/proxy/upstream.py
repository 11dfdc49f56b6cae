"""The one shared client session towards all agents, and what its errors mean.

Sends what it is given and nothing else: no cookies, redirects, decoding, proxies or headers of its own.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
import attrs
from multidict import CIMultiDict
from yarl import URL

from aiogate.errors import UpstreamError
from aiogate.exchange import Agent
from aiogate.proxy.deadline import Deadline

__all__ = ["Upstream", "upstream_error"]

_IDLE_SECONDS: Final = 4.0
"""Shorter than the five seconds after which common agent servers close an idle connection."""
_AUTO_HEADERS: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_SWITCHING_PROTOCOLS: Final = 101


@attrs.define
class Upstream:
    """The connections to the agents; ``open`` it on the loop that uses it."""

    _session: aiohttp.ClientSession | None = None
    _timeouts: dict[float, aiohttp.ClientTimeout] = attrs.field(factory=dict)

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session; RuntimeError before ``open``."""
        if self._session is None:
            msg = "the upstream session is not open"
            raise RuntimeError(msg)
        return self._session

    def open(self) -> None:
        """Make the session; it connects to nobody yet."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS, ttl_dns_cache=10),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            skip_auto_headers=_AUTO_HEADERS,
            read_bufsize=2**16,
            max_line_size=2**15,
            max_field_size=2**15,
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def send(
        self,
        agent: Agent,
        method: str,
        url: str,
        headers: CIMultiDict[str],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> aiohttp.ClientResponse:
        """Send a request and return the response's head, its body still to come; raises ``UpstreamError``.

        The body goes up before ``first_byte_seconds`` begin to count only as far as it is at hand: a streamed body
        counts into them, so that a client which never finishes its body does not hold an agent for ever.
        """
        try:
            with Deadline(agent.first_byte_seconds):
                response = await self.session.request(
                    method,
                    URL(url, encoded=True),
                    headers=headers,
                    data=body,
                    allow_redirects=False,
                    timeout=self._timeout(agent.connect_seconds),
                )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise upstream_error(agent, error) from error
        if response.status == _SWITCHING_PROTOCOLS:
            response.close()
            code = "agent_protocol_error"
            raise UpstreamError(code, f"agent {agent.id!r} switched protocols without being asked")
        return response

    def _timeout(self, connect_seconds: float) -> aiohttp.ClientTimeout:
        if connect_seconds not in self._timeouts:
            self._timeouts[connect_seconds] = aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds)
        return self._timeouts[connect_seconds]


def upstream_error(agent: Agent, error: BaseException) -> UpstreamError:
    """Return what an error of the client session means for the client of the gateway."""
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return UpstreamError("agent_unreachable", f"agent {agent.id!r} cannot be reached")
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return UpstreamError(
            "agent_timeout",
            f"agent {agent.id!r} did not answer within {agent.first_byte_seconds:g} s",
        )
    if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError)):
        return UpstreamError("agent_unreachable", f"agent {agent.id!r} closed the connection without an answer")
    return UpstreamError("agent_protocol_error", f"agent {agent.id!r} did not answer in HTTP")
