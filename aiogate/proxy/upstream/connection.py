"""One connection to an agent: one request after the other, HTTP/1.1, parsed by llhttp (httptools).

Nothing of HTTP's syntax is parsed here. A connection that had any error, an unexpected byte or an unread body is closed
and never used again.
"""

import asyncio
from typing import Final, Protocol

import httptools

from aiogate.agent import Agent
from aiogate.proxy.fields import Fields
from aiogate.proxy.upstream.head import Head
from aiogate.proxy.upstream.reading import Piece
from aiogate.proxy.upstream.response import Response
from aiogate.proxy.upstream.watch import Watch
from aiogate.proxy.upstream.wire import Wire

__all__ = ["Connection", "Home"]

_MOST_HEAD_BYTES: Final = 65536
_SWITCHING_PROTOCOLS: Final = 101
_FIRST_INTERIM: Final = 100
_FIRST_STATUS: Final = 200
_SPOKEN: Final = ("1.1", "1.0")
_NO_BODY: Final = frozenset({204, 304})


class Home(Protocol):
    """Where a connection goes when it is not in use."""

    def back(self, connection: "Connection") -> None:
        """Take a connection that may be used again."""
        ...

    def lost(self, connection: "Connection") -> None:
        """Count a connection no more: it is closed."""
        ...


class Connection(Wire):  # its callbacks are described by asyncio and httptools
    """A connection of the pool.

    Args:
        loop: the loop that it lives on.
        home: gets it back.
        watch: looks at its timeouts as long as it is open.
        piece: what it reads into, shared by all that live on the loop.
    """

    __slots__ = (
        "_fields",
        "_head_size",
        "_home",
        "_informational",
        "_is_head_request",
        "_keeps_alive",
        "_parser",
        "_reason",
        "_trailers",
        "_until_close",
        "_upgrade_asked",
        "idle_since",
        "used",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, home: Home, watch: Watch, piece: Piece | None = None) -> None:
        super().__init__(loop, watch, piece)
        self._home = home
        self._parser = httptools.HttpResponseParser(self)
        self._fields: Fields = []
        self._reason = b""
        self._is_head_request = self._upgrade_asked = False
        self._head_size = 0
        self._until_close = self._informational = self._keeps_alive = self._trailers = False
        self.idle_since = 0.0
        self.used = False
        """Whether anything of the response under way has come."""

    # what the pool and the gateway call

    def send(self, agent: Agent, request: bytes, *, is_head: bool = False, upgrade: bool = False) -> Response:
        """Write a request, whole or its head; return its response, which ``agent``'s timeouts watch over.

        ``is_head``: the method is HEAD. ``upgrade``: the agent may switch protocols.
        """
        transport = self._transport
        if transport is None:
            raise self._gone()
        self._agent = agent
        self._is_head_request = is_head
        self._upgrade_asked = upgrade
        self._head_size = 0
        self._until_close = self.used = False
        self.longest_gap = 0.0
        self._started_at = self._sent_at = self._read_at = self._loop.time()
        response = self._response = Response(self, self._loop.create_future())
        transport.write(request)
        return response

    # what the loop calls

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what has been read, and pass on what it brings."""
        now = self._loop.time()
        gap = now - self._read_at
        if gap > self.longest_gap:  # noqa: PLR1730 - a call of max for every chunk
            self.longest_gap = gap
        self._read_at = now
        data, bodies = self._read[nbytes], self._bodies
        if bodies:
            bodies.clear()  # of another connection's read that has failed half-way: nobody else may get it
        if self.sink is None:
            response = self._response
            if response is None:
                self.abort()  # nobody asked for anything: it would answer the next request, which is somebody else's
                return
            self.used = True
            if self._raw:
                response.bring(bytes(data))
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as stop:
            self._stop(stop, data)
        if bodies:
            body = bodies.popleft()
            if bodies:
                body += self._taken()
            if self.sink is not None:
                self.sink(body)
            else:
                self._sort(body, nbytes)
        else:
            self._sort(b"", nbytes)

    def _stop(self, why: httptools.HttpParserError | httptools.HttpParserUpgrade, data: memoryview) -> None:
        """Go on without HTTP where that was agreed; what else the parser does not take is the end."""
        response = self._response
        self._keep(response, self._taken())
        if response is None:
            return
        if isinstance(why, httptools.HttpParserUpgrade):
            self._switch(response, bytes(data[why.args[0] :]))
        elif response.complete:
            self._spoilt = True  # the response is whole; what comes behind it is no HTTP
        else:
            self._fail("did not answer in HTTP")

    def _sort(self, body: bytes, nbytes: int) -> None:
        """Look at what a read has brought that does not simply go on, and at whether from now on it does."""
        response = self._response
        if response is None:
            return
        self.sink = None
        if response.complete:
            if body:
                self._keep(response, body)
            response.wake()
            self._release()
        elif body and not (self._spoilt or self._informational):
            self._head_size = 0
            self.sink = response.sink
            response.bring(body)
        else:
            self._keep(response, body)
            if not response.size:
                # a piece of a head, of trailers or of a chunk's first line: httptools would keep an endless one
                self._head_size += nbytes
                if self._head_size > _MOST_HEAD_BYTES:
                    self._fail("sent too long a trailer" if response.arrived.done() else "sent too long a head")

    def eof_received(self) -> None:
        response = self._response
        if response is not None and (self._until_close or self._raw) and response.arrived.done():
            response.complete = True
            self._response = self.sink = None
            if self._upload is not None:
                self._upload.cancel()  # the agent has said all it will, and reads no more
            response.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._home.lost(self)
        del self._parser  # it holds this connection, and who goes in a circle stays until the collector comes, seldom

    # what the parser calls

    def on_message_begin(self) -> None:
        if self._response is None or self._response.complete:
            self._spoilt = True
        self._fields = []
        self._reason = b""
        self._trailers = False

    def on_status(self, status: bytes) -> None:
        self._reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._trailers:
            self._fields.append((name, value.rstrip(b" ")))

    def on_headers_complete(self) -> None:
        self._trailers = True
        response = self._response
        if response is None or self._spoilt or response.arrived.done():
            self._spoilt = True  # whoever asked has gone, and nobody will look at this head
            return
        status = self._parser.get_status_code()
        self._informational = _FIRST_INTERIM <= status < _FIRST_STATUS
        if self._informational:
            return
        self.longest_gap = 0.0  # until now it was the wait for the head
        head = Head(status, self._reason, self._fields)
        if self._parser.get_http_version() not in _SPOKEN:
            head.wrong = "did not answer in HTTP/1.1 or HTTP/1.0"
        if head.wrong:
            self._fail(head.wrong)
            return
        # after a head that announces chunks the parser of a HEAD's response cannot tell what comes behind it from them
        self._keeps_alive = (
            self._parser.should_keep_alive() and not head.closes and not (self._is_head_request and head.chunked)
        )
        bodiless = self._is_head_request or status in _NO_BODY
        self._until_close = not bodiless and head.length is None and not head.chunked
        response.complete = self._is_head_request  # httptools cannot tell llhttp that no body follows
        response.arrived.set_result(head)

    def on_message_complete(self) -> None:
        response = self._response
        self.sink = None
        if self._bodies:
            self._keep(response, self._taken())
        if self._informational:
            self._informational = False
        elif response is not None and not self._spoilt and not self._until_close:
            response.complete = True

    # the rest

    def _taken(self) -> bytes:
        """Return what the parser has brought of a body until now."""
        bodies = self._bodies
        body = bodies.popleft() if bodies else b""
        if bodies:
            body += b"".join(bodies)
            bodies.clear()
        return body

    def _keep(self, response: Response | None, body: bytes) -> None:
        """Give the response what a message has brought that does not simply go on; drop what belongs to none."""
        if not body or response is None or self._spoilt:
            return
        if response.complete:
            self._spoilt = True
        elif self._informational:
            self._fail("sent a body with an interim response")  # it would be taken for the beginning of the real one
        else:
            self._head_size = 0
            response.feed(body)

    def _switch(self, response: Response, rest: bytes) -> None:
        """Go on without HTTP, when that was asked for (RFC 9110 section 7.8)."""
        if not self._upgrade_asked or response.arrived.done():
            self._fail("switched protocols without being asked")
            return
        head = Head(_SWITCHING_PROTOCOLS, self._reason, self._fields)
        if head.chunked:  # what follows would be the new protocol for one reader and chunks for another
            self._fail("switched protocols and announced chunks")
            return
        self._raw = response.upgraded = True
        self._spoilt = True
        response.arrived.set_result(head)
        if rest:
            response.feed(rest)

    def _release(self) -> None:
        """Give the connection back when request and response are both whole and the agent keeps it open."""
        self._response = None
        transport = self._transport
        uploading = self._upload is not None and not self._upload.done()
        is_usable = transport is not None and not self._spoilt and not transport.is_closing()
        if uploading or not self._keeps_alive or not is_usable:
            self.abort()
            return
        self._upload = None
        if self._is_head_request:
            self._parser = httptools.HttpResponseParser(self)  # the old one waits for a body
        if self._paused:
            self.resume()
        self._home.back(self)
