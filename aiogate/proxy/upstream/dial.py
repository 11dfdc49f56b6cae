"""How a connection to an agent is made: a name to addresses, an address to a socket, TLS about it.

For the pool. Knows nothing of HTTP. What fails becomes one sentence that a client may read (``unreachable.py``).
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import attrs
from aiohappyeyeballs import AddrInfoType, start_connection

from aiogate.errors import UpstreamError
from aiogate.proxy.deadline import Deadline
from aiogate.proxy.upstream.endpoint import Endpoint
from aiogate.proxy.upstream.names import Names
from aiogate.proxy.upstream.tls import Contexts, Tls
from aiogate.proxy.upstream.unreachable import Step, why

__all__ = ["Dialer"]

P = TypeVar("P", bound=asyncio.BaseProtocol)

_NEXT_ADDRESS_SECONDS: Final = 0.25
"""How long an address has before the next one is tried beside it (RFC 8305 section 5)."""


@attrs.define
class _Attempt:
    """One call of ``connect``."""

    endpoint: Endpoint
    seconds: float
    step: Step = Step.SOCKET


@attrs.define
class Dialer:
    """Makes the connections of one gateway; remembers names and TLS contexts."""

    _names: Names = attrs.field(factory=Names)
    _contexts: Contexts = attrs.field(factory=Contexts)

    def prepare(self, endpoints: Iterable[Endpoint]) -> None:
        """Read the certificate files of endpoints, anew if they were read before; for start and reload.

        What is not prepared is read in a thread when it is first connected to. Raises ``OSError``.
        """
        for tls in {endpoint.tls for endpoint in endpoints if endpoint.tls is not None}:
            self._contexts.make(tls)

    def adopt(self, contexts: Contexts) -> None:
        """Go on with contexts that were made meanwhile; connections that are open keep theirs."""
        self._contexts = contexts

    async def connect(self, endpoint: Endpoint, factory: Callable[[], P], seconds: float, *, name: str) -> P:
        """Return a protocol that is connected, TLS included.

        Several addresses are tried by happy eyeballs. Nothing stays open when this raises or is cancelled.

        Args:
            endpoint: where to.
            factory: makes the protocol, once.
            seconds: for all of it, from the name to the TLS handshake.
            name: the agent's id, for the sentence.

        Raises ``UpstreamError`` (``agent_unreachable``, ``agent_connect_timeout``).
        """
        attempt = _Attempt(endpoint, seconds)
        try:
            with Deadline(seconds):
                return await self._connect(attempt, factory)
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                code, reason = "agent_connect_timeout", f" within {seconds:g} s: {attempt.step}"
            else:
                code, reason = "agent_unreachable", f": {why(attempt.step, error)}"
            raise UpstreamError(code, f"agent {name!r} cannot be reached{reason}", sent=False) from error

    def close(self) -> None:
        """Give up the look-ups under way."""
        self._names.close()

    async def _connect(self, attempt: _Attempt, factory: Callable[[], P]) -> P:
        endpoint = attempt.endpoint
        loop = asyncio.get_running_loop()
        if endpoint.socket_path:
            _, protocol = await loop.create_unix_connection(factory, endpoint.socket_path)
            return protocol
        context = None if endpoint.tls is None else await self._context(endpoint.tls, attempt)
        attempt.step = Step.NAME
        addresses = await self._names.addresses(endpoint.host, endpoint.port)
        attempt.step = Step.SOCKET
        sock = await _open(addresses)
        if context is None:
            _, protocol = await loop.create_connection(factory, sock=sock)
            return protocol
        attempt.step = Step.TLS
        _, protocol = await loop.create_connection(
            factory,
            sock=sock,
            ssl=context,
            server_hostname=endpoint.server_name,
            ssl_handshake_timeout=attempt.seconds,  # never the first to end; its default of 60 s might be
        )
        return protocol

    async def _context(self, tls: Tls, attempt: _Attempt) -> ssl.SSLContext:
        context = self._contexts.get(tls)
        if context is None:
            attempt.step = Step.FILES
            context = await asyncio.get_running_loop().run_in_executor(None, self._contexts.make, tls)
        return context


async def _open(addresses: list[AddrInfoType]) -> socket.socket:
    try:
        return await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, interleave=1)
    except RuntimeError as error:  # uvloop's, of a descriptor that somebody closed beside it
        raise OSError(str(error)) from error
