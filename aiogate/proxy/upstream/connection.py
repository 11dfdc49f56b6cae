"""One connection to an agent: one request after the other, HTTP/1.1, parsed by llhttp (httptools).

Nothing of HTTP's syntax is parsed here. A connection that had any error, an unexpected byte or an unread body is closed
and never used again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import lru_cache
from typing import Final, Protocol, cast

import httptools

from aiogate.agent import Agent
from aiogate.errors import UpstreamError
from aiogate.proxy.fields import Fields
from aiogate.proxy.upstream.head import Head
from aiogate.proxy.upstream.reading import Reading
from aiogate.proxy.upstream.response import Response
from aiogate.proxy.upstream.watch import Watch, Watched

__all__ = ["Connection", "Home"]

_MOST_HEAD_BYTES: Final = 65536
_SWITCHING_PROTOCOLS: Final = 101
_FIRST_INTERIM: Final = 100
_FIRST_STATUS: Final = 200
_SPOKEN: Final = ("1.1", "1.0")
_NO_BODY: Final = frozenset({204, 304})
_UNREACHABLE: Final = "agent_unreachable"


class Home(Protocol):
    """Where a connection goes when it is not in use."""

    def back(self, connection: "Connection") -> None:
        """Take a connection that may be used again."""
        ...

    def lost(self, connection: "Connection") -> None:
        """Count a connection no more: it is closed."""
        ...


class Connection(Reading):  # its callbacks are described by asyncio and httptools
    """A connection of the pool.

    Args:
        loop: the loop that it lives on.
        home: gets it back.
        watch: looks at its timeouts as long as it is open.
        piece: what it reads into, shared by all that live on the loop.
    """

    __slots__ = (
        "_agent",
        "_blocked_at",
        "_fields",
        "_head_size",
        "_home",
        "_informational",
        "_is_head_request",
        "_keeps_alive",
        "_loop",
        "_parser",
        "_paused",
        "_raw",
        "_read_at",
        "_reason",
        "_response",
        "_sent_at",
        "_spoilt",
        "_started_at",
        "_trailers",
        "_transport",
        "_until_close",
        "_upgrade_asked",
        "_upload",
        "_watch",
        "_writable",
        "idle_since",
        "lost",
        "used",
        "waits_in",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, home: Home, watch: Watch, piece: memoryview | None = None
    ) -> None:
        super().__init__(piece)
        self._loop = loop
        self._home = home
        self._watch = watch
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._response: Response | None = None
        self._agent: Agent | None = None
        self._fields: Fields = []
        self._reason = b""
        self._is_head_request = self._upgrade_asked = self._raw = False
        self._head_size = 0
        self._until_close = self._informational = self._keeps_alive = self._trailers = False
        self._spoilt = self._paused = False
        self._upload: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._started_at = self._read_at = self._blocked_at = 0.0
        self._sent_at: float | None = None
        self.idle_since = 0.0
        self.used = False
        """Whether anything of the response under way has come."""
        self.lost = False
        self.waits_in: set[Watched] | None = None
        """For the watch."""

    # what the pool and the gateway call

    @property
    def usable(self) -> bool:
        """Whether a request may be written: the agent has not closed it, nothing unexpected has come."""
        return self._transport is not None and not self._spoilt and not self._transport.is_closing()

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
        self._started_at = self._sent_at = self._read_at = self._loop.time()
        response = self._response = Response(self, self._loop.create_future())
        transport.write(request)
        return response

    def upload(self, body: AsyncIterator[bytes], *, chunked: bool) -> None:
        """Send a body that streams behind the head; what it raises is raised to whoever waits for the response."""
        self._sent_at = None
        self._upload = self._loop.create_task(self._send_body(body, self._response, chunked=chunked))

    def write(self, data: bytes) -> bool:
        """Write bytes behind a switch of protocols; tell whether more may follow at once."""
        if self._transport is not None:
            self._transport.write(data)
        return self._writable is None

    def when_writable(self, callback: Callable[[], None]) -> None:
        """Call back once more may be written."""
        if self._writable is None:
            callback()
        else:
            self._writable.add_done_callback(lambda _: callback())

    def pause(self) -> None:
        """Stop reading: the client is slower than the agent."""
        if self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Go on reading."""
        if self._transport is not None and self._paused:
            self._paused = False
            self._read_at = self._loop.time()
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once; what was under way fails."""
        self._spoilt = True
        if self._upload is not None:
            self._upload.cancel()
        if self._transport is not None:
            self._transport.abort()

    def check(self, now: float) -> float:
        """Fail what has taken too long; return when something else may have, which has perhaps not begun yet."""
        agent, response = self._agent, self._response
        if agent is None:
            return now
        soonest = now + _shortest(agent)
        if response is None:
            return soonest
        for began, most_seconds, what, code in self._deadlines(agent, response):
            if began is None or most_seconds is None:
                continue
            if now - began >= most_seconds:
                self._fail(f"{what} {most_seconds:g} s", code)
                break
            soonest = min(soonest, began + most_seconds)
        return soonest

    def _deadlines(self, agent: Agent, response: Response) -> Iterator[tuple[float | None, float | None, str, str]]:
        """Yield what is waited for: since when, for how long at most, what is said of more, and its code."""
        if self._writable is not None:
            yield self._blocked_at, agent.write_seconds, "did not read the request for", "agent_write_timeout"
        elif not response.arrived.done():
            yield self._sent_at, agent.first_byte_seconds, "did not answer within", "agent_first_byte_timeout"
        elif not self._paused and not self._raw:
            yield self._read_at, agent.idle_seconds, "sent nothing for", "agent_idle_timeout"
        yield self._started_at, agent.total_seconds, "took more than", "agent_total_timeout"

    # what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._watch.add(self)

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            self.abort()  # nobody asked for anything: it would answer the next request, which is somebody else's
            return
        self.used = True
        self._read_at = self._loop.time()
        if self._raw:
            response.feed(data)
            response.wake()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._switch(response, data[upgrade.args[0] :])
        except httptools.HttpParserError:
            if not response.complete:
                self._fail("did not answer in HTTP")
                return
            self._spoilt = True  # the response is whole; what comes behind it is no HTTP
        if response.complete:
            response.wake()
            self._release()
        elif response.size:
            response.wake()
        else:  # a piece of a head, of trailers or of a chunk's first line: httptools would keep an endless one
            self._head_size += len(data)
            if self._head_size > _MOST_HEAD_BYTES:
                self._fail("sent too long a trailer" if response.arrived.done() else "sent too long a head")

    def eof_received(self) -> None:
        response = self._response
        if response is not None and (self._until_close or self._raw) and response.arrived.done():
            response.complete = True
            self._response = None
            if self._upload is not None:
                self._upload.cancel()  # the agent has said all it will, and reads no more
            response.wake()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self.lost = True
        if self._response is not None and not self._response.complete:
            if self._response.arrived.done():
                self._fail("broke off its answer", "agent_broke_off")
            else:
                self._fail("closed the connection without an answer", _UNREACHABLE)
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)  # nothing is written any more, and often nobody waits
        if self._upload is not None:
            self._upload.cancel()
        self._watch.discard(self)
        self._home.lost(self)
        del self._parser  # it holds this connection, and who goes in a circle stays until the collector comes, seldom

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()
        self._blocked_at = self._loop.time()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

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
        head = Head(status, self._reason, self._fields)
        if self._parser.get_http_version() not in _SPOKEN:
            head.wrong = "did not answer in HTTP/1.1 or HTTP/1.0"
        if head.wrong:
            self._fail(head.wrong)
            return
        # after a head that announces chunks the parser of a HEAD's response cannot tell what comes behind it from them
        self._keeps_alive = self._parser.should_keep_alive() and not (self._is_head_request and head.chunked)
        bodiless = self._is_head_request or status in _NO_BODY
        self._until_close = not bodiless and head.length is None and not head.chunked
        response.complete = self._is_head_request  # httptools cannot tell llhttp that no body follows
        response.arrived.set_result(head)

    def on_body(self, body: bytes) -> None:
        response = self._response
        if response is None or self._spoilt:
            return
        if response.complete:
            self._spoilt = True
        elif self._informational:
            self._fail("sent a body with an interim response")  # it would be taken for the beginning of the real one
        else:
            self._head_size = 0
            response.feed(body)

    def on_message_complete(self) -> None:
        if self._informational:
            self._informational = False
        elif self._response is not None and not self._spoilt and not self._until_close:
            self._response.complete = True

    # the rest

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
        uploading = self._upload is not None and not self._upload.done()
        if uploading or not self._keeps_alive or not self.usable:
            self.abort()
            return
        self._upload = None
        if self._is_head_request:
            self._parser = httptools.HttpResponseParser(self)  # the old one waits for a body
        if self._paused:
            self.resume()
        self._home.back(self)

    async def _send_body(self, body: AsyncIterator[bytes], response: Response | None, *, chunked: bool) -> None:
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
            if response is not None and not response.arrived.done():
                response.arrived.set_exception(error)
            else:
                self.abort()
            return
        self._sent_at = self._loop.time()

    def _fail(self, what: str, code: str = "agent_protocol_error") -> None:
        response, self._response = self._response, None
        if response is not None:
            response.fail(self._error(code, what))
        self.abort()

    def _gone(self) -> UpstreamError:
        return self._error(_UNREACHABLE, "closed the connection without an answer")

    def _error(self, code: str, what: str) -> UpstreamError:
        return UpstreamError(code, f"agent {self._agent.id if self._agent else ''!r} {what}")


@lru_cache(maxsize=1024)
def _shortest(agent: Agent) -> float:
    """Return the soonest that anything which begins now can have taken too long."""
    told = (agent.write_seconds, agent.first_byte_seconds, agent.idle_seconds, agent.total_seconds)
    return min(seconds for seconds in told if seconds is not None)
