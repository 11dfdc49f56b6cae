"""One connection to an agent: one request after the other, HTTP/1.1, parsed by llhttp (httptools).

Nothing of HTTP's syntax is parsed here. A connection that had any error, an unexpected byte or an unread body is closed
and never used again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final, cast

import httptools

from aiogate.errors import UpstreamError
from aiogate.proxy.upstream.response import Response

__all__ = ["Connection"]

_MOST_HEAD_BYTES: Final = 65536
_SWITCHING_PROTOCOLS: Final = 101
_FIRST_STATUS: Final = 200
_LAST_STATUS: Final = 599
_NO_BODY: Final = frozenset({204, 304})


class Connection(asyncio.Protocol):  # its callbacks are described by asyncio and httptools
    """A connection of the pool.

    Args:
        loop: the loop that it lives on.
        released: called with the connection when it may be used again.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, released: Callable[["Connection"], None]) -> None:
        self._loop = loop
        self._released = released
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._response: Response | None = None
        self._head: asyncio.Future[Response] | None = None
        self._name = ""
        self._is_head_request = False
        self._head_bytes = 0
        self._until_close = False
        self._informational = False
        self._keeps_alive = False
        self._spoilt = False
        self._paused = False
        self._upload: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self.idle_since = 0.0
        self.used = False
        self.lost = False

    # what the pool and the gateway call

    @property
    def usable(self) -> bool:
        """Whether a request may be written: the agent has not closed it, nothing unexpected has come."""
        return self._transport is not None and not self._transport.is_closing() and not self._spoilt

    async def send(  # noqa: PLR0913 - a request has that many parts
        self,
        name: str,
        method: str,
        head: bytes,
        body: bytes | AsyncIterator[bytes] | None,
        *,
        chunked: bool,
        seconds: float,
    ) -> Response:
        """Write a request and return the response when its head is there.

        ``seconds`` run from the request's last byte. Raises ``UpstreamError``, or what ``body`` raises.
        """
        transport = self._transport
        if transport is None:
            raise self._gone()
        self._name = name
        self._is_head_request = method == "HEAD"
        self._head_bytes = 0
        self._until_close = False
        response = self._response = Response(self)
        waiter: asyncio.Future[Response] = self._loop.create_future()
        self._head = waiter
        timer: asyncio.TimerHandle | None = None
        if body is None or isinstance(body, bytes):
            transport.write(head + body if body else head)
            timer = self._loop.call_later(seconds, self._expire, waiter, seconds)
        else:
            transport.write(head)
            self._upload = self._loop.create_task(self._send_body(body, waiter, seconds, chunked=chunked))
        try:
            return await waiter
        except BaseException:
            if self._response is response:  # else it is whole, and the connection another exchange's by now
                self.abort()
            raise
        finally:
            if self._head is waiter:
                self._head = None
            if timer is not None:
                timer.cancel()

    def pause(self) -> None:
        """Stop reading: the client is slower than the agent."""
        if self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Go on reading."""
        if self._transport is not None and self._paused:
            self._paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once; what was under way fails."""
        self._spoilt = True
        if self._upload is not None:
            self._upload.cancel()
        if self._transport is not None:
            self._transport.abort()

    # what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            self.abort()  # nobody asked for anything: it would answer the next request, which is somebody else's
            return
        self.used = True
        if self._head is not None:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("did not answer in HTTP")
            return
        if self._head is not None and not self._head.done() and self._head_bytes > _MOST_HEAD_BYTES:
            self._fail("sent too long a head")
            return
        response.wake()
        if response.complete:
            self._release()

    def eof_received(self) -> None:
        if self._response is not None and self._until_close:
            self._response.complete = True
            self._response.wake()
            self._response = None

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self.lost = True
        if self._response is not None and not self._response.complete:
            self._fail("closed the connection without an answer", code="agent_unreachable")
        if self._writable is not None and not self._writable.done():
            self._writable.set_exception(self._gone())

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # what the parser calls

    def on_message_begin(self) -> None:
        if self._response is None or self._response.complete:
            self._spoilt = True

    def on_status(self, status: bytes) -> None:
        if self._response is not None and not self._spoilt:
            self._response.reason += status.decode("utf-8", "surrogateescape")

    def on_header(self, name: bytes, value: bytes) -> None:
        trailer = self._head is None or self._head.done()
        if self._response is not None and not self._spoilt and not trailer:
            text = value.decode("utf-8", "surrogateescape").rstrip(" \t")
            self._response.headers.add(name.decode("latin-1"), text)

    def on_headers_complete(self) -> None:
        response = self._response
        if response is None or self._spoilt:
            return
        status = response.status = self._parser.get_status_code()
        self._informational = status < _FIRST_STATUS and status not in {0, _SWITCHING_PROTOCOLS}
        if self._informational:
            return
        if problem := self._wrong_with(response):
            self._fail(problem)
            return
        self._keeps_alive = bool(self._parser.should_keep_alive())
        bodiless = self._is_head_request or status in _NO_BODY
        self._until_close = (
            not bodiless and "Content-Length" not in response.headers and "Transfer-Encoding" not in response.headers
        )
        response.complete = self._is_head_request  # httptools cannot tell llhttp that no body follows
        if self._head is not None and not self._head.done():
            self._head.set_result(response)

    def on_body(self, body: bytes) -> None:
        if self._response is not None and not self._spoilt:
            self._response.feed(body)

    def on_message_complete(self) -> None:
        response = self._response
        if response is None or self._spoilt:
            return
        if self._informational:
            self._informational = False
            response.headers.clear()
            response.reason = ""
        elif self._until_close:
            pass  # only the end of the connection is the end of the body
        else:
            response.complete = True

    # the rest

    def _wrong_with(self, response: Response) -> str:
        """Return what a parser lets pass and a gateway must not (RFC 9112 section 6.1), or ``""``."""
        if response.status == _SWITCHING_PROTOCOLS:
            return "switched protocols without being asked"
        if not _FIRST_STATUS <= response.status <= _LAST_STATUS:
            return f"answered with status {response.status}"
        encodings = response.headers.getall("Transfer-Encoding", [])
        if encodings and [encoding.lower() for encoding in encodings] != ["chunked"]:
            return "used a transfer encoding that nobody asked for"
        if len(response.headers.getall("Content-Length", [])) > 1:
            return "sent more than one length"
        return ""

    def _release(self) -> None:
        """Give the connection back when request and response are both whole and the agent keeps it open."""
        self._response = None
        uploading = self._upload is not None and not self._upload.done()
        self._upload = self._upload if uploading else None
        if self._is_head_request or uploading or not self._keeps_alive or not self.usable:
            self.abort()
        else:
            self.resume()
            self._released(self)

    async def _send_body(
        self,
        body: AsyncIterator[bytes],
        waiter: asyncio.Future[Response],
        seconds: float,
        *,
        chunked: bool,
    ) -> None:
        try:
            async for chunk in body:
                if not self.usable or self._transport is None:
                    return
                self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                if self._writable is not None:
                    await self._writable
            if chunked and self._transport is not None:
                self._transport.write(b"0\r\n\r\n")
        except Exception as error:  # noqa: BLE001 - the border to the client's body: what it raises goes to who waits
            if waiter.done():
                self.abort()
            else:
                waiter.set_exception(error)
            return
        self._loop.call_later(seconds, self._expire, waiter, seconds)

    def _expire(self, waiter: asyncio.Future[Response], seconds: float) -> None:
        if not waiter.done():
            waiter.set_exception(
                UpstreamError("agent_timeout", f"agent {self._name!r} did not answer within {seconds:g} s")
            )

    def _fail(self, what: str, *, code: str = "agent_protocol_error") -> None:
        error = UpstreamError(code, f"agent {self._name!r} {what}")
        response, self._response = self._response, None
        if self._head is not None and not self._head.done():
            self._head.set_exception(error)
        elif response is not None:
            response.fail(error)
        self.abort()

    def _gone(self) -> UpstreamError:
        return UpstreamError("agent_unreachable", f"agent {self._name!r} closed the connection without an answer")
