"""The way to the agents: requests out, responses in, byte for byte.

Sends what it is given and nothing else: no cookies, redirects, decoding, proxies or headers of its own but ``Host`` and
the framing. The rest of the gateway sees ``Upstream.send`` and a ``Response``.
"""

import ssl
from collections.abc import AsyncIterator
from typing import Final

import attrs
from multidict import CIMultiDict

from aiogate.errors import UpstreamError
from aiogate.exchange import Agent
from aiogate.proxy.head import head_bytes
from aiogate.proxy.upstream.endpoint import Endpoint, endpoint_of
from aiogate.proxy.upstream.pool import Pool
from aiogate.proxy.upstream.response import Response

__all__ = ["Response", "Upstream"]

_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
_WITH_LENGTH: Final = frozenset({"POST", "PUT", "PATCH"})


@attrs.define
class Upstream:
    """The connections to all agents of one gateway."""

    _pools: dict[Endpoint, Pool] = attrs.field(factory=dict)
    _context: ssl.SSLContext | None = None

    async def send(
        self,
        agent: Agent,
        method: str,
        target: str,
        headers: CIMultiDict[str],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> Response:
        """Send a request and return the response's head, its body still to come.

        Args:
            agent: whom to ask; its ``connect_seconds`` and ``first_byte_seconds`` apply.
            method: as the client sent it.
            target: path and query below the agent's URL, as they were encoded.
            headers: what the agent gets; ``Host`` and the framing are put in. A body of known length that streams has
                its ``Content-Length`` in them already.
            body: whole, as a stream, or None.

        Raises ``UpstreamError``, or what the body raises.
        """
        endpoint = endpoint_of(agent.url)
        chunked = _frame(method, headers, body)
        headers["Host"] = endpoint.authority
        try:
            path = endpoint.base_path + target
            path = path if path.startswith("/") else f"/{path}"
            head = head_bytes(f"{method} {path} HTTP/1.1", headers)
        except ValueError as error:
            code = "agent_protocol_error"
            raise UpstreamError(code, f"the request to agent {agent.id!r} holds control characters") from error
        pool = self._pool(endpoint)
        connection = pool.take()
        if connection is not None:
            connection.used = False
            try:
                return await connection.send(
                    agent.id, method, head, body, chunked=chunked, seconds=agent.first_byte_seconds
                )
            except UpstreamError:
                # the agent may have closed the idle connection while the request was on its way (RFC 9112, 9.3.1)
                replayable = method in _IDEMPOTENT and (body is None or isinstance(body, bytes))
                if connection.used or not connection.lost or not replayable:
                    raise
        connection = await pool.connect(agent.id, agent.connect_seconds)
        return await connection.send(agent.id, method, head, body, chunked=chunked, seconds=agent.first_byte_seconds)

    def close(self) -> None:
        """Close all idle connections, and those that come back from now on."""
        for pool in self._pools.values():
            pool.close()

    def _pool(self, endpoint: Endpoint) -> Pool:
        pool = self._pools.get(endpoint)
        if pool is None:
            if endpoint.tls and self._context is None:
                self._context = ssl.create_default_context()
                self._context.set_alpn_protocols(["http/1.1"])
            pool = self._pools[endpoint] = Pool(endpoint, self._context if endpoint.tls else None)
        return pool


def _frame(method: str, headers: CIMultiDict[str], body: bytes | AsyncIterator[bytes] | None) -> bool:
    """Put the framing into the headers (RFC 9112 section 6); return whether it is chunked."""
    if isinstance(body, bytes):
        headers["Content-Length"] = str(len(body))
    elif body is None:
        if method in _WITH_LENGTH:
            headers["Content-Length"] = "0"
    elif "Content-Length" not in headers:
        headers["Transfer-Encoding"] = "chunked"
        return True
    return False
