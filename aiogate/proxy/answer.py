"""An answer on its way to the client, head and body written straight to its transport.

aiogate's only duty towards aiohttp's handler is to be done when it asks: ``prepare`` and ``write_eof`` do nothing.
RFC 9112, sections 6 and 7.
"""

import asyncio
import socket
import struct
from typing import Final, NoReturn, Protocol

from multidict import CIMultiDict

from aiogate.proxy.fields import Fields
from aiogate.proxy.frames import Frames
from aiogate.proxy.head import edited_fields, first_line, now, response_head
from aiogate.proxy.inbound import Inbound

__all__ = ["TAIL_BYTES", "Answer", "has_no_body"]

_LAST_CHUNK: Final = b"0\r\n\r\n"
_OPENING_BYTES: Final = 512
TAIL_BYTES: Final = 4
_PATIENCE_SECONDS: Final = 10.0


def has_no_body(method: str, status: int) -> bool:
    """Tell whether a response has no body whatever its headers say (RFC 9112 section 6.3)."""
    return method == "HEAD" or status in (204, 304) or status < 200  # noqa: PLR2004 - 1xx


class Sieve(Protocol):
    """Takes something out of a body that streams."""

    def feed(self, chunk: bytes) -> bytes:
        """Return what the client may have now that ``chunk`` has come."""
        ...

    def finish(self) -> bytes:
        """Return what is left at the end."""
        ...


class Answer:
    """One response to one request. The framing follows from what is known when its head is made.

    ``head`` makes the head of an agent's answer, ``whole`` one of our own; ``start`` writes a head at once, ``send``
    all there is; ``write`` writes a chunk, ``finish`` the last bytes.
    """

    __slots__ = (
        "_inbound",
        "chunked",
        "frames",
        "keep_alive",
        "last",
        "length_known",
        "opening",
        "protocol",
        "sift",
        "started",
        "status",
        "transport",
        "unsent",
    )

    def __init__(self, inbound: Inbound) -> None:
        self._inbound = inbound
        self.transport = inbound.transport
        self.protocol = inbound.protocol
        self.chunked = False
        """Whether the body goes out in chunks, which the head decides."""
        self.started = False
        """Whether the client has been sent the head."""
        self.status = 0
        self.keep_alive = inbound.keep_alive
        self.length_known = True
        self.opening = b""
        """How the agent's body begins, for those who have to know its dialect when it breaks."""
        self.last = b""
        """Its last chunk, or what is left of it."""
        self.unsent = b""
        """What has come of it since the client has gone."""
        self.sift: Sieve | None = None
        """What the client is not to see of the body goes through here."""
        self.frames: Frames | None = None
        """Where the agent is in its frames, of a WebSocket."""

    async def prepare(self, _request: object) -> None:
        """Satisfy aiohttp's handler: everything is written already."""

    async def write_eof(self, _data: bytes = b"") -> None:
        """Satisfy aiohttp's handler: everything is written already."""

    def whole(self, status: int, headers: CIMultiDict[str], own: str, body: bytes) -> bytes:
        """Return head and body of an answer of our own, for ``send``; ValueError for control characters in a header.

        ``Content-Length`` is put in unless the response cannot have a body.
        """
        if has_no_body(self._inbound.method, status):
            body = b""
        else:
            headers["Content-Length"] = str(len(body))
        if "Date" not in headers:
            own = f"{own}\r\nDate: {now()}"
        return self.head(status, None, edited_fields(headers), own, length_known=True) + body

    def head(self, status: int, reason: bytes | None, fields: Fields, own: str, *, length_known: bool) -> bytes:
        """Return the head; chunked where the length is not known and the client is not too old for chunks.

        Args:
            status: HTTP status.
            reason: the agent's phrase, None for the usual one.
            fields: end-to-end headers.
            own: header lines of aiogate's, with CRLF between them.
            length_known: the headers say it, or there is no body.
        """
        self.status = status
        self.length_known = length_known
        if self._inbound.is_old:
            self.keep_alive = self.keep_alive and length_known
            own += "\r\nConnection: keep-alive" if self.keep_alive else "\r\nConnection: close"
        else:
            if not length_known:
                self.chunked = True
                own += "\r\nTransfer-Encoding: chunked"
            if not self.keep_alive:
                own += "\r\nConnection: close"
        return response_head(first_line(status, reason), fields, own)

    def start(self, head: bytes) -> None:
        """Write the head of an answer that streams."""
        self._write(head)

    async def send(self, answer: bytes) -> None:
        """Write a whole answer, head and body in one, and wait until the client has read enough of it."""
        self.put(answer)
        if self.protocol.writing_paused:
            await self._inbound.writer.drain()

    def put(self, answer: bytes) -> None:
        """Write a whole answer."""
        transport = self.transport
        if transport is None or transport.is_closing():
            self._gone()
        self.started = True
        transport.write(answer)

    def write(self, chunk: bytes) -> None:
        """Write a chunk as it is, at once."""
        self._write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self.chunked else chunk)

    def note(self, chunk: bytes) -> None:
        """Keep how the body begins and how it ends, now that a chunk of it has been written."""
        if len(self.opening) < _OPENING_BYTES:
            self.opening += chunk[: _OPENING_BYTES - len(self.opening)]
        self.last = self.tail + chunk[-TAIL_BYTES:]

    @property
    def tail(self) -> bytes:
        """The last bytes of the agent's body, which tell whether it is between two events."""
        return self.last[-TAIL_BYTES:]

    @property
    def writable(self) -> bool:
        """Whether the client is still there."""
        return self.transport is not None and not self.transport.is_closing()

    @property
    def slow(self) -> bool:
        """Whether more is waiting to be sent than should be: time to ``drain``."""
        return self.protocol.writing_paused

    @property
    def waiting_bytes(self) -> int:
        """How much has been written that the client has not taken yet."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    async def drain(self) -> None:
        """Wait until the client has read enough; raises ``ConnectionResetError`` when it has gone."""
        if self.transport is None or self.transport.is_closing():
            self._gone()
        if self.protocol.writing_paused:
            await self._inbound.writer.drain()

    def finish(self, last: bytes = b"") -> None:
        """Write the last bytes: the last chunk, if there is one, and the end of the body."""
        if self.chunked:
            framed = b"%x\r\n%b\r\n" % (len(last), last) if last else b""
            self._write(framed + _LAST_CHUNK)
        elif last:
            self._write(last)

    def abort(self, last: bytes = b"", patience_seconds: float = _PATIENCE_SECONDS) -> None:
        """End the connection so that the client cannot take what it has for a whole answer.

        ``last`` are bytes of the body that still go out; a client that has not read all of it after
        ``patience_seconds`` loses the rest.
        """
        self.keep_alive = False
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if last:
            self.write(last)
        if transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(patience_seconds, transport.abort)
        if self.started and not self.chunked and self._inbound.is_old:
            # RFC 9112 section 8: without chunks or length only a reset tells an old client of the cut
            sock = transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.close()

    def _write(self, data: bytes) -> None:
        transport = self.transport
        if transport is None or transport.is_closing():
            self._gone()
        else:
            self.started = True
            transport.write(data)

    def _gone(self) -> NoReturn:
        self.keep_alive = False
        msg = "the client has closed its connection"
        raise ConnectionResetError(msg)
