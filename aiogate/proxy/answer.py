"""An answer on its way to the client, head and body written straight to its transport.

aiogate's only duty towards aiohttp's handler is to be done when it asks: ``prepare`` and ``write_eof`` do nothing.
Uses public API of ``BaseRequest`` alone (``transport``, ``writer``, ``version``, ``keep_alive``). RFC 9112, 6 and 7.
"""

import socket
import struct
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final, NoReturn

from aiohttp import HttpVersion11
from aiohttp.web import BaseRequest
from multidict import CIMultiDict

from aiogate.errors import UpstreamError
from aiogate.proxy.head import head_bytes

__all__ = ["Answer", "has_no_body"]

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}
_LAST_CHUNK: Final = b"0\r\n\r\n"


def has_no_body(method: str, status: int) -> bool:
    """Tell whether a response has no body whatever its headers say (RFC 9112 section 6.3)."""
    return method == "HEAD" or status in (204, 304) or status < 200  # noqa: PLR2004 - 1xx


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    """Return the ``Date`` header of a second (RFC 9110 section 6.6.1: an agent may leave it out, a gateway may not)."""
    return formatdate(second, usegmt=True)


class Answer:
    """One response to one request. The framing follows from what is known when it starts.

    ``start`` writes the head at once; ``write`` a chunk; ``finish`` the last bytes. ``whole`` does it in one write.
    """

    __slots__ = ("_chunked", "_request", "_started", "_transport", "keep_alive", "status")

    def __init__(self, request: BaseRequest) -> None:
        self._request = request
        self._transport = request.transport
        self._chunked = False
        self._started = False
        self.status = 0
        self.keep_alive: bool = request.keep_alive

    @property
    def started(self) -> bool:
        """Whether the client has been sent the head."""
        return self._started

    async def prepare(self, _request: BaseRequest) -> None:
        """Satisfy aiohttp's handler: everything is written already."""

    async def write_eof(self, _data: bytes = b"") -> None:
        """Satisfy aiohttp's handler: everything is written already."""

    async def whole(self, status: int, headers: CIMultiDict[str], body: bytes, *, reason: str | None = None) -> None:
        """Write head and body together. ``Content-Length`` is put in unless the response cannot have a body."""
        if not has_no_body(self._request.method, status):
            headers["Content-Length"] = str(len(body))
        else:
            body = b""
        self._write(self._head(status, headers, reason) + body)
        await self.drain()

    async def relayed(self, status: int, headers: CIMultiDict[str], body: bytes, *, reason: str) -> None:
        """Write an agent's whole response, head and body together, its framing as it is in the headers."""
        self._write(self._head(status, headers, reason) + body)
        await self.drain()

    def start(self, status: int, headers: CIMultiDict[str], *, reason: str | None = None) -> None:
        """Write the head; chunked, unless a length is in the headers or the client is too old for chunks."""
        if not has_no_body(self._request.method, status) and "Content-Length" not in headers:
            if self._request.version >= HttpVersion11:
                self._chunked = True
                headers["Transfer-Encoding"] = "chunked"
            else:
                self.keep_alive = False
        self._write(self._head(status, headers, reason))

    def write(self, chunk: bytes) -> None:
        """Write a chunk as it is, at once."""
        self._write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk)

    @property
    def writable(self) -> bool:
        """Whether the client is still there."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def slow(self) -> bool:
        """Whether more is waiting to be sent than should be: time to ``drain``."""
        return self._request.protocol.writing_paused

    async def drain(self) -> None:
        """Wait until the client has read enough; raises ``ConnectionResetError`` when it has gone."""
        if not self.writable:
            self._gone()
        if self.slow:
            await self._request.writer.drain()

    async def finish(self, last: bytes = b"") -> None:
        """Write the last bytes: the last chunk, if there is one, and the end of the body."""
        if self._chunked:
            framed = b"%x\r\n%b\r\n" % (len(last), last) if last else b""
            self._write(framed + _LAST_CHUNK)
        elif last:
            self._write(last)
        await self.drain()

    def abort(self) -> None:
        """End the connection so that the client cannot take what it has for a whole answer."""
        self.keep_alive = False
        transport = self._transport
        if transport is None:
            return
        if self._started and not self._chunked and self._request.version < HttpVersion11:
            # RFC 9112 section 8: without chunks or length only a reset tells an old client of the cut
            sock = transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.close()

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            self._gone()
        else:
            transport.write(data)

    def _gone(self) -> NoReturn:
        self.keep_alive = False
        msg = "the client has closed its connection"
        raise ConnectionResetError(msg)

    def _head(self, status: int, headers: CIMultiDict[str], reason: str | None) -> bytes:
        self.status = status
        self._started = True
        version = self._request.version
        if not self.keep_alive:
            headers["Connection"] = "close"
        elif version < HttpVersion11:
            headers["Connection"] = "keep-alive"
        phrase = _REASONS.get(status, "") if reason is None else reason
        if "Date" not in headers:
            headers["Date"] = _date(int(time.time()))
        try:
            return head_bytes(f"HTTP/1.1 {status} {phrase}", headers)
        except ValueError as error:
            self._started = False
            code = "agent_protocol_error"
            raise UpstreamError(code, "the response's headers hold control characters") from error
