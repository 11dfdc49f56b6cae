"""The public listener's protocol: aiohttp's handler, with our own words for what it cannot parse.

aiohttp logs and quotes the line that it could not parse, which may hold a credential; ours does neither. ``Public``
knows aiohttp by its public names, ``Quick`` by private ones of the versions that ``TESTED`` names: it serves all
requests of a connection in one task, and takes a small body without a copy. Another version of aiohttp is served by
``Public``.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import aiohttp
from aiohttp import HttpVersion10, HttpVersion11, http_exceptions, web, web_protocol
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import EmptyStreamReader, StreamReader
from aiohttp.web import BaseRequest, RequestPayloadError, StreamResponse

from aiogate.errors import Refusal, problem_body, problem_headers, refusal
from aiogate.proxy.answer import Answer
from aiogate.proxy.inbound import Inbound, address_of
from aiogate.proxy.pace import Pace
from aiogate.proxy.upstream.watch import Watched
from aiogate.server.farewell import Farewells, answer_of_our_own

__all__ = ["TESTED", "Handle", "PublicServer"]

TESTED: Final = "3.14."
"""The start of the versions of aiohttp whose private names ``Quick`` knows."""

Handle = Callable[[Inbound], Awaitable[Answer]]
"""Serves one request."""

_log: Final = logging.getLogger(__name__)
_SPOKEN: Final = (HttpVersion11, HttpVersion10)
_UNSPOKEN: Final = refusal("bad_request", "the request is not HTTP/1.1 or HTTP/1.0")
_BAD: Final = http_exceptions.BadHttpMessage
_TOO_MANY: Final = "Too many headers received"
_LEAST_PAYLOAD: Final = 65536
_FULL: Final = refusal("too_many_connections", "as many connections are open as may be; come back in a moment")
_LINE_BYTES: Final = 16384
_FIELD_BYTES: Final = 16383
"""One less, so that aiohttp's error says which of the two it was."""
_HEAD_BYTES: Final = 65536
_TOO_LONG: Final = refusal("url_too_long", f"the URL is longer than {_LINE_BYTES} bytes")
_TOO_LARGE: Final = refusal(
    "headers_too_large",
    f"a header is longer than {_FIELD_BYTES} bytes, there are more than 128, or all of them are too long together",
)


_received: Final = web_protocol.RequestHandler.data_received
"""Called for each piece of each request, and faster so than by ``super()``."""


class _Public(web_protocol.RequestHandler):
    __slots__ = ("begun", "head_bytes", "waits_in")

    begun: float | None
    """Since when a part of a head is here, in the loop's time."""
    head_bytes: int
    waits_in: set[Watched] | None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or turn away what is more than may be open."""
        server = self._server()
        if server.is_full:
            server.farewells.say(cast("asyncio.Transport", transport), answer_of_our_own(_FULL))
            return
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Look at it no more."""
        if self.begun is not None:
            self._head_is_over()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; a body that breaks its framing fails for the exchange that reads it, which would wait for ever."""
        _received(self, data)
        messages = self._messages
        if not messages:
            if self._waiter is not None or not self._request_count:
                self._head_goes_on(len(data))
            return
        if self.begun is not None:
            self._head_is_over()
        if isinstance(messages[-1][0], web_protocol._ErrInfo):  # noqa: SLF001 - aiohttp 3.14 says it nowhere else
            self._body_is_broken()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Read on where reading was held up, which aiohttp asks for at the end of every body."""
        if resume_parser or self._reading_paused:
            super().resume_reading(resume_parser)

    @property
    def is_idle(self) -> bool:
        """Whether the connection is kept, and nothing is under way on it."""
        return self._waiter is not None and not self._messages and self.begun is None and bool(self._request_count)

    @property
    def is_unheard(self) -> bool:
        """Whether it is not known yet what the client wants."""
        return self.begun is not None or not self._request_count

    def check(self, now: float) -> float:
        """Give up on a client that sends a head too slowly; the coarse timer calls it while there is a part of one."""
        pace = self._server().pace
        if pace is None or self.begun is None:
            return now
        seconds = pace.bounds().header_seconds
        if now - self.begun >= seconds:
            self._turn_away(refusal("request_timeout", f"the request's head did not come within {seconds:g} s"))
            return now
        return self.begun + seconds

    def log_exception(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - aiohttp's
        """Leave out what is no fault of ours: a body that broke and that aiohttp still wants to see the end of."""
        if not isinstance(kwargs.get("exc_info"), RequestPayloadError):
            super().log_exception(*args, **kwargs)

    def _server(self) -> "PublicServer":
        return self._manager  # type: ignore[return-value] # aiohttp's own word for it

    def _head_goes_on(self, size: int) -> None:
        """Note that a head comes in pieces; a whole one never gets here."""
        pace = self._server().pace
        if pace is None or self._force_close or self._close:
            return
        if self.begun is None:
            self.begun = self._loop.time()
            self.head_bytes = 0
            pace.watch.add(self)
        self.head_bytes += size
        if self.head_bytes > _HEAD_BYTES:
            self._turn_away(_TOO_LARGE)

    def _head_is_over(self) -> None:
        self.begun = None
        if (pace := self._server().pace) is not None:
            pace.watch.discard(self)

    def _turn_away(self, problem: Refusal) -> None:
        """Answer a head that is not whole, and close."""
        self._refuse(problem)
        self._leave()

    def _leave(self) -> None:
        """Close, and let the client read what it was told."""
        if self.transport is not None:
            self._server().farewells.say(self.transport)
            self.transport = None
        self.connection_lost(None)

    def _body_is_broken(self) -> None:
        """Tell whoever reads the body that is on its way: of the last request that is waiting, or of the one served."""
        messages, current = self._messages, self._current_request
        content = messages[-2][1] if len(messages) > 1 else current.content if current is not None else None
        if content is not None and not content.is_eof():
            content.set_exception(RequestPayloadError("the body's framing is broken"))

    def _refuse(self, problem: Refusal) -> None:
        """Answer what is no request, or what a fault of ours has left without an answer."""
        if self.transport is not None:
            self.transport.write(answer_of_our_own(problem))

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """Return the problem for a request that is no HTTP, or for a fault of ours; ``message`` goes nowhere."""
        del message
        problem = _problem(status, exc)
        if request.transport is None:
            msg = "the client has closed its connection"
            raise ConnectionResetError(msg)
        return _whole(problem)


class _Quick(_Public):
    __slots__ = ()

    # asked for each chunk, and as the slot itself no call of Python
    writing_paused = web_protocol.RequestHandler._paused  # type: ignore[misc] # noqa: SLF001 - as above

    async def start(self) -> None:  # noqa: C901, PLR0912 - the life of a connection
        """Serve the requests of the connection, one after the other."""
        handle: Handle = self._manager.handle  # type: ignore[union-attr] # it is a PublicServer
        task = asyncio.current_task()
        writer = StreamWriter(self, self._loop)
        address = address_of(self.transport)
        try:
            while not self._force_close:
                if not self._messages:
                    waiter = self._waiter = self._loop.create_future()
                    await waiter
                    self._waiter = None
                inbound = self._taken(writer, task, address)  # type: ignore[arg-type] # it runs in one
                if inbound is None:
                    break
                try:
                    answer = await handle(inbound)
                except ConnectionError:
                    break
                except Exception as error:  # noqa: BLE001 - the border of the listener: a fault of ours closes one connection
                    self._refuse(_problem(500, error))
                    break
                finally:
                    self._current_request = None
                    self._request_in_progress = False
                    if self._handler_waiter is not None:
                        self._handler_waiter.set_result(None)
                if not inbound.content.is_eof():
                    await self._linger(inbound.content)
                self._keepalive = answer.keep_alive
                if not answer.keep_alive or self._close or self._force_close or self._manager.draining:  # type: ignore[union-attr] # as above
                    break
                self._next_keepalive_close_time = close_time = self._loop.time() + self._keepalive_timeout
                if self._keepalive_handle is None:
                    self._keepalive_handle = self._loop.call_at(close_time, self._process_keepalive)
        except asyncio.CancelledError:
            # not raised: the task would keep it, and by its traceback all that the client has left behind, in a circle
            self.force_close()
        if not self._force_close:
            self._task_handler = None
            if self.transport is not None:
                self.transport.close()

    def _taken(self, writer: StreamWriter, task: "asyncio.Task[None]", address: str) -> Inbound | None:
        """Return the request whose turn it is; None for what is none, which is answered."""
        message, payload = self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        if isinstance(message, web_protocol._ErrInfo):  # noqa: SLF001 - as above
            self._refuse(_problem(message.status, message.exc))
            return None
        if message.version not in _SPOKEN:
            self._refuse(_UNSPOKEN)
            return None
        self._request_in_progress = True
        inbound = Inbound(
            message.method,
            message.path,
            message.headers,
            message.version is not HttpVersion11,
            not (message.should_close or self._upgraded),
            type(payload) is not EmptyStreamReader,
            payload,
            self.transport,
            address,
            self,
            writer,
            task,
            _take_whole,
        )
        self._current_request = inbound  # type: ignore[assignment] # it can be cancelled likewise
        return inbound

    async def _linger(self, content: StreamReader) -> None:
        """Read what the client goes on sending, so that it sees its answer and not a reset (RFC 9112 section 9.6)."""
        try:
            async with asyncio.timeout(self._lingering_time):
                while not content.is_eof():
                    await content.readany()
        except TimeoutError:
            self.close()
        except RequestPayloadError:
            self._leave()
        except ConnectionError:
            self.close()


class PublicServer(web.Server):
    """``web.Server`` whose connections speak our protocol.

    Args:
        handle: serves one request.
        quick: by aiohttp's private names; None: where this version of aiohttp was tested with.
        pace: who looks at heads that are not whole; None: nobody.
        most_connections: how many may be open at once; None: any number.
        settings: as ``web.Server`` takes them.
    """

    def __init__(
        self,
        handle: Handle,
        *,
        quick: bool | None = None,
        pace: Pace | None = None,
        most_connections: Callable[[], int] | None = None,
        **settings: Any,  # noqa: ANN401 - aiohttp's
    ) -> None:
        async def public(request: BaseRequest) -> Answer | StreamResponse:
            if request.version not in _SPOKEN:
                return _whole(_UNSPOKEN)
            return await handle(Inbound.of(request))

        settings = {"max_line_size": _LINE_BYTES, "max_field_size": _FIELD_BYTES, **settings}
        super().__init__(public, **settings)  # type: ignore[arg-type] # an Answer does what is asked of a response
        self.handle = handle
        self.pace = pace
        self.farewells = Farewells()
        self.draining = False
        """Whether no connection is kept behind an answer any more."""
        self._most_connections = most_connections
        if quick is None:
            quick = aiohttp.__version__.startswith(TESTED)
        self._protocol = _Quick if quick else _Public

    def __call__(self) -> web_protocol.RequestHandler:
        """Return the protocol for a new connection."""
        kwargs: dict[str, Any] = self._kwargs
        protocol = self._protocol(self, loop=self._loop, **kwargs)
        protocol.begun = protocol.waits_in = None
        return protocol

    def close_idle(self) -> None:
        """Close the connections on which nothing is under way, and from now on each one behind its answer.

        Those that have not had their first request keep their chance.
        """
        self.draining = True
        for connection in self.connections:
            if isinstance(connection, _Public) and connection.is_idle:
                connection.force_close()

    def has_unheard(self) -> bool:
        """Tell whether there is a connection whose first request has not come, or a head that is not whole."""
        return any(isinstance(connection, _Public) and connection.is_unheard for connection in self.connections)

    @property
    def is_full(self) -> bool:
        """Whether as many connections are open as may be."""
        return self._most_connections is not None and len(self._connections) >= self._most_connections()


def _whole(problem: Refusal) -> StreamResponse:
    """Return a problem as aiohttp's own response, after which the connection is closed."""
    response = web.Response(status=problem.status, body=problem_body(problem, "", ""))
    response.headers.update(problem_headers(problem))
    response.force_close()
    return response


def _problem(status: int, error: BaseException | None) -> Refusal:
    """Return what a client is told of a request that is no HTTP, or of a fault of ours, which is logged."""
    if status >= 500:  # noqa: PLR2004 - a fault of ours
        _log.error("a request failed in the listener", exc_info=error)
        return refusal("internal_error", "the gateway failed")
    if isinstance(error, http_exceptions.LineTooLong):
        return _TOO_LONG if error.args[1] == _LINE_BYTES else _TOO_LARGE
    if isinstance(error, _BAD) and error.message == _TOO_MANY:
        return _TOO_LARGE
    return refusal("bad_request", "the request is not valid HTTP")


def _take_whole(content: StreamReader) -> bytes | None:
    """Return a body that lies in one piece in aiohttp's buffer, without the bookkeeping for those that do not."""
    if content._eof and content._exception is None and not content._buffer_offset:  # noqa: SLF001 - see TESTED
        buffer = content._buffer  # noqa: SLF001 - likewise
        if len(buffer) == 1 and len(buffer[0]) <= _LEAST_PAYLOAD:
            return buffer[0]
    return None
