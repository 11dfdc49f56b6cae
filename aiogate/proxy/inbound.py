"""A client's request as it came off the wire: what the gateway needs to know of it, and the connection that it is on.

Made by the listener. Knows nothing of exchanges.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import HttpVersion11, StreamReader
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web import BaseRequest
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDictProxy, istr

__all__ = ["Inbound", "address_of"]

_CONTENT_LENGTH: Final = istr("Content-Length")
_HOST: Final = istr("Host")


class Inbound:
    """One request.

    Args:
        method: as the client sent it.
        target: the request line's, as it was encoded.
        headers: as the client sent them; ``host`` and ``length`` are what two of them say, None: nothing.
        is_old: HTTP/1.0, which knows neither chunks nor, unasked, kept connections.
        keep_alive: the client's wish.
        has_body: whether one follows.
        content: the body as it arrives.
        transport: the connection, None when the client has gone already.
        address: of the peer, ``""`` where it has none.
        protocol: aiohttp's handler on that connection.
        writer: waits until the client has read enough.
        task: serves the request; to be cancelled when the exchange is to be cut.
        take_whole: returns the body when all of it is here and has not been touched, else None.
    """

    __slots__ = (
        "address",
        "content",
        "has_body",
        "headers",
        "host",
        "is_old",
        "keep_alive",
        "length",
        "method",
        "protocol",
        "take_whole",
        "target",
        "task",
        "transport",
        "writer",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - made for every request, and positions are fastest
        self,
        method: str,
        target: str,
        headers: CIMultiDictProxy[str],
        is_old: bool,
        keep_alive: bool,
        has_body: bool,
        content: StreamReader,
        transport: asyncio.Transport | None,
        address: str,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
        take_whole: Callable[[StreamReader], bytes | None],
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.host = headers.get(_HOST)
        self.length = length = headers.get(_CONTENT_LENGTH)
        self.is_old = is_old
        # aiohttp 3.14 takes the last trailer of a chunked body for a header of the request behind it
        self.keep_alive = keep_alive and not (has_body and length is None)
        self.has_body = has_body
        self.content = content
        self.transport = transport
        self.address = address
        self.protocol = protocol
        self.writer = writer
        self.task = task
        self.take_whole = take_whole

    @classmethod
    def of(cls, request: BaseRequest) -> "Inbound":
        """Return what aiohttp's own request says, by its public names alone."""
        return cls(
            request.method,
            request.raw_path,
            request.headers,
            request.version < HttpVersion11,
            request.keep_alive,
            request.body_exists,
            request.content,
            request.transport,
            address_of(request.transport),
            request.protocol,
            request.writer,
            request.task,
            _take_whole,
        )

    def _cancel(self, error: BaseException) -> None:
        """Tell whoever reads the body that there will be no more of it; aiohttp's handler calls it by this name."""
        self.content.set_exception(error)


def address_of(transport: asyncio.BaseTransport | None) -> str:
    """Return the address of a connection's peer, ``""`` where it has none or has gone."""
    peer = transport.get_extra_info("peername") if transport is not None else None
    return peer[0] if isinstance(peer, tuple) else ""


def _take_whole(content: StreamReader) -> bytes | None:
    return content.read_nowait() if content.is_eof() and content.exception() is None else None
